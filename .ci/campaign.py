"""Break runs at their writes, syncs and renames, damage their files, and see what follows:

python .ci/campaign.py [--short] [--only SECTION ...] [--every N] [--flips N] [--out nbs/results/reliability/campaign.json]
python .ci/campaign.py --planted [--out nbs/results/reliability/planted.json]

A tiny run is trained without disturbance. Then the same run is disturbed on purpose and resumed: it must end with the
same bits and the same rows, and leave nothing behind. The sections, each in a file of `.ci/faults`:

faults   killed, or an error of the disk, at every N-th (errors: 2N-th) write, sync or rename of its folder; an error
         must be told in one line, with exit code 2
data     the same while data are prepared and while a text is downloaded
files    bits flipped, pages zeroed, ends cut off: a reader must get an error or the right content
numbers  NaN, infinity or an overflow in a loss, a gradient or a weight
signals  in ten phases of a run
ranks    one of two processes under torchrun is killed, stopped or fails

`--short` injects each kind of fault at least once. `--out` replaces the sections that ran in a record; with `--trials`,
only those kinds of fault or phases of signals. `--planted` plants bugs in the project instead, which trials must find."""
import argparse, atexit, importlib, os, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

SECTIONS = {'faults': 'disk', 'data': 'data', 'files': 'files', 'numbers': 'numbers', 'signals': 'signals', 'ranks': 'ranks'}
IN_PARTS = 'faults', 'signals'          # their records hold each kind of fault, or phase
here = Path(__file__).resolve().parent

def start_again():
    "Start this program again with one thread, and with the library that injects faults, if there is a C compiler."
    env = os.environ | dict(CAMPAIGN='1', OMP_NUM_THREADS='1', PYTHONPATH=str(here.parent))
    if shutil.which('cc'):
        lib = env['LD_PRELOAD'] = str(Path(tempfile.mkdtemp())/'faults.so')
        subprocess.run(['cc', '-shared', '-fPIC', '-O2', '-o', lib, here/'faults'/'faults.c', '-ldl'], check=True)
    os.execve(sys.executable, [sys.executable, *sys.argv], env)

def parse():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--short', action='store_true', help='each kind of fault once, in a minute')
    p.add_argument('--only', nargs='+', default=[*SECTIONS], choices=SECTIONS, metavar='SECTION')
    p.add_argument('--every', type=int, default=1); p.add_argument('--flips', type=int)
    p.add_argument('--trials', nargs='+', default=(),
                   help='only these kinds of fault, phases of signals, numbers, faults of ranks such as "1 training stop", or planted bugs')
    p.add_argument('--planted', action='store_true', help='plant a bug for each kind of trial, which must find it')
    p.add_argument('--out', type=Path)
    a = p.parse_args()
    if a.out and a.trials and not {*a.only} <= {*IN_PARTS}: p.error(f'--out with --trials: give --only {" or ".join(IN_PARTS)}')
    return a

def merge(old, record, environment, in_parts):
    "Put sections, or only those parts of them that ran, into a record, and the environment of each."
    new, environments = dict(old), old.get('environments', {})
    for name, found in ((n, f) for n, f in record.items() if f):
        again = found if name in IN_PARTS else ()
        kept = {', '.join(k for k in key.split(', ') if k not in again): e for key, e in environments.items()}
        environments = {k: e for k, e in kept.items() if k} | {', '.join(found) if in_parts else name: environment}
        new[name] = old.get(name, {}) | found if in_parts else found
    return new | dict(environments=environments)

def main():
    a = parse()
    from faults import Calm, Options, disk, outcomes, planted, result, run, training
    from owt_transformer.config import Config, make_parser
    from owt_transformer.device import environment_info, make_setup
    from owt_transformer.files import dump_json, load_json
    tmp, library, record, start = Path(tempfile.mkdtemp()).resolve(), os.environ.get('LD_PRELOAD'), {}, time.time()
    for folder in [tmp] + [Path(library).parent]*bool(library): atexit.register(shutil.rmtree, folder)
    options = Options(a.short, a.every, a.flips or (4 if a.short else 200), a.trials)
    make_parser('train', '')                                # reads its source once; each trial is a fork
    run(training(tmp, 'first'))                             # prepares the data
    calm = tmp/'runs'/'calm'
    events = disk.events(training(tmp, 'calm'), calm) if library else run(training(tmp, 'calm'))[0]
    calm = Calm(calm, result(calm), events)
    environment = environment_info(make_setup(Config(device='cpu', compile='no')))
    if a.planted: return planted.main(tmp, calm, environment, a.trials, a.out)
    for name in sorted(a.only, key=[*SECTIONS].index):     # signals prepare data once more
        if name in ('faults', 'data') and not library:
            print(f'{name}: skipped, because there is no C compiler (cc)', flush=True); continue
        found = importlib.import_module(f'faults.{SECTIONS[name]}').section(tmp, calm, options)
        record['damaged' if name == 'files' else name] = found
        print('{}: {} trials, {} not as promised'.format(name, *outcomes(found)), f'({time.time() - start:.0f} s)', flush=True)
    if a.out:
        old = load_json(a.out) if a.out.exists() else {}
        dump_json(a.out, merge(old, record, environment, bool(a.trials)) | dict(events=events))
    trials, bad = outcomes(record)
    print(f'{trials} trials, ' + (f'{bad} NOT as promised' if bad else 'all as promised'))
    return bool(bad)

if __name__ == '__main__':
    if 'CAMPAIGN' not in os.environ: start_again()
    for number in signal.SIGINT, signal.SIGHUP: signal.signal(number, signal.SIG_DFL)      # a shell's background jobs ignore them
    for module in 'matplotlib.backends.backend_agg', 'matplotlib.figure', 'torch._dynamo', 'torch._inductor.config':
        importlib.import_module(module)                     # once; each trial is a fork
    sys.exit(main())
