"""Signals in ten phases of a run: told within a second, without a traceback, and continued to the same bits."""
import json, os, re, subprocess, sys, tempfile, threading, time
from pathlib import Path
from owt_transformer import command, corpora, run as run_module
from faults import LINE, clock, counted, forked, fresh, parts, result, run, training, watched

LIMIT = 1       # seconds until a signal is told
PATTERNS = {'SIGINT': [(2, 0)], 'SIGTERM': [(15, 0)], 'SIGHUP': [(1, 0)], 'SIGINT twice': [(2, 0)]*2,      # (signal, to the group)
            'SIGINT to the group': [(2, 1)], 'SIGTERM to the group': [(15, 1)]}
SHORT = dict(start='SIGTERM', preparing='SIGTERM to the group', claiming='SIGINT', training='SIGTERM', evaluating='SIGHUP', saving='SIGINT twice',
             summarizing='SIGINT to the group')

def send(pattern):
    "Say when, and send the signals of a pattern to this process."
    os.write(1, f'SIGNAL {clock(os.getpid())}\n'.encode())
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

def started(argv, pattern, library):
    "Run the command in a fresh process and send signals as soon as it has loaded a library."
    p = subprocess.Popen([sys.executable, '-m', 'owt_transformer.train', *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         start_new_session=True)
    while library not in Path(f'/proc/{p.pid}/maps').read_text() and p.poll() is None: time.sleep(.01)
    lines = [(0, f'SIGNAL {clock(p.pid)}\n')]
    for i, (number, group) in enumerate(PATTERNS[pattern]):
        if i: time.sleep(.05)
        try: (os.killpg if group else os.kill)(p.pid, number)
        except ProcessLookupError: pass                     # the first has ended it
    with p.stdout: out = os.dup(p.stdout.fileno())
    p.returncode = 0                                        # it is waited for elsewhere
    return p.pid, out, lines

def interrupted(tmp, phase, pattern, expected):
    "Send signals in a phase and resume; return what went wrong, or '', and the seconds until it was told."
    folder, data = fresh(tmp/'runs'/'trial'), tmp/'data'
    if phase == 'preparing': data = fresh(tmp/'fresh')
    options = ['--compile', 'yes' if phase == 'compiling' else 'no'] + ['--config', str(tmp/'two.json')]*(phase == 'comparing')
    line = TWO if phase == 'comparing' else LINE
    again = lambda *argv: training(tmp, 'trial', *options, *argv, data=data, line=line)
    if phase == 'compiling': os.environ['TORCHINDUCTOR_CACHE_DIR'] = tempfile.mkdtemp(dir=tmp)
    if phase == 'start': process = started([*LINE, '--output-dir', str(tmp/'runs'), '--name', 'trial', '--data-dir', str(data), *options],
                                           pattern, 'libtorch_cpu')
    else: process = forked(again(), lambda: PHASES[phase](pattern))
    code, lines = watched(process)
    out = ''.join(line for _, line in lines)
    if phase == 'compiling': os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(tmp/'compiled')
    sent = [float(t) for _, line in lines for t in re.findall(r'SIGNAL ([\d.]+)', line)]
    told = [t for t, line in lines if re.search('interrupted|stopping after this step', line)]
    if not sent: return f'no signal was sent: {out[-300:]}', 0
    if code != 130: return f'exit code {code}: {out[-300:]}', 0
    if re.search('Traceback|Exception', out): return f'traceback: {out[-300:]}', 0
    if not told: return f'not told: {out[-300:]}', 0
    if (after := told[0] - sent[0]) > LIMIT: return f'told after {after:.1f} s', after
    in_use = folder.exists() and any(folder.iterdir())
    code, out = run(again(*['--resume']*in_use))
    if code: return f'resumed with {code}: {out[-300:]}', 0
    if result(folder/'a' if phase == 'comparing' else folder) != expected: return 'other bits', 0
    return f'left {left}' if (left := parts(folder, data)) else '', after

TWO = [a for i, a in enumerate(LINE) if not {'--config', '--corpus'} & {*LINE[max(0, i-1):i+1]}]      # for a list of runs

def undisturbed(tmp, phase, calm):
    "Return the bits of a run that has a phase."
    if phase == 'compiling':
        os.environ['TORCHINDUCTOR_CACHE_DIR'] = str(tmp/'compiled')
        code, out = run(training(tmp, 'compiled', '--compile', 'yes'))
        assert not code, out
        return result(tmp/'runs'/'compiled')
    if phase == 'comparing':
        runs = [dict(name='a', corpus='synthetic-stories'), dict(name='b', corpus='synthetic-web')]
        (tmp/'two.json').write_text(json.dumps(dict(runs=runs)))
        code, out = run(training(tmp, 'two', '--config', str(tmp/'two.json'), line=TWO))
        assert not code, out
        return result(tmp/'runs'/'two'/'a')
    return calm.bits

def section(tmp, calm, options):
    "Try each pattern in each phase, or each pattern once."
    out = {}
    for phase in SHORT if options.short else options.trials or ['start', *PHASES]:
        expected = undisturbed(tmp, phase, calm)
        found = {p: interrupted(tmp, phase, p, expected) for p in PATTERNS if not options.short or p == SHORT[phase]}
        out[phase] = counted(f'signals while {phase}', {p: w for p, (w, _) in found.items()},
                             told_after_seconds=max(t for _, t in found.values()))
    return out
