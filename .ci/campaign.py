"""Break runs at their writes, syncs and renames, damage their files, and see what follows:

python .ci/campaign.py [--only faults files signals ranks] [--every N] [--flips N] [--out nbs/results/reliability/campaign.json]

A tiny run is trained without disturbance. Then the same run is killed, or gets an error of the disk, at every
N-th (errors: 2N-th) write, sync or rename of its folder, and is resumed: it must end with the same bits and the same
rows, and leave nothing behind. An error must be told in one line, with exit code 2. Bits of its files are flipped, pages zeroed
and ends cut off: whoever reads such a file must get an error or the right content. Signals arrive in ten phases of a
run, and one of two processes under torchrun is killed, stopped or fails: all must end in time, say so without a
traceback, and continue to the same bits."""
import argparse, collections, ctypes, errno, importlib, json, os, random, re, shutil, signal, subprocess, sys, tempfile, threading, time, traceback
from pathlib import Path

here = Path(__file__).parent
if 'faults' not in os.environ.get('LD_PRELOAD', ''):        # start again with the library
    lib = Path(tempfile.mkdtemp())/'faults.so'
    subprocess.run(['cc', '-shared', '-fPIC', '-O2', '-o', lib, here/'faults.c', '-ldl'], check=True)
    os.execve(sys.executable, [sys.executable, *sys.argv],
              os.environ | dict(LD_PRELOAD=str(lib), OMP_NUM_THREADS='1', PYTHONPATH=str(here.parent)))

for number in signal.SIGINT, signal.SIGHUP: signal.signal(number, signal.SIG_DFL)      # a shell's background jobs ignore them

for name in 'matplotlib.backends.backend_agg', 'matplotlib.figure', 'torch._dynamo', 'torch._inductor.config':
    importlib.import_module(name)                           # once; each trial is a fork

from owt_transformer import command, corpora, run as run_module
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

# --- signals

PATTERNS = {'SIGINT': [(2, 0)], 'SIGTERM': [(15, 0)], 'SIGHUP': [(1, 0)], 'SIGINT twice': [(2, 0)]*2,      # (signal, to the group)
            'SIGINT to the group': [(2, 1)], 'SIGTERM to the group': [(15, 1)]}

def send(pattern):
    "Say when, and send the signals of a pattern to this process."
    os.write(1, f'SIGNAL {time.monotonic()}\n'.encode())
    for i, (number, group) in enumerate(PATTERNS[pattern]):
        if i: time.sleep(.05)
        os.killpg(0, number) if group else os.kill(os.getpid(), number)

def once(module, name, pattern, pause=0):
    "Send the signals when `module.name` is first called."
    work, sent = getattr(module, name), []
    def wrapped(*args, **kwargs):
        if not sent: sent.append(1); send(pattern); time.sleep(pause)
        return work(*args, **kwargs)
    wrapped.__module__, wrapped.__qualname__ = work.__module__, work.__qualname__
    setattr(module, name, wrapped)

def descendants(pid):
    "List the process ids and names below a process."
    try: found = [int(c) for t in os.listdir(f'/proc/{pid}/task') for c in Path(f'/proc/{pid}/task/{t}/children').read_text().split()]
    except OSError: return []
    try: return [x for c in found for x in [(c, Path(f'/proc/{c}/comm').read_text().strip()), *descendants(c)]]
    except OSError: return []

def when(ready, act):
    "Call `act` in a thread as soon as `ready()`."
    def wait():
        while not ready(): time.sleep(.01)
        act()
    threading.Thread(target=wait, daemon=True).start()

def at_step(n, pattern):
    "Send the signals after step `n`."
    work = command.Progress.on_step
    def on_step(self, state):
        work(self, state)
        if state.step == n: send(pattern)
    command.Progress.on_step = on_step

def slow_chunks():
    "Encode in many chunks, slowly, so that two workers are busy."
    chunk, encode = corpora._encode_chunk, corpora.encode_file
    def _encode_chunk(*args): time.sleep(.2); return chunk(*args)
    _encode_chunk.__module__, _encode_chunk.__qualname__ = chunk.__module__, chunk.__qualname__
    corpora._encode_chunk = _encode_chunk
    corpora.encode_file = lambda p, t, out, workers, **kwargs: encode(p, t, out, 2, chunk_bytes=4000, **kwargs)

PHASES = {
    'preparing': lambda p: (slow_chunks(), when(lambda: len(descendants(os.getpid())) > 1, lambda: send(p))),
    'claiming': lambda p: once(command, 'open_run_folder', p),
    'compiling': lambda p: when(lambda: any(n in ('cc1plus', 'g++', 'clang++') for _, n in descendants(os.getpid())), lambda: send(p)),
    'training': lambda p: at_step(7, p),
    'evaluating': lambda p: once(command.ValidationHook, 'on_evaluate', p),
    'saving': lambda p: once(run_module, '_write_checkpoint', p, .1),
    'summarizing': lambda p: once(command, 'summarize_run', p),
    'sampling': lambda p: once(command, 'write_samples', p),
    'comparing': lambda p: once(command, 'plot_comparison', p)}

def watched(start):
    "Collect the lines of a process and when each came, until it ends; return its exit code, too."
    pid, out, lines = start()
    with open(out, errors='replace') as f:
        for line in f: lines.append((time.monotonic(), line))
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code, lines

def forked(tmp, argv, prepare):
    "Run the command in a forked process group of its own, after `prepare()`."
    read, write = os.pipe()
    if pid := os.fork(): os.close(write); return pid, read, []
    try:
        os.setsid(); os.dup2(write, 1); os.dup2(1, 2); os.close(read); os.close(write)
        signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGHUP, signal.SIG_DFL)
        prepare()
        code = command.main([*LINE, '--output-dir', str(tmp/'runs'), *argv])
    except BaseException: traceback.print_exc(); code = 1
    sys.stdout.flush(); sys.stderr.flush()
    os._exit(code)

def started(argv, pattern, library):
    "Run the command in a fresh process and send signals as soon as it has loaded a library."
    p = subprocess.Popen([sys.executable, '-m', 'owt_transformer.train', *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True)
    while library not in Path(f'/proc/{p.pid}/maps').read_text() and p.poll() is None: time.sleep(.01)
    lines = [(0, f'SIGNAL {time.monotonic()}\n')]
    for i, (number, group) in enumerate(PATTERNS[pattern]):
        if i: time.sleep(.05)
        try: (os.killpg if group else os.kill)(p.pid, number)
        except ProcessLookupError: pass                     # the first has ended it
    with p.stdout: out = os.dup(p.stdout.fileno())
    p.returncode = 0                                        # it is waited for elsewhere
    return p.pid, out, lines

def interrupted(tmp, phase, pattern, expected):
    "Send signals in a phase and resume; return what went wrong, or '', and the seconds until it was told."
    folder, name = tmp/'runs'/'trial', ['--name', 'trial']
    shutil.rmtree(folder, ignore_errors=True)
    data = tmp/'data'
    if phase == 'preparing': shutil.rmtree(data := tmp/'fresh', ignore_errors=True)
    options = [*name, '--data-dir', str(data), '--compile', 'yes' if phase == 'compiling' else 'no']
    if phase == 'comparing': options += ['--config', str(tmp/'two.json')]
    if phase == 'compiling': os.environ['TORCHINDUCTOR_CACHE_DIR'] = tempfile.mkdtemp(dir=tmp)
    start = (lambda: started([*LINE, '--output-dir', str(tmp/'runs'), *options], pattern, 'libtorch_cpu')) if phase == 'start' else (
        lambda: forked(tmp, options, lambda: PHASES[phase](pattern)))
    code, lines = watched(start)
    out = ''.join(line for _, line in lines)
    if phase == 'compiling': os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(tmp/'compiled')
    sent = [float(t) for _, line in lines for t in re.findall(r'SIGNAL ([\d.]+)', line)]
    told = [t for t, line in lines if re.search('interrupted|stopping after this step', line)]
    if not sent: return f'no signal was sent: {out[-300:]}', 0
    if code != 130: return f'exit code {code}: {out[-300:]}', 0
    if re.search('Traceback|Exception', out): return f'traceback: {out[-300:]}', 0
    if not told: return f'not told: {out[-300:]}', 0
    in_use = folder.exists() and any(folder.iterdir())
    code, lines = watched(lambda: forked(tmp, [*options, *['--resume']*in_use], lambda: None))
    if code: return f'resumed with {code}: {"".join(line for _, line in lines)[-300:]}', 0
    if result(folder/'a' if phase == 'comparing' else folder) != expected: return 'other bits', 0
    left = [str(p.relative_to(tmp)) for f in (folder, data) for p in f.rglob('*.part')]
    return f'left {left}' if left else '', told[0] - sent[0]

def signals(tmp, expected, phases=()):
    "Try each pattern in each phase."
    (tmp/'two.json').write_text(json.dumps(dict(runs=[dict(name='a', corpus='synthetic-stories'), dict(name='b', corpus='synthetic-web')])))
    LINE_ALONE, out = [*LINE], {}
    for phase in phases or ['start', *PHASES]:
        wanted = expected
        if phase == 'compiling':
            os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(tmp/'compiled')
            code, lines = watched(lambda: forked(tmp, ['--name', 'compiled', '--data-dir', str(tmp/'data'), '--compile', 'yes'], lambda: None))
            assert not code, lines
            wanted = result(tmp/'runs'/'compiled')
        if phase == 'comparing':
            LINE[:] = [a for i, a in enumerate(LINE_ALONE) if a not in ('--config', '--corpus') and (not i or LINE_ALONE[i-1] not in ('--config', '--corpus'))]
            code, lines = watched(lambda: forked(tmp, ['--name', 'two', '--data-dir', str(tmp/'data'), '--config', str(tmp/'two.json')], lambda: None))
            assert not code, lines
            wanted = result(tmp/'runs'/'two'/'a')
        found = {p: interrupted(tmp, phase, p, wanted) for p in PATTERNS}
        LINE[:] = LINE_ALONE
        wrong = {p: w for p, (w, _) in found.items() if w}
        out[phase] = dict(trials=len(found), passed=len(found) - len(wrong), failed=wrong, told_after_seconds=max(t for _, t in found.values()))
        print(f'signals while {phase}:', out[phase], flush=True)
    return out

# --- two processes under torchrun

LIMIT = 20      # seconds, OWT_DIST_TIMEOUT of the trials
TOGETHER = """
import os, signal, sys, time
from owt_transformer import command, step
from owt_transformer.files import InputError
rank, phase, kind = os.environ.get('FAULT', '- - -').split()
def fail():
    if kind == 'exception': raise RuntimeError('injected')
    if kind == 'error': raise InputError('injected: choose another')
    number = dict(kill=9, stop=19, term=15, int=2)[kind.split('-')[0]]
    os.kill(os.getppid() if kind.endswith('torchrun') else os.getpid(), number)
    time.sleep(.2)
def before(owner, name, due=lambda *args: True):
    work, done = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        if not done and due(*args): done.append(1); fail()
        return work(*args, **kwargs)
    setattr(owner, name, wrapped)
if rank == os.environ['RANK']:
    if phase == 'preparing': before(command, 'prepare_data')
    if phase == 'evaluating': before(*((command.ValidationHook, 'on_evaluate') if rank == '0' else (command._WaitForFirst, 'on_evaluate')))
    if phase == 'training': before(step.FastStep, '__call__', lambda s: s.state.step == 13)
sys.exit(command.main())
"""
RANK_TRIALS = [f'{rank} {phase} {kind}' for rank in (0, 1) for phase, kinds in
               (('preparing', ('kill', 'stop')), ('evaluating', ('kill', 'stop')), ('training', ('kill', 'stop', 'exception', 'error', 'term')))
               for kind in kinds] + ['0 preparing kill-torchrun', '0 training kill-torchrun']
TOLD = {'kill': 'exitcode  : -9', 'stop': r'rank {} has been silent for', 'exception': 'RuntimeError: injected', 'error': 'error: injected: choose another',
        'term': 'stopped; continue|interrupted'}

def alive(name):
    "List the processes whose command line holds a name."
    found = []
    for p in Path('/proc').glob('[0-9]*'):
        try: words, state = (p/'cmdline').read_text(), (p/'stat').read_text().rpartition(')')[2].split()[0]
        except OSError: continue
        if name in words and state != 'Z': found.append(int(p.name))
    return found

def torchrun(tmp, name, fault, *argv):
    "Run two processes; return the output and the seconds from the start until all were gone."
    start, log = time.time(), tmp/'log'
    (tmp/'together.py').write_text(TOGETHER)
    with open(log, 'w') as f:
        p = subprocess.Popen([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', tmp/'together.py', *LINE,
                              '--data-dir', str(tmp/'data'), '--output-dir', str(tmp/'runs'), '--name', name, *argv], stdout=f, stderr=f,
                             env=os.environ | dict(OWT_DIST_TIMEOUT=str(LIMIT), FAULT=fault, LD_PRELOAD=''))
    try: code = p.wait(600)
    except subprocess.TimeoutExpired: code = None
    ended = time.time()
    while (left := alive(str(tmp/'together.py'))) and time.time() < ended + 2*LIMIT: time.sleep(.2)
    for pid in left: os.kill(pid, 9)
    return code, log.read_text(errors='replace'), left, time.time() - start, time.time() - ended

def lost(tmp, fault, expected, calm):
    "Let one of two processes fail and resume; return what went wrong, or '', and the seconds that it took beyond a calm run."
    folder, (rank, _, kind) = tmp/'runs'/'trial', fault.split()
    shutil.rmtree(folder, ignore_errors=True)
    code, out, left, took, after = torchrun(tmp, 'trial', fault)
    if left: return f'orphans {left}: {out[-300:]}', took
    if code == 0: return f'no error: {out[-300:]}', took
    if took > calm*2 + LIMIT + 35: return f'took {took:.0f} s: {out[-300:]}', took         # torchrun kills a stopped process after 30
    told = TOLD.get(kind, '')
    if not re.search(told.format(rank), out): return f'not told: {out[-1500:]}', took
    if kind == 'error' and rank == '1' and '(rank 1, exit code 2)' not in out: return f'without the rank: {out[-1500:]}', took
    in_use = (folder/'config.json').exists() or (folder/'checkpoints').exists()
    code, out, left, *_ = torchrun(tmp, 'trial', '- - -', *['--resume']*in_use)
    if code or left: return f'resumed with {code}: {out[-300:]}', took
    if result(folder) != expected: return 'other bits', took
    return '', took

def ranks(tmp, trials=()):
    "Try each fault of one of two processes."
    start = time.time()
    code, out, *_ = torchrun(tmp, 'together', '- - -')
    assert not code, out
    expected, calm, found = result(tmp/'runs'/'together'), time.time() - start, {}
    for fault in trials or RANK_TRIALS:
        wrong, took = found[fault] = lost(tmp, fault, expected, calm)
        print(f'rank {fault}: {wrong or "as promised"} ({took:.0f} s)', flush=True)
    return dict(trials=len(found), passed=sum(not w for w, _ in found.values()), failed={f: w for f, (w, _) in found.items() if w},
                limit_seconds=LIMIT, calm_seconds=calm, longest_seconds=max(t for _, t in found.values()))

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--every', type=int, default=1); p.add_argument('--flips', type=int, default=200)
    p.add_argument('--only', nargs='+', default=('faults', 'files', 'signals', 'ranks'), metavar='SECTION')
    p.add_argument('--faults', nargs='+', default=(), choices=[*KILLS, *ERRORS], help='only these; default: all')
    p.add_argument('--trials', nargs='+', default=(), help='phases of signals, or faults of ranks such as "1 training stop"')
    p.add_argument('--out', type=Path)
    a = p.parse_args()
    tmp = Path(tempfile.mkdtemp()).resolve()
    run(tmp, 'first')                                       # prepares the data
    code, out = run(tmp, 'calm')
    assert not code, out
    expected, events, start = result(tmp/'runs'/'calm'), int(out.split('events ')[1]), time.time()
    print(f'{events} events in an undisturbed run', flush=True)
    faults = {}
    for i, (name, mode) in enumerate({**KILLS, **ERRORS}.items() if 'faults' in a.only else ()):
        if a.faults and name not in a.faults: continue
        every = a.every*(2 if mode > 0 else 1)
        at = range(1 + i % every, events + 1, every)
        wrong = {n: w for n in at if (w := broken(tmp, expected, n, mode))}
        faults[name] = dict(trials=len(at), passed=len(at) - len(wrong), failed=wrong)
        print(f'{name}: {len(at) - len(wrong)} of {len(at)} ({time.time() - start:.0f} s)', *wrong.items(), sep='\n  ', flush=True)
    files = damaged(tmp/'runs'/'calm', a.flips, random.Random(0)) if 'files' in a.only else {}
    signalled = signals(tmp, expected, a.trials) if 'signals' in a.only else {}
    together = ranks(tmp, a.trials) if 'ranks' in a.only else {}
    env = environment_info(make_setup(Config(device='cpu', compile='no')))
    if a.out: dump_json(a.out, dict(environment=env, events=events, faults=faults, damaged=files, signals=signalled, ranks=together))
    shutil.rmtree(tmp)
    bad = sum(len(f['failed']) for f in [*faults.values(), *signalled.values(), *[together]*bool(together)]) + sum(v for c in files.values() for k, v in c.items() if k not in ('error', 'right'))
    print('all as promised' if not bad else f'{bad} outcomes are not as promised')
    return bool(bad)

if __name__ == '__main__': sys.exit(main())
