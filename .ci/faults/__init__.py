"""What the sections of campaign.py share: a tiny run, made in a fork of this process, and its result.

A section is a function of (tmp, calm, options): the folder for its files, the undisturbed run, and the options of the
command line. It returns what goes into the record; `trials`, `passed` and `failed` count its trials."""
import os, re, shutil, signal, sys, time, traceback
from pathlib import Path
from typing import NamedTuple
from owt_transformer import command
from owt_transformer.run import content_sha256, load_checkpoint, load_run

LINE = ('--config owt-sample --corpus synthetic-stories --synthetic-bytes 60000 --vocab-size 300 --context-length 32 '
        '--d-model 32 --num-layers 1 --num-heads 2 --d-ff 64 --batch-size 8 --max-iters 20 --warmup-iters 2 '
        '--eval-interval 10 --log-interval 5 --checkpoint-interval 10 --sample-tokens 5 --device cpu').split()

class Options(NamedTuple):
    "What the command line asks for."
    short:bool=False        # each kind of fault once
    every:int=1             # inject at every n-th event
    flips:int=200           # damages of each file
    trials:list=()          # only these; default: all

class Calm(NamedTuple):
    "The undisturbed run."
    folder:Path
    bits:tuple              # see `result`
    events:int              # writes, syncs and renames below its folder

def forked(action, prepare=lambda: None):
    "Call `prepare()` and `action()` in a fork, in a process group of its own; return its id and where its output comes."
    read, write = os.pipe()
    if pid := os.fork(): os.close(write); return pid, read, []
    try:
        os.setsid(); os.dup2(write, 1); os.dup2(1, 2); os.close(read); os.close(write)
        signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGHUP, signal.SIG_DFL)
        prepare()
        code = action()
    except BaseException: traceback.print_exc(); code = 1
    sys.stdout.flush(); sys.stderr.flush()
    os._exit(code)

def clock(pid):
    "Return the seconds since some moment, without those in which a process waited for a processor: others may be busy."
    try: waited = int(Path(f'/proc/{pid}/schedstat').read_text().split()[1])
    except (OSError, IndexError): waited = 0                # not Linux
    return time.monotonic() - waited/1e9

def watched(started):
    "Collect the lines of a process and when each came, until it ends; return its exit code (negative: a signal), too."
    pid, out, lines = started
    with open(out, errors='replace') as f:
        for line in f: lines.append((clock(pid), line))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), lines

def run(action, prepare=lambda: None):
    "Call `action()` in a fork after `prepare()`; return its exit code and output."
    code, lines = watched(forked(action, prepare))
    return code, ''.join(line for _, line in lines)

def training(tmp, name, *argv, data=None, line=None):
    "Return a function that trains the tiny run."
    line = [*(line or LINE), '--data-dir', str(data or tmp/'data'), '--output-dir', str(tmp/'runs'), '--name', name, *argv]
    return lambda: command.main(line)

def fresh(folder):
    "Return the path of a folder that does not exist any more."
    shutil.rmtree(folder, ignore_errors=True)
    return folder

def in_use(folder): return (folder/'config.json').exists() or (folder/'checkpoints').exists()

def result(folder):
    "The bits of a finished run: weights, and rows without their times."
    content, kept = load_checkpoint(folder/'checkpoints'/'final_checkpoint.pt'), load_run(folder)
    rows = [{k: v for k, v in r.items() if k != 'seconds'} for r in content['rows']]
    return content_sha256([content['model'], content['optimizer'], rows]), kept.summary['valid_loss'], len(kept.metrics['step'])

def parts(*folders): return [str(p.relative_to(folder)) for folder in folders for p in folder.rglob('*.part')]

def not_told(code, out, expected=2):
    "Return what is wrong with the end of a command that should tell one error, or ''."
    if code == expected and len(re.findall('^error: ', out, re.M)) == 1 and 'Traceback' not in out: return ''
    return f'code {code}: {out[-300:]}'

def counted(name, found, **more):
    "Count trials, a dict of what went wrong in each or '', and print it."
    wrong = {str(t): w for t, w in found.items() if w}
    print(f'{name}: {len(found) - len(wrong)} of {len(found)} as promised', *(f'{t}: {w}' for t, w in wrong.items()), sep='\n  ', flush=True)
    return dict(trials=len(found), passed=len(found) - len(wrong), failed=wrong, **more)

def outcomes(record):
    "Count the trials in the record of a section, and those that did not end as promised."
    if 'failed' in record: return record['trials'], len(record['failed'])
    counts = [outcomes(v) if isinstance(v, dict) else (v, v*(k not in ('error', 'right'))) for k, v in record.items() if k != 'events']
    return tuple(map(sum, zip(*counts))) or (0, 0)
