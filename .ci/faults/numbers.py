"""What is not finite: NaN, infinity or an overflow in a loss, a gradient or a weight, at every kind of step.

A bad loss or gradient must cost exactly its own update, and a broken weight must end the run before it is saved."""
import math, os, re
import safetensors.torch, torch
from owt_transformer.optim import Update
from owt_transformer.run import content_sha256, load_checkpoint, load_run
from owt_transformer.step import FastStep, Loss
from faults import counted, fresh, in_use, not_told, ranks, run, training

VALUES = {'NaN': math.nan, 'inf': math.inf, 'overflow': 3e38}     # whose square, or product with a weight, is infinite
OPTIONS = '--log-interval', '4', '--checkpoint-interval', '5'     # rows at steps 4, 5, 8, 10 …; evaluations at 10 and 20
# of which step; in the weights: after which step
TRIALS = """
    NaN in the loss at 7
    overflow in the loss at 4
    inf in the loss at 10
    NaN in the gradient at 10
    inf in the gradient at 5
    overflow in the gradient at 7
    overflow in the gradient at 20
    NaN in the unused gradient at 7
    inf in the unused gradient at 10
    NaN in the loss at 7, then SIGTERM
    overflow in the gradient at 10, then SIGTERM
    inf in the loss from 11 to 13, then SIGTERM
    NaN in the gradient from 11 to 20
    NaN in the weight at 3
    inf in the weight at 10
    overflow in the weight at 13
    NaN in the unused weight at 7
    inf in the unused weight at 5
    NaN in the weight at 13, then SIGTERM
    inf in the unused weight at 13, then SIGTERM
    rank 1: NaN in the gradient at 7
    rank 1: inf in the loss at 10
    rank 1: NaN in the weight at 8
    rank 0: overflow in the gradient at 7, then SIGTERM"""
TRIALS = [line.strip() for line in TRIALS.strip().splitlines()]
SHORT = ['NaN in the loss at 7, then SIGTERM', 'overflow in the gradient at 10', 'inf in the unused weight at 5']

def parse(trial):
    "Return who is hit ('' alone), the kind of number, its place, the steps, and the signal (or '') of a trial."
    who, what, where, first, last, sig = re.fullmatch(
        r'(?:(rank \d|both): )?(\w+) in the (.+) (?:at|from) (\d+)(?: to (\d+))?(, then SIGTERM)?', trial).groups('')
    return who, what, where, range(int(first), int(last or first) + 1), sig

def inject(trial):
    "Let this process compute what is not finite, at the steps of a trial; 'update' leaves out the update instead."
    who, what, where, steps, sig = parse(trial)
    if who.startswith('rank') and who != f'rank {os.environ["RANK"]}': return
    value, unused = VALUES.get(what), where.startswith('unused')
    call, hidden, update, hit = FastStep.__call__, Loss.hidden, Update.step, []
    bad = lambda g: g.index_fill(0, torch.tensor(200 if unused else 5), value)      # no text has the byte 200
    def __call__(self):
        w = self.model.model.embedding.weight if unused else self.model.head.weight
        n = self.state.step + 1
        if n not in steps: return call(self)
        hit.append(n)
        hook = w.register_hook(bad) if 'gradient' in where else None
        call(self)
        hit.clear()
        if hook: hook.remove()
        if 'weight' in where: w.data.copy_(bad(w.data))
        if sig and n == steps[-1]: os.kill(os.getpid(), 15)
    FastStep.__call__ = __call__
    if where == 'loss': Loss.hidden = lambda self, x: hidden(self, x)*(value if hit else 1)
    if where == 'update': Update.step = lambda *args: None if hit else update(*args)

def tensors(obj):
    "List all tensors of nested values."
    if isinstance(obj, torch.Tensor): return [obj]
    return [t for v in (obj.values() if isinstance(obj, dict) else obj if isinstance(obj, (list, tuple)) else ()) for t in tensors(v)]

def not_finite(folder):
    "List the files of checkpoints that hold what is not finite."
    read = {'.pt': load_checkpoint, '.safetensors': safetensors.torch.load_file}
    return [f.name for f in (folder/'checkpoints').glob('*') if not all(t.isfinite().all() for t in tensors(read[f.suffix](f)))]

def weights(folder):
    content = load_checkpoint(folder/'checkpoints'/'final_checkpoint.pt')
    return content_sha256([content['model'], content['optimizer']['state']])

def trained(tmp, name, trial, *argv):
    "Train, alone or as two processes, with a fault or with ''; return the exit code and the output."
    if trial.startswith(('rank', 'both')): return ranks.torchrun(tmp, name, trial, *OPTIONS, *argv, module='numbers')[:2]
    return run(training(tmp, name, *OPTIONS, *argv), lambda: trial and inject(trial))

def finished_wrongly(folder, skipped, expected):
    "Return what is wrong with a finished run, or ''."
    kept, found = load_run(folder), not_finite(folder)
    if found: return f'not finite: {found}'
    rows = load_checkpoint(folder/'checkpoints'/'final_checkpoint.pt')['rows']
    told, last = {}, 0
    for row in rows:
        own, last = range(last + 1, row['step'] + 1), row['step']
        if n := len({*skipped} & {*own}): told[last] = n
        if n < len(own) and not math.isfinite(row['train_loss']): return f'a row whose loss is {row["train_loss"]}'
    recorded = {row['step']: row['skipped_steps'] for row in rows if row.get('skipped_steps')}
    if (recorded, kept.summary['skipped_steps']) != (told, len(skipped)): return f'{recorded} skipped, not {told}'
    if not math.isfinite(kept.summary['valid_loss']): return 'a summary that is not finite'
    return '' if weights(folder) == expected(skipped) else 'other weights'

def wrong(tmp, trial, expected):
    "Train with a fault and resume without it; return what went wrong, or ''."
    folder, (who, _, where, steps, sig) = fresh(tmp/'runs'/'trial'), parse(trial)
    stops = 'weight' in where or len(steps) == 10           # ten steps in a row
    code, out = trained(tmp, 'trial', trial)
    if who and not (code and re.search('^error: ', out, re.M) if stops else bool(code) == bool(sig)): return f'code {code}: {out[-1500:]}'
    if stops and not who and (end := not_told(code, out)): return end
    if not stops and not who and code != (130 if sig else 0): return f'code {code}: {out[-300:]}'
    if found := in_use(folder) and not_finite(folder): return f'not finite: {found}'
    last = folder/'checkpoints'/'final_checkpoint.pt'
    saved = load_checkpoint(last)['step'] if last.exists() else 0
    if stops and saved != (good := max(s for s in (0, 5, 10, 15) if s < steps[0])): return f'saved at {saved}, not at {good}'
    if code: code, out = trained(tmp, 'trial', NOTHING[bool(who)], '--resume')
    return f'resumed with {code}: {out[-300:]}' if code else finished_wrongly(folder, () if stops else steps, expected)

NOTHING = '', 'both: NaN in the update at 99'               # alone, of two

def section(tmp, calm, options):
    "Try each number in each place."
    known, found = {}, {}
    def expected(two, skipped):
        "Return the weights of a run without the updates of some steps."
        if (key := (two, *skipped)) not in known:
            steps = f'from {skipped[0]} to {skipped[-1]}' if skipped else 'at 99'
            code, out = trained(tmp, 'left-out', f'{"both: "*two}NaN in the update {steps}')
            assert not code, out
            known[key] = weights(tmp/'runs'/'left-out')
            fresh(tmp/'runs'/'left-out')
        return known[key]
    for trial in SHORT if options.short else options.trials or TRIALS:
        found[trial] = wrong(tmp, trial, lambda skipped: expected(trial.startswith('rank'), skipped))
    return counted('numbers', found)
