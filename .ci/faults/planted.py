"""Plant one bug in each thing that the campaign promises, and see that a short trial finds it: `../campaign.py --planted`.

Each row runs in a fork of its own, so that its bug reaches its trials, which are forks too, and nothing else. Without the
bug, the same trials must pass."""
import importlib, sys, time
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, NamedTuple
import torch
from owt_transformer import command, corpora, files, reproduce, run as run_module
from owt_transformer.config import Config
from owt_transformer.files import dump_json, load_json
from owt_transformer.optim import Update
from faults import Options, outcomes, ranks, run

class Row(NamedTuple):
    name:str
    bug:str                 # in words
    plant:Callable
    trial:Callable          # of (tmp, calm); true if something is not as promised

def before(owner, name, act):
    "Let `owner.name` begin with `act(*args)`, which returns its arguments."
    work = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: work(*act(*args), **kwargs))

def after(owner, name, act):
    "Let `owner.name` return `act(result)`."
    work = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: act(work(*args, **kwargs)))

def slow(seconds): return lambda *args: (time.sleep(seconds), args)[1]

def section(name, *trials, **options):
    "Return a trial that runs a section of the campaign."
    return lambda tmp, calm: outcomes(importlib.import_module(f'faults.{name}').section(tmp, calm, Options(trials=trials, **options)))[1]

def wrong_input(name):
    "Return a trial of ../hostile.py."
    def trial(tmp, calm):
        sys.argv[1:] = ['--grep', name]
        return importlib.import_module('hostile').main()
    return trial

def golden(tmp, calm):
    "Compare the golden losses with the recorded ones."
    return not reproduce.check_golden(reproduce.golden_losses(), load_json(Path(__file__).parents[2]/'nbs/results/golden/float32.json'))[0]

def repeat_chunk(found):
    "Let an interrupted encoding continue one chunk too early."
    state, digest = found
    return state | dict(chunks=max(0, state['chunks'] - 1)), digest

def silence(): ranks.SCRIPT = 'import os, sys\nif os.environ["RANK"] == "1": sys.stderr = open(os.devnull, "w")\n' + ranks.SCRIPT

ROWS = [
    Row('kills', 'temporary files that a killed run left are not deleted', lambda: setattr(files, 'sweep', lambda *args: None),
        section('disk', 'kill before', every=16)),
    Row('disk errors', 'an error of the disk does not name the file', lambda: setattr(files, 'name_errors', lambda path: nullcontext()),
        section('disk', 'ENOSPC', every=8)),
    Row('data and downloads', 'an interrupted encoding continues one chunk too early', lambda: after(corpora, '_encoded_so_far', repeat_chunk),
        section('data', 'kill after', every=8)),
    Row('damaged files', 'the checksums of prepared data are not compared', lambda: setattr(corpora, 'check_sha256', lambda *args: None),
        section('files', flips=4)),
    Row('numbers', 'an update that is not finite is made', lambda: before(Update, 'step', lambda self, lr, ok: (self, lr, torch.ones_like(ok))),
        section('numbers', 'NaN in the gradient at 10')),
    Row('signals', 'a signal is told after three seconds', lambda: before(command.StopFlag, '_catch', slow(3)), section('signals', 'training')),
    Row('ranks', 'only the first process tells its errors', silence, section('ranks', '1 training error')),
    Row('command lines', 'a command waits for eight seconds', lambda: before(command, 'run_with_exit_code', slow(8)), wrong_input('d-modle')),
    Row('hostile names', 'names are not escaped', lambda: setattr(run_module, 'escape_markup', str), wrong_input('runs with markup')),
    Row('golden steps', 'the schedule of the learning rate is one step ahead', lambda: before(Config, 'lr', lambda self, t: (self, t + 1)), golden)]

def main(tmp, calm, environment, names, out):
    "Plant each bug; print and write which were found, and return whether one was missed."
    found = []
    for row in ROWS:
        if names and row.name not in names: continue
        attempts = [run(lambda: 7 if row.trial(tmp, calm) else 0, plant) for plant in (lambda: None, row.plant)]
        good = [code for code, _ in attempts] == [0, 7]
        found.append(dict(row=row.name, bug=row.bug, found=good))
        print(f'{row.name}: {"found" if good else "MISSED"} ({row.bug})', *[said[-1000:] for _, said in attempts if not good], sep='\n', flush=True)
    if out: dump_json(out, dict(environment=environment, rows=found))
    return not all(f['found'] for f in found)
