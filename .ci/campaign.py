"""Break runs at their writes, syncs and renames, damage their files, and see what follows:

python .ci/campaign.py [--short] [--only SECTION ...] [--every N] [--flips N] [--out nbs/results/reliability/campaign.json]

A tiny run is trained without disturbance. Then the same run is disturbed on purpose and resumed: it must end with the
same bits and the same rows, and leave nothing behind. The sections, each in a file of `.ci/faults`:

faults   killed, or an error of the disk, at every N-th (errors: 2N-th) write, sync or rename of its folder; an error
         must be told in one line, with exit code 2
data     the same while data are prepared and while a text is downloaded
files    bits flipped, pages zeroed, ends cut off: a reader must get an error or the right content
numbers  NaN, infinity or an overflow in a loss, a gradient or a weight
signals  in ten phases of a run
ranks    one of two processes under torchrun is killed, stopped or fails

`--short` injects each kind of fault at least once. `--out` replaces the sections that ran in a record."""
import argparse, importlib, os, shutil, signal, subprocess, sys, tempfile, time
from pathlib import Path

SECTIONS = {'faults': 'disk', 'data': 'data', 'files': 'files', 'numbers': 'numbers', 'signals': 'signals', 'ranks': 'ranks'}
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
                   help='only these kinds of fault, phases of signals, numbers, or faults of ranks such as "1 training stop"')
    p.add_argument('--out', type=Path)
    return p.parse_args()

def outcomes(record):
    "Count the trials in the record of a section, and those that did not end as promised."
    if 'failed' in record: return record['trials'], len(record['failed'])
    counts = [outcomes(v) if isinstance(v, dict) else (v, v*(k not in ('error', 'right'))) for k, v in record.items() if k != 'events']
    return tuple(map(sum, zip(*counts))) or (0, 0)

def main():
    a = parse()
    from faults import Calm, Options, disk, result, run, training
    from owt_transformer.config import Config, make_parser
    from owt_transformer.device import environment_info, make_setup
    from owt_transformer.files import dump_json, load_json
    tmp, library, record, start = Path(tempfile.mkdtemp()).resolve(), os.environ.get('LD_PRELOAD'), {}, time.time()
    options = Options(a.short, a.every, a.flips or (4 if a.short else 200), a.trials)
    make_parser('train', '')                                # reads its source once; each trial is a fork
    run(training(tmp, 'first'))                             # prepares the data
    calm = tmp/'runs'/'calm'
    events = disk.events(training(tmp, 'calm'), calm) if library else run(training(tmp, 'calm'))[0]
    calm = Calm(calm, result(calm), events)
    for name in a.only:
        if name in ('faults', 'data') and not library:
            print(f'{name}: skipped, because there is no C compiler (cc)', flush=True); continue
        found = importlib.import_module(f'faults.{SECTIONS[name]}').section(tmp, calm, options)
        record['damaged' if name == 'files' else name] = found
        print('{}: {} trials, {} not as promised'.format(name, *outcomes(found)), f'({time.time() - start:.0f} s)', flush=True)
    if a.out:
        old = load_json(a.out) if a.out.exists() else {}
        environment = environment_info(make_setup(Config(device='cpu', compile='no')))
        dump_json(a.out, old | record | dict(events=events, environments=old.get('environments', {}) | dict.fromkeys(record, environment)))
    shutil.rmtree(tmp)
    if library: shutil.rmtree(Path(library).parent)
    trials, bad = outcomes(record)
    print(f'{trials} trials, ' + (f'{bad} NOT as promised' if bad else 'all as promised'))
    return bool(bad)

if __name__ == '__main__':
    if 'CAMPAIGN' not in os.environ: start_again()
    for number in signal.SIGINT, signal.SIGHUP: signal.signal(number, signal.SIG_DFL)      # a shell's background jobs ignore them
    for module in 'matplotlib.backends.backend_agg', 'matplotlib.figure', 'torch._dynamo', 'torch._inductor.config':
        importlib.import_module(module)                     # once; each trial is a fork
    sys.exit(main())
