"""Two processes under torchrun, one of which is killed, stopped or fails: the other one must leave in time."""
import os, re, subprocess, sys, time
from pathlib import Path
from owt_transformer import command, step
from owt_transformer.files import InputError
from faults import LINE, counted, fresh, in_use, result

LIMIT = 20      # seconds, OWT_DIST_TIMEOUT of the trials
SCRIPT = """
import os, sys; sys.path.insert(0, {ci!r})
from faults import {module}
from owt_transformer import command
if fault := os.environ['FAULT']: {module}.inject(fault)
sys.exit(command.main())
"""

def before(owner, name, act, due=lambda *args: True):
    "Call `act()` once, before `owner.name` does its work."
    work, done = getattr(owner, name), []
    def wrapped(*args, **kwargs):
        if not done and due(*args): done.append(1); act()
        return work(*args, **kwargs)
    setattr(owner, name, wrapped)

def inject(fault):
    "Let this process fail, if it has the rank of a fault such as '1 training stop'."
    rank, phase, kind = fault.split()
    def fail():
        if kind == 'exception': raise RuntimeError('injected')
        if kind == 'error': raise InputError('injected: choose another')
        number = dict(kill=9, stop=19, term=15, int=2)[kind.split('-')[0]]
        os.kill(os.getppid() if kind.endswith('torchrun') else os.getpid(), number)
        time.sleep(.2)
    if rank != os.environ['RANK']: return
    if phase == 'preparing': before(command, 'prepare_data', fail)
    if phase == 'evaluating': before(command.ValidationHook if rank == '0' else command._WaitForFirst, 'on_evaluate', fail)
    if phase == 'training': before(step.FastStep, '__call__', fail, lambda s: s.state.step == 13)

KINDS = dict(preparing=('kill', 'stop'), evaluating=('kill', 'stop'), training=('kill', 'stop', 'exception', 'error', 'term'))
TRIALS = [f'{rank} {phase} {kind}' for rank in (0, 1) for phase, kinds in KINDS.items() for kind in kinds] + ['0 preparing kill-torchrun', '0 training kill-torchrun']
SHORT = ['1 training kill']
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

def torchrun(tmp, name, fault, *argv, module='ranks'):
    "Run two processes with a fault of a module; return the exit code, the output, what was left, and the seconds."
    start, log, script = time.time(), tmp/'log', tmp/'together.py'
    script.write_text(SCRIPT.format(ci=str(Path(__file__).parent.parent), module=module))
    with open(log, 'w') as f:
        p = subprocess.Popen([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', script, *LINE,
                              '--data-dir', str(tmp/'data'), '--output-dir', str(tmp/'runs'), '--name', name, *argv], stdout=f, stderr=f,
                             env=os.environ | dict(OWT_DIST_TIMEOUT=str(LIMIT), FAULT=fault, LD_PRELOAD=''))
    try: code = p.wait(600)
    except subprocess.TimeoutExpired: code = None
    ended = time.time()
    while (left := alive(str(script))) and time.time() < ended + 2*LIMIT: time.sleep(.2)
    for pid in left: os.kill(pid, 9)
    return code, log.read_text(errors='replace'), left, time.time() - start

def lost(tmp, fault, expected, calm):
    "Let one of two processes fail and resume; return what went wrong, or '', and the seconds until all were gone."
    folder, (rank, _, kind) = fresh(tmp/'runs'/'trial'), fault.split()
    code, out, left, took = torchrun(tmp, 'trial', fault)
    if left: return f'orphans {left}: {out[-300:]}', took
    if code == 0: return f'no error: {out[-300:]}', took
    if took > calm*2 + LIMIT + 35: return f'took {took:.0f} s: {out[-300:]}', took         # torchrun kills a stopped process after 30
    if not re.search(TOLD.get(kind, '').format(rank), out): return f'not told: {out[-1500:]}', took
    if kind == 'error' and rank == '1' and '(rank 1, exit code 2)' not in out: return f'without the rank: {out[-1500:]}', took
    code, out, left, _ = torchrun(tmp, 'trial', '', *['--resume']*in_use(folder))
    if code or left: return f'resumed with {code}: {out[-300:]}', took
    return '' if result(folder) == expected else 'other bits', took

def section(tmp, calm, options):
    "Try each fault of one of two processes, or one of them."
    folder, found = fresh(tmp/'runs'/'together'), {}
    code, out, _, seconds = torchrun(tmp, 'together', '')
    assert not code, out
    expected = result(folder)
    for fault in SHORT if options.short else options.trials or TRIALS:
        found[fault] = lost(tmp, fault, expected, seconds)
        print(f'rank {fault}: {found[fault][1]:.0f} s', flush=True)
    return counted('ranks', {f: w for f, (w, _) in found.items()}, limit_seconds=LIMIT, calm_seconds=seconds,
                   longest_seconds=max(t for _, t in found.values()))
