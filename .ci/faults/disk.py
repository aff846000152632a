"""Kills and errors of the disk at the writes, syncs and renames below a folder."""
import ctypes, errno, re
from faults import counted, fresh, in_use, not_told, parts, result, run, training

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

def broken(tmp, bits, at, mode):
    "Disturb a run and resume it; return what went wrong, or ''."
    folder = fresh(tmp/'runs'/'trial')
    code, out = run(training(tmp, 'trial'), lambda: arm(folder, at, mode))
    if wrong := ended_wrongly(code, out, mode, folder): return wrong
    code, out = run(training(tmp, 'trial', *['--resume']*in_use(folder)))
    if code: return f'resumed with {code}: {out[-300:]}'
    if result(folder) != bits: return 'other bits'
    return f'left {left}' if (left := parts(folder)) else ''

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
    return at_events(calm.events, options, lambda at, mode: broken(tmp, calm.bits, at, mode))
