"""Kills and errors of the disk at the writes, syncs and renames below a folder, and a small disk that is full."""
import ctypes, errno, json, re, subprocess
from dataclasses import asdict
from faults import counted, fresh, in_use, not_told, parts, result, run, training
from owt_transformer import command
from owt_transformer.config import config_from_dict
from owt_transformer.files import read_json

KILLS = {'kill before': -1, 'kill half-way': -2, 'kill after': -3}
ERRORS = {name: getattr(errno, name) for name in ('ENOSPC', 'EIO', 'EDQUOT', 'EFBIG')}

def arm(folder, at=-1, mode=0):
    "Let the event number `at` below a folder fail, in this process; return the counter of events."
    lib, path = ctypes.CDLL(None), str(folder).encode()
    ctypes.memmove(ctypes.addressof((ctypes.c_char*4096).in_dll(lib, 'faults_folder')), path + b'\0', len(path) + 1)
    for kind, name, value in ((ctypes.c_int, 'faults_mode', mode), (ctypes.c_long, 'faults_count', 0),
                              (ctypes.c_long, 'faults_at', at)): kind.in_dll(lib, name).value = value
    return ctypes.c_long.in_dll(lib, 'faults_count')

def events(action, folder):
    "Run `action` in a fork and count its events below a folder."
    def counting():
        count = arm(folder)
        code = action()
        print(f'\nevents {count.value}')
        return code
    code, out = run(counting)
    assert not code, out
    return int(re.findall(r'^events (\d+)', out, re.M)[-1])

def ended_wrongly(code, out, mode, folder):
    "Return how the end of a disturbed command differs from what is promised, or ''."
    if mode < 0: return '' if code == -9 else f'ended with {code}: {out[-300:]}'
    if wrong := not_told(code, out): return wrong
    return '' if str(folder) in re.search('^error: .*', out, re.M)[0] else f'without the path: {out[-300:]}'

def differs(tmp, bits, folder, line=None):
    "Resume a disturbed run, or start it again; return what is wrong with its result, or ''."
    code, out = run(training(tmp, folder.name, *['--resume']*in_use(folder), line=line))
    if code: return f'resumed with {code}: {out[-300:]}'
    if {result(p.parent) for p in folder.rglob('summary.json')} != {bits}: return 'other bits'     # or no result
    return f'left {left}' if (left := parts(folder)) else ''

def broken(tmp, bits, at, mode, times=1):
    "Disturb a run, then its continuation, and so on; return what went wrong, or ''."
    folder = fresh(tmp/'runs'/'trial')
    for _ in range(times):
        code, out = run(training(tmp, 'trial', *['--resume']*in_use(folder)), lambda: arm(folder, at, mode))
        if wrong := ended_wrongly(code, out, mode, folder): return wrong
    return differs(tmp, bits, folder)

def two_runs(tmp, folder):
    "Write the configuration of an experiment: the run of a folder, twice."
    cfg = config_from_dict(read_json(folder/'config.json'))
    (tmp/'two.json').write_text(json.dumps(dict(runs=[asdict(cfg) | dict(name=name) for name in 'ab'])))
    return ['--config', str(tmp/'two.json')]

def broken_experiment(tmp, bits, at, line):
    "Kill an experiment of two runs and resume it; return what went wrong, or ''."
    folder = fresh(tmp/'runs'/'two')
    code, out = run(training(tmp, 'two', line=line), lambda: arm(folder, at, KILLS['kill half-way']))
    return ended_wrongly(code, out, -2, folder) or differs(tmp, bits, folder, line) or (
        '' if (folder/'comparison.md').exists() else 'no comparison')

def plan_nothing(): command.describe_plan = lambda *args: None

def full(tmp, bits, size):
    "Run on a disk of so many bytes until it is full, enlarge it and resume; return what went wrong, or ''."
    folder = fresh(tmp/'runs'/'full')
    folder.mkdir(parents=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder], check=True)
    try:
        code, out = run(training(tmp, 'full'), plan_nothing)    # as if another program filled the disk later
        if wrong := ended_wrongly(code, out, errno.ENOSPC, folder): return wrong
        subprocess.run(['mount', '-o', 'remount,size=64m', folder], check=True)
        return differs(tmp, bits, folder)
    finally: subprocess.run(['umount', folder], check=True)

def can_mount(tmp):
    (tmp/'mount').mkdir()
    return not any(subprocess.run(c, capture_output=True).returncode for c in (
        ['mount', '-t', 'tmpfs', 'tmpfs', tmp/'mount'], ['umount', tmp/'mount']))

def at_events(n, options, disturb):
    "Call `disturb(at, mode)` for each kind of fault at every n-th event (errors: 2n-th), or once."
    out, kinds = {}, {**KILLS, **ERRORS}
    for i, (name, mode) in enumerate(kinds.items()):
        if options.trials and name not in options.trials: continue
        every = options.every*(2 if mode > 0 else 1)
        at = [(i+1)*n//(len(kinds)+1)] if options.short else range(1 + i % every, n + 1, every)
        out[name] = counted(name, {a: disturb(a, mode) for a in at})
    return out

def section(tmp, calm, options):
    out = at_events(calm.events, options, lambda at, mode: broken(tmp, calm.bits, at, mode))
    if options.trials and {*options.trials} <= {*KILLS, *ERRORS}: return out
    def also(name, places, disturb):
        if not options.trials or name in options.trials:
            out[name] = counted(name, {a: disturb(a) for a in (places[:1] if options.short else places)})
    also('kill three times', range(5, calm.events//4, options.every),
         lambda at: broken(tmp, calm.bits, at, KILLS['kill half-way'], times=3))
    line, n = two_runs(tmp, calm.folder), calm.events       # in the short version: the end of the first run
    if not options.short: n = events(training(tmp, 'again', line=line), fresh(tmp/'runs'/'again'))
    also('kill one of two runs', range(n if options.short else 5, n + 1, 5*options.every),
         lambda at: broken_experiment(tmp, calm.bits, at, line))
    if can_mount(tmp):
        whole = sum(p.stat().st_size for p in calm.folder.rglob('*') if p.is_file())
        also('full disk', range(whole//2, whole, whole//24*options.every), lambda size: full(tmp, calm.bits, size))
    else: print('full disk: skipped, because mount is not allowed')
    return out
