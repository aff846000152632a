"""Break runs at their writes, syncs and renames, damage their files, and see what follows:

python .ci/campaign.py [--every N] [--flips N] [--out nbs/results/reliability/campaign.json]

A tiny run is trained without disturbance. Then the same run is killed, or gets an error of the disk, at every
N-th (errors: 2N-th) write, sync or rename of its folder, and is resumed: it must end with the same bits and the same rows, and
leave nothing behind. An error must be told in one line, with exit code 2. Last, bits of its files are flipped, pages
zeroed and ends cut off: whoever reads such a file must get an error or the right content."""
import argparse, collections, ctypes, errno, os, random, re, shutil, subprocess, sys, tempfile, time, traceback
from pathlib import Path

here = Path(__file__).parent
if 'faults' not in os.environ.get('LD_PRELOAD', ''):        # start again with the library
    lib = Path(tempfile.mkdtemp())/'faults.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-O2', '-o', lib, here/'faults.c', '-ldl'], check=True)
    os.execve(sys.executable, [sys.executable, *sys.argv],
              os.environ | dict(LD_PRELOAD=str(lib), OMP_NUM_THREADS='1', PYTHONPATH=str(here.parent)))

from owt_transformer import command                         # once; each trial is a fork
from owt_transformer.device import environment_info, make_setup
from owt_transformer.files import InputError, dump_json
from owt_transformer.config import Config
from owt_transformer.corpora import PreparedData, cached_sha256
from owt_transformer.run import content_sha256, load_checkpoint, load_model, load_run

KILLS = {'kill before': -1, 'kill half-way': -2, 'kill after': -3}
ERRORS = {name: getattr(errno, name) for name in ('ENOSPC', 'EIO', 'EDQUOT', 'EFBIG')}
LINE = ('--config owt-sample --corpus synthetic-stories --synthetic-bytes 60000 --vocab-size 300 --context-length 32 '
        '--d-model 32 --num-layers 1 --num-heads 2 --d-ff 64 --batch-size 8 --max-iters 20 --warmup-iters 2 '
        '--eval-interval 10 --log-interval 5 --checkpoint-interval 10 --sample-tokens 5 --device cpu').split()

def arm(folder, at, mode):
    lib, path = ctypes.CDLL(None), str(folder).encode()
    ctypes.memmove(ctypes.addressof((ctypes.c_char*4096).in_dll(lib, 'faults_folder')), path + b'\0', len(path) + 1)
    for kind, name, value in ((ctypes.c_int, 'faults_mode', mode), (ctypes.c_long, 'faults_count', 0),
                              (ctypes.c_long, 'faults_at', at)): kind.in_dll(lib, name).value = value
    return ctypes.c_long.in_dll(lib, 'faults_count')

def run(tmp, name, *argv, at=-1, mode=0):
    "Run the command in a child; return its exit code (negative: a signal), its output and the number of events."
    log = tmp/'log'
    if not (pid := os.fork()):
        try:
            os.dup2(os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 1); os.dup2(1, 2)
            events = arm(tmp/'runs'/name, at, mode)
            code = command.main([*LINE, '--data-dir', str(tmp/'data'), '--output-dir', str(tmp/'runs'), '--name', name, *argv])
            print(f'\nevents {events.value}', flush=True)
        except BaseException: traceback.print_exc(); code = 1
        sys.stdout.flush(); sys.stderr.flush()
        os._exit(code)
    status = os.waitpid(pid, 0)[1]
    return os.waitstatus_to_exitcode(status), log.read_text(errors='replace')

def result(folder):
    "The bits of a finished run: weights, and rows without their times."
    content, kept = load_checkpoint(folder/'checkpoints'/'final_checkpoint.pt'), load_run(folder)
    rows = [{k: v for k, v in r.items() if k != 'seconds'} for r in content['rows']]
    return content_sha256([content['model'], content['optimizer'], rows]), kept.summary['valid_loss'], len(kept.metrics['step'])

def broken(tmp, expected, at, mode):
    "Disturb a run and resume it; return what went wrong, or ''."
    folder = tmp/'runs'/'trial'
    shutil.rmtree(folder, ignore_errors=True)
    code, out = run(tmp, 'trial', at=at, mode=mode)
    if mode < 0 and code != -9: return f'ended with {code}'
    if mode > 0 and (code != 2 or len(re.findall('^error: ', out, re.M)) != 1 or 'Traceback' in out): return f'code {code}: {out[-300:]}'
    if mode > 0 and str(folder) not in re.search('^error: .*', out, re.M)[0]: return f'without the path: {out[-300:]}'
    in_use = (folder/'config.json').exists() or (folder/'checkpoints').exists()
    code, out = run(tmp, 'trial', *['--resume']*in_use)
    if code: return f'resumed with {code}: {out[-300:]}'
    if result(folder) != expected: return 'other bits'
    left = [str(p.relative_to(folder)) for p in folder.rglob('*.part')]
    return f'left {left}' if left else ''

def readers(folder):
    "For each file of a run and of its data: what reads it."
    read = lambda: (lambda r: (r.config, r.summary, {k: v.tobytes() for k, v in r.metrics.items()}))(load_run(folder))
    best, *saved = (folder/'checkpoints'/f'{n}.pt' for n in ('best_model', 'final_checkpoint', 'previous_checkpoint'))
    def model(): m, tok = load_model(best); return content_sha256(m.state_dict()), tok.vocab, tok.merges
    data, [prepared] = folder.parent.parent/'data', (folder.parent.parent/'data').glob('prepared/*')
    def tokens(): d = PreparedData.load(prepared); return d.meta, d.train.tobytes(), d.valid.tobytes(), d.tokenizer.to_dict()
    [texts] = data.glob('corpora/*')
    files = [prepared/n for n in ('meta.json', 'train.bin', 'valid.bin', 'tokenizer/meta.json', 'tokenizer/vocab.json', 'tokenizer/merges.txt')]
    return ({folder/'config.json': read, folder/'summary.json': read, folder/'metrics.csv': read, best: model}
            | {f: lambda f=f: content_sha256(load_checkpoint(f)) for f in saved} | dict.fromkeys(files, tokens)
            | {data/'fingerprints.json': lambda: cached_sha256(texts/'train.txt', data/'fingerprints.json')})

def damage(raw, rng, i):
    "Flip a bit, cut off the end, or zero a stretch."
    bad, at = bytearray(raw), rng.randrange(len(raw))
    if i % 4 < 2: bad[at] ^= 1 << rng.randrange(8)
    elif i % 4 == 2: del bad[at:]
    else: bad[at:at+512] = bytes(len(bad[at:at+512]))
    return bytes(bad)

def damaged(folder, n, rng):
    "Damage each file `n` times; count the outcomes."
    out = {}
    for path, read in readers(folder).items():
        raw, whole, seen = path.read_bytes(), read(), collections.Counter()
        for i in range(n):
            path.write_bytes(damage(raw, rng, i))
            try: seen['right' if read() == whole else 'WRONG'] += 1
            except InputError: seen['error'] += 1
            except Exception as e: seen[f'traceback: {type(e).__name__}'] += 1
        path.write_bytes(raw)
        name = path.name if 'tokenizer' not in str(path) else f'tokenizer/{path.name}'
        out[name] = dict(seen)
        print(name, dict(seen), flush=True)
    return out

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--every', type=int, default=1); p.add_argument('--flips', type=int, default=200)
    p.add_argument('--out', type=Path)
    a = p.parse_args()
    tmp = Path(tempfile.mkdtemp()).resolve()
    run(tmp, 'first')                                       # prepares the data
    code, out = run(tmp, 'calm')
    assert not code, out
    expected, events, start = result(tmp/'runs'/'calm'), int(out.split('events ')[1]), time.time()
    print(f'{events} events in an undisturbed run', flush=True)
    faults = {}
    for i, (name, mode) in enumerate({**KILLS, **ERRORS}.items()):
        every = a.every*(2 if mode > 0 else 1)
        at = range(1 + i % every, events + 1, every)
        wrong = {n: w for n in at if (w := broken(tmp, expected, n, mode))}
        faults[name] = dict(trials=len(at), passed=len(at) - len(wrong), failed=wrong)
        print(f'{name}: {len(at) - len(wrong)} of {len(at)} ({time.time() - start:.0f} s)', *wrong.items(), sep='\n  ', flush=True)
    files = damaged(tmp/'runs'/'calm', a.flips, random.Random(0))
    env = environment_info(make_setup(Config(device='cpu', compile='no')))
    if a.out: dump_json(a.out, dict(environment=env, events=events, faults=faults, damaged=files))
    shutil.rmtree(tmp)
    bad = sum(len(f['failed']) for f in faults.values()) + sum(v for c in files.values() for k, v in c.items() if k not in ('error', 'right'))
    print('all as promised' if not bad else f'{bad} outcomes are not as promised')
    return bool(bad)

if __name__ == '__main__': sys.exit(main())
