"""Give the commands wrong command lines, hostile files and servers, and see what they say:

python .ci/hostile.py [--only commands hostile] [--short] [--grep REGEX] [--out nbs/results/reliability/hostile.json]

Each trial runs a command in a fork, in a folder of its own that holds a small text, a tokenizer and a finished run. What is
wrong must end with exit code 2 and one line that begins with `error: ` and holds the wrong value (or what a trial expects),
without a traceback or a control character; what is right must end with 0. All must end within 5 seconds, without those in
which they wait for a processor (others may be busy), need at most 300 MB beyond the start, and leave nothing half-written.
Three servers fall silent: there, each attempt to download may also wait for its time limit, which is set to a second. A
trial that is right prints nothing."""
import argparse, bz2, codecs, collections, contextlib, gzip, hashlib, html, importlib, io, json, lzma, os, pickle, re, resource, shlex, shutil, signal, struct, sys
import tempfile, threading, time, traceback, zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Callable, NamedTuple

os.environ |= dict(OMP_NUM_THREADS='1', HF_ENDPOINT='http://127.0.0.1:9',
                   HF_HUB_DISABLE_TELEMETRY='1', HF_HUB_DISABLE_XET='1')        # no trial leaves this machine
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import torch
from faults import clock
from owt_transformer import benchmark, command, corpora, export, reproduce, writing
from owt_transformer.config import Config, make_parser
from owt_transformer.device import environment_info, make_setup
from owt_transformer.files import dump_json, read_json, sha256, write_json
from owt_transformer.run import content_sha256, load_checkpoint
from owt_transformer.tokenizer import END_OF_TEXT

for name in 'matplotlib.backends.backend_agg', 'matplotlib.figure', 'fastcore.script', 'torch._dynamo', 'torch._inductor.config', 'multiprocessing.pool':
    importlib.import_module(name)                           # once; each trial is a fork
make_parser('train', '')                                    # reads its source once

SECONDS, LIMIT, MEGABYTES = 5, 30, 300
SILENT, ATTEMPTS = ('half', 'hangs', 'hangs later'), 12     # servers; two ways to download, each with five repetitions
COMMANDS = {m.__name__.split('.')[1].replace('command', 'train'): m.main for m in (command, export, writing, benchmark, reproduce)} | dict(
    corpora=lambda argv: command.run_with_exit_code(lambda: corpora.main(argv), '--data-dir'))
SMALL = dict(name='one', corpus='synthetic-stories', synthetic_bytes=60_000, vocab_size=300, context_length=32, d_model=32, num_layers=1,
             num_heads=2, d_ff=64, batch_size=8, max_iters=20, warmup_iters=2, eval_interval=10, log_interval=5, checkpoint_interval=10,
             sample_tokens=5, device='cpu', compile='no')
TEXT = ''.join(f'{n} fish, {n + 1} birds and a naïve cat sat on a mat.\n{END_OF_TEXT}\n' for n in range(400))

class Trial(NamedTuple):
    argv: list                          # the name of a command and its arguments
    expect: str                         # part of the error; or 'ok' and part of the output
    prepare: Callable = lambda: None    # makes the files, in the folder of the trial
    name: str = ''                      # default: the command line
    check: Callable = lambda folder: '' # says what is wrong with the files that it has written

    def __str__(self): return self.name or ascii(shlex.join(self.argv))[1:-1][:150]

def files(): return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in Path('.').rglob('*') if p.is_file()}

def child(trial, log):
    "Run a trial in this process; return its exit code."
    try:
        os.setsid()
        trial.prepare()
        Path('before.json').write_text(json.dumps(dict(files=files(), megabytes=rss())))    # a fork begins without file pages
        out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0); os.dup2(out, 1); os.dup2(out, 2)
        used = int(Path('/proc/self/statm').read_text().split()[0])*resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (4 << 30),)*2)            # protects this machine
        signal.signal(signal.SIGALRM, signal.SIG_DFL)        # ends this process; the others of its group are killed by the first
        signal.setitimer(signal.ITIMER_REAL, LIMIT)
        code = COMMANDS[trial.argv[0]](trial.argv[1:])
    except SystemExit as e: code = e.code                   # argparse
    except BaseException: traceback.print_exc(); code = 1
    with contextlib.suppress(Exception): sys.stdout.flush(); sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)

def attempt(trial, template, folder):
    "Run a trial in a fork; return what went wrong, or '', the seconds until its end and of the processor, and the megabytes."
    shutil.copytree(template, folder, symlinks=True)
    log, start = folder.with_suffix('.log'), time.monotonic()
    if not (pid := os.fork()): os.chdir(folder); child(trial, log)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    took = clock(pid) - start
    _, status, usage = os.wait4(pid, 0)
    busy = usage.ru_utime + usage.ru_stime
    try: before = json.loads((folder/'before.json').read_text())
    except OSError: before = dict(files={}, megabytes=0)    # the trial itself failed
    used = usage.ru_maxrss/1024 - before['megabytes']
    out = log.read_text(errors='replace') if log.exists() else 'the trial itself failed'
    with contextlib.suppress(ProcessLookupError): os.killpg(pid, 9)
    wrong = (verdict(trial, os.waitstatus_to_exitcode(status), out, max(took, busy), used)
             or leftovers(folder, status, before['files']) or trial.check(folder))
    shutil.rmtree(folder)
    return wrong, took, busy, used

def rss(): return int(Path('/proc/self/statm').read_text().split()[1])*resource.getpagesize()/2**20

def verdict(trial, code, out, took, used):
    good, end = trial.expect.startswith('ok'), re.sub(r'\s+', ' ', out)[-300:]
    if code in (-9, -14): return f'killed after {LIMIT} s: {end}'
    if 'Traceback' in out: return f'traceback: {end}'
    if code != (0 if good else 2): return f'exit code {code}: {end}'
    if took > SECONDS + ATTEMPTS*(trial.name in SILENT): return f'{took:.1f} s: {end}'
    if used > MEGABYTES: return f'{used:.0f} MB: {end}'
    if good: return '' if trial.expect[2:].strip() in out else f'without {trial.expect[2:].strip()!r}: {end}'
    lines = out.split('\n')
    found = [line for line in lines if re.match('(error|python -m owt_transformer[.][a-z]+: error): ', line)]
    if len(found) != 1 or lines[-2:] != [found[0], '']: return f'not one line of error, at the end: {end}'
    if not found[0].isprintable(): return f'control characters: {ascii(found[0])}'
    return '' if trial.expect in found[0] else f'without {trial.expect!r}: {found[0][:300]}'

def leftovers(folder, status, before):
    "List temporary files, and after an error new files that are not cached data."
    left = []
    for path in folder.rglob('*'):
        name = str(path.relative_to(folder))
        if path.is_symlink() or not (path.is_file() or path.name.endswith('.part')): continue
        new = name not in before or before[name] != [(s := path.stat()).st_size, s.st_mtime_ns]
        allowed = name == 'before.json' or name.startswith(('data', 'hub')) or not status
        if new and (path.name.endswith(('.part', '.log.json')) or not allowed): left.append(name)
    return f'left {left}' if left else ''

# --- command lines and configurations

def table(text, head=()):
    "Make a trial of each line `arguments | expected`; without it, the last word is expected."
    trials = []
    for line in text.strip().splitlines():
        argv, _, expect = line.partition(' | ')
        argv = [codecs.decode(w, 'unicode_escape') if '\\' in w else w for w in shlex.split(argv)]
        expect = expect.strip().replace('@last', argv[-1]) or argv[-1]
        trials.append(Trial([*head, *argv], expect))
    return trials

FIELDS = '''
d-model             wide 1.5 1e9 0 -64 1000000000 99999999999999999999
vocab-size          256 65537 0x100 ten
context-length      0 nan 1000000000000000000
num-layers          0 -1 1000000 1025 2;
num-heads           3 0 2.0
d-ff                0 1e3 9999999999
rope-theta          0 -1 nan inf ten
norm-eps            0 nan -1e-05
position            rope2 ROPE 0
norm                layer
norm-placement      before
ffn                 relu
corpus              ../up nowhere a/b
synthetic-bytes     0 1e18 -5 1000000000000000000
workers             -1 many
optimizer           sgd adamW
batch-size          0 -8 8.0 3000000000
max-iters           0 1e9 1000000000 -3
learning-rate       0 -0.1 nan inf fast
min-learning-rate   1.5 -1.0 nan
warmup-iters        21 -1
weight-decay        -0.1 inf
head-lr-scale       0 nan
beta1               1.0 -0.1 nan
beta2               1.0 two
grad-clip           0 -1.0 inf
seed                -1 18446744073709551616 0.5
eval-interval       0 1e2
eval-tokens         -1
log-interval        0 often
patience            -1
checkpoint-interval 0
sample-tokens       -1 1000000000000000000
log                 wandb
device              gpu cuda:99 tpu cpu:7 7
dtype               half float64
compile             maybe
step                slow
accumulate          3 -1 1.5
init-from           nowhere
tokenizer           nowhere
train-text          nowhere.txt
valid-text          text.txt
'''

def fields():
    "One trial for each wrong value of each field."
    for line in FIELDS.strip().splitlines():
        name, *words = line.split()
        for w in words:
            yield Trial(['train', '--config', 'one.json', '--name', 'new', f'--{name}={w}'],
                        w)

LINES = '''
train --config one.json --name new --d-modle 64 | --d-modle
train --config one.json --name new --lr 1e-3 | --learning-rate
train --config one.json --name new extra
train --config one.json --name new '' | ''
train --config one.json --name new --d-model | --d-model
train --config one.json --name new --tie-embeddings=maybe | maybe
train --config one.json --name new --resume=7 | 7
train --config one.json --name new --train-text text.txt --corpus owt --valid-text text.txt | text.txt
train --config one.json --name new --min-learning-rate 1 --learning-rate .5 | 1.0
train --config one.json --name new --warmup-iters 9 --max-iters 8 | 9
train --config one.json --name new --d-model 6 --num-heads 2 | 3
train --config one.json --name new --init-from run --tokenizer nowhere | nowhere
train --config one.json --name new --init-from one.json | one.json
train --config one.json --name new --train-text text.txt --vocab-size 60000 | 60000
train --config one.json --name new --train-text text.txt --context-length 9999999 | 9999999
train --config one.json --name new --resume | new
train --config one.json --output-dir . --name run --resume --d-model 64 | 64
train --config one.json --output-dir . --name run | run holds a run already
train --config one.json --output-dir . --name . --resume | '.'
train --config one.json --output-dir . --name text.txt | text.txt
train --config one.json --output-dir text.txt --name new | text.txt
train --config one.json --output-dir /dev/null --name new | /dev/null
train --config one.json --output-dir /proc/nowhere --name new | /proc/nowhere
train --config one.json --data-dir text.txt --name new --corpus synthetic-web | text.txt
train --config one.json --name comparison.md --plan | ok
train --config one.json --name ..
train --config one.json --name a/b
train --config one.json --name '' --plan | ok
train --config one.json --name '\\n' | \\n
train --config one.json --name 'a\\x1b[31m' | a\\x1b[31m
train --config one.json --name 'a\\u200db' | a\\u200db
train --config one.json --name 'a\\u202eb' | a\\u202eb
train --config one.json --name 'a\\udce9b' | a\\udce9b
train --config one.json --name con --plan | ok
train --config one.json --name '<b>|`$(x)`' --plan | ok <b>|`$(x)`
train --config two.json --name new --corpus owt | corpus
train --config owtt | owt
train --config one.jsn
train --config nowhere.json
train --config . | '.'
train --config data | data
train --help | ok --d-model
train --config one.json --plan | ok parameters
train --config two.json --plan | ok parameters
train --config tinystories-sample --device cpu --plan | ok parameters
train --config one.json --output-dir . --name run --resume | ok nats per token
train --config one.json --name new --max-iters 2 --warmup-iters 0 | ok results in
train --config one.json --name new --train-text text.txt --max-iters 2 | ok results in
corpora | action
corpora prepare | what
corpora prepare nowhere | nowhere
corpora prepare ../up --train-text text.txt | ../up
corpora prepare 'a\\nb' --train-text text.txt | a\\nb
corpora prepare '' --train-text text.txt | ''
corpora delete owt | delete
corpora verify owt | owt
corpora verify '*' | *
corpora verify '../../**' | ../../**
corpora inspect nowhere.txt
corpora inspect '' | is
corpora inspect 'a\\x1b[2Jb' | a\\x1b[2Jb
corpora prepare mine --train-text text.txt --vocab-size 5 | 5
corpora prepare mine --train-text text.txt --vocab-size=-5 | -5
corpora prepare mine --train-text text.txt --vocab-size 1e9 | 1e9
corpora prepare mine --train-text text.txt --vocab-size 99999999999999999999 | 99999999999999999999
corpora prepare mine --train-text text.txt --vocab-size 60000 --workers 1 | 60000
corpora prepare mine --train-text text.txt --vocab-size 300 --workers=-3 | -3
corpora prepare mine --train-text text.txt --vocab-size 300 --workers=x | x
corpora prepare mine --train-text text.txt --tokenizer nowhere | nowhere
corpora prepare mine --train-text text.txt --tokenizer tokenizer --vocab-size 400 | 400
corpora prepare mine --train-text nowhere.txt
corpora prepare mine --valid-text text.txt | valid_text
corpora prepare mine --train-text text.txt --train | --train
corpora prepare mine --train-text text.txt --data-dir text.txt | text.txt
corpora prepare mine --train-text text.txt --data-dir /dev/null/x | /dev/null/x
corpora --help | ok vocab
corpora prepare mine --train-text text.txt --vocab-size 300 --workers 1 | ok vocabulary size 300
corpora inspect text.txt | ok 400 document
export | model
export run | folder
export run run | run is there already
export nowhere new | nowhere
export text.txt new | text.txt
export '' new | .
export run new extra | extra
export run new --back=7 | 7
export run text.txt/new | text.txt/
export run /proc/nowhere/new | /proc/nowhere
export run 'text.txt/\\x07' | text.txt/
export run/metrics.csv new | metrics.csv
export tokenizer new | tokenizer
export --help | ok folder
export run new | ok wrote new
export run new --back | ok wrote new
export run 'odd \\u200d \\xa0 é' | ok
writing | RUN
writing nowhere | nowhere
writing run --temperature=-1 | -1
writing run --temperature nan | nan
writing run --temperature hot | hot
writing run --temperature inf | ok
writing run --temperature 1e-320 --length 5 | ok
writing run --top-k 0 | 0
writing run --top-k=-3 | -3
writing run --top-k 1.5 | 1.5
writing run --top-p 0 | 0
writing run --top-p 1.5 | 1.5
writing run --top-p nan | nan
writing run --seed 18446744073709551616 --length 3 | ok
writing run --seed x | x
writing run --number=-1 | -1
writing run --number 0 | 0
writing run --number 1000000000000 | 1000000000000
writing run --length=-1 | -1
writing run --length 1e9 | 1e9
writing run --device tpu | tpu
writing run --device cpu --prompts nowhere.txt | nowhere.txt
writing run --device cpu --prompts . | .
writing run --device cpu --read nowhere.txt | nowhere.txt
writing run --device cpu --read . | .
writing run --prompts - | no prompt
writing run --colour | --colour
writing --help | ok temperature
writing run --prompt '\\udce9 é \\u200d' --length 5 | ok
writing run --json --length 5 --number 2 --top-k 99999999999999999999 | ok logprobs
writing run --read text.txt | ok bits per byte
benchmark --config nowhere.json
benchmark --config one.json --d-model 7 | 7
benchmark --config one.json --compare=3 | 3
benchmark --config one.json --resum | --resum
benchmark --config one.json --rounds 9 | --rounds
benchmark --config one.json --device cuda:77 | cuda:77
benchmark --config one.json --output-dir text.txt | text.txt
benchmark --config one.json --compare --norm none | norm
benchmark --help | ok --ladder
reproduce nowhere | nowhere
reproduce text.txt | text.txt
reproduce 'a\\nb' | a\\nb
reproduce . --record | float32.json
reproduce . extra | extra
reproduce --help | ok results
reproduce results --skip-demo | ok this machine reproduces
reproduce results --record | ok
'''

J = json.dumps
CONFIGS = [      # the content of a configuration file, and what the error must hold
    ('', 'new.json'), ('{', 'new.json'), ('[]', 'list'), ('7', 'int'), ('null', 'NoneType'), ('"x"', 'str'), ('{} {}', 'new.json'),
    ('{"d_model": 64, "d_model": 32}', 'd_model'), ('{"d_model": "64"}', "'64'"), ('{"d_model": 64.0}', '64.0'), ('{"d_model": true}', 'True'),
    ('{"d_model": null}', 'None'), ('{"d_model": [64]}', '[64]'), ('{"d_modle": 64}', 'd_modle'), ('{"learning_rate": NaN}', 'nan'),
    ('{"learning_rate": 1e999}', 'inf'), ('{"learning_rate": -Infinity}', '-inf'), ('{"seed": 1' + '0'*5000 + '}', 'new.json'),
    ('{"seed": 1' + '0'*400 + '}', '10000'), ('{"learning_rate": 1' + '0'*400 + '}', '10000'), ('{"name": ""}', "''"), ('{"name": "a/b"}', 'a/b'),
    ('{"name": 7}', '7'), ('{"name": "\\ud800"}', '\\ud800'), (J(SMALL | dict(name='x'*300)), 'xxx'), ('{"train_text": "\\u0000"}', '\\x00'),
    ('{"tie_embeddings": "no"}', "'no'"), ('{"tie_embeddings": 0}', '0'), ('{"": 1}', "''"), ('{"runs": []}', 'runs'), ('{"runs": {}}', 'runs'),
    ('{"runs": [1]}', 'runs'), ('{"runs": [{}, {}]}', 'same name'), ('{"runs": [{"runs": []}]}', "'runs'"),
    ('{"runs": [{"name": "config.json"}, {"name": "b"}]}', 'config.json'), (J(dict(runs=[SMALL, SMALL | dict(name='b', max_iters=9)])), 'budget'),
    ('['*100_000, 'new.json'), ('{"a":'*100_000, 'new.json'), ('{"data": ' + '['*900 + ']'*900 + ', "d_model": "x"}', "'x'"),
    ('\ufeff{}', 'new.json'), (b'\xff\xfe{\0}\0', 'new.json'), (b'\0'*1000, 'new.json'), ('{"d_model": 64,}', 'new.json'),
    ("{'d_model': 64}", 'new.json'),
    (J(SMALL | dict(vocab_size=10**30)), '1000000'), (J(SMALL | dict(corpus='x'*100_000)), 'xxx'),
    (J(SMALL | dict(corpus='<img onerror=x>')), '<img')]

def write(path, content):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode('utf-8', 'surrogatepass'))

def commands():
    kinds = collections.defaultdict(list, {'train': [*fields()]})
    for trial in table(LINES): kinds[trial.argv[0]].append(trial)
    for content, expect in CONFIGS:
        own_name = str(content).startswith('{"name"')
        kinds['configuration files'].append(Trial(
            ['train', '--config', 'new.json', '--device', 'cpu', *([] if own_name else ['--name', 'new'])], expect,
            lambda c=content: write('new.json', c), name=f'configuration {str(content)[:60]!r}'))
    return kinds

# --- hostile files, names and servers

def saved(file, change):
    "Change the content of a checkpoint, and give it the right checksum."
    def prepare():
        content = load_checkpoint(file)
        change(content)
        repeated = isinstance(content.get('model'), torch.Tensor) and 0 in content['model'].stride()       # no checksum is computed
        torch.save({**content, 'sha256': '0'*64 if repeated else content_sha256(content)}, file)
    return prepare

def put(key, value): return lambda content: content.__setitem__(key, value)
def config(**values): return lambda content: content['config'].update(values)
def drop(*keys): return lambda content: [content.pop(k) for k in keys]
def words(**values): return lambda content: content['tokenizer'].update(values)
def weight(name, f): return lambda content: content['model'].update({name: f(content['model'][name])})

BEST, LAST = 'run/checkpoints/best_model.pt', 'run/checkpoints/final_checkpoint.pt'
BYTES = [[i, chr(i)] for i in range(256)]
MODELS = {
    'no weights': drop('model'), 'weights: {}': put('model', {}), 'weights: a list': put('model', [1]),
    'weights: a tensor': put('model', torch.ones(3)),
    'a weight missing': lambda c: c['model'].pop('norm.weight'), 'a weight too many': lambda c: c['model'].update(extra=torch.ones(3)),
    'a weight is a number': weight('norm.weight', lambda w: 7.), 'another shape': weight('norm.weight', lambda w: torch.ones(31)),
    'complex weights': weight('norm.weight', lambda w: w + 1j), 'NaN weights': weight('head.weight', lambda w: w*float('nan')),
    'infinite weights': weight('head.weight', lambda w: w/0), 'one number, shown as 2 GB': lambda c: c.update(model=torch.ones(1).expand(1 << 29)),
    'no shape': drop('config'), 'shape: null': put('config', None), 'shape: a list': put('config', [1]), 'unknown field': config(d_modle=3),
    'width 0': config(d_model=0), 'width -64': config(d_model=-64), 'width as text': config(d_model='64'), 'width 2**40': config(d_model=1 << 40),
    'width 2**20': config(d_model=1 << 20), 'width 1.5': config(d_model=32.),
    'vocabulary of 65,536, width 30,000': config(d_model=30_000, vocab_size=1 << 16),
    'a million layers': config(num_layers=10**6), '1,024 layers': config(num_layers=1024), 'no heads': config(num_heads=0),
    'context 0': config(context_length=0),
    'NaN eps': config(norm_eps=float('nan')), 'vocabulary of 2': config(vocab_size=2), 'unknown norm': config(norm='x'),
    'norm: a list': config(norm=[]),
    'no tokenizer': drop('tokenizer'), 'tokenizer: null': put('tokenizer', None), 'no tokens': words(vocab=[]), 'tokens: {}': words(vocab={}),
    'a token twice': words(vocab=BYTES + [[256, 'a']]), 'an id below 0': words(vocab=BYTES + [[-1, 'ab']]),
    'an id of 10**9': words(vocab=BYTES + [[10**9, 'ab']]),
    'an id of 1.5': words(vocab=BYTES + [[256.5, 'ab']]), 'an id of 65,000': words(vocab=BYTES + [[65_000, 'ab'], [256, END_OF_TEXT]], merges=[]),
    'characters beyond bytes': words(vocab=BYTES + [[256, '\u20ac']]), 'merges without result': words(merges=[['a', 'b']]*2),
    'merges of three': words(merges=[['a', 'b', 'c']]), 'special tokens as text': words(special_tokens=END_OF_TEXT),
    'no special token': words(special_tokens=[])}
CHECKPOINTS = {
    'step -1': put('step', -1), 'step 10**9': put('step', 10**9), 'step 1.5': put('step', 1.5), 'step as text': put('step', '7'),
    'no step': drop('step'),
    'rows: null': put('rows', None), 'rows: numbers': put('rows', [1, 2]), 'rows: words': put('rows', [dict(step='x', valid_loss='y')]),
    'no rows': drop('rows'),
    'loss 3 x 3': put('loss_sum', torch.ones(3, 3)), 'loss as text': put('loss_sum', 'x'), 'skipped: 5 numbers': put('skipped', torch.ones(5)),
    'best as text': put('best', 'x'), 'seconds as text': put('seconds', '1'), 'optimizer: {}': put('optimizer', {}),
    'optimizer: a list': put('optimizer', [1]),
    'no optimizer': drop('optimizer'), 'no model': drop('model'), 'model: {}': put('model', {}), 'config: {}': put('config', {}),
    'config: a list': put('config', [1]),
    'config: null': put('config', None), 'an unknown field of config': config(d_modle=3), 'other width': config(d_model=64),
    'data: {}': put('data', dict(a=1)), 'another key': put('seed', 1)}
FINE = {'an unknown field of config', 'Windows line ends'}

class Code:
    def __reduce__(self): return os.system, ('touch hacked',)

def zipped(name, content, method=zipfile.ZIP_STORED, best=BEST):
    def prepare():
        with zipfile.ZipFile(best, 'w', method) as z:
            with z.open(name, 'w') as f: f.writelines(content())
            z.writestr('x/version', '3\n')
    return prepare

def replaced(path, content=None, *, to=None, pipe=False):
    "Put another file, link or pipe in the place of a file."
    def prepare():
        p, new = Path(path), content() if callable(content) else content
        if p.is_dir() and not p.is_symlink(): shutil.rmtree(p)
        p.unlink(missing_ok=True)
        p.parent.mkdir(parents=True, exist_ok=True)
        if to: p.symlink_to(to)
        elif pipe: os.mkfifo(p)
        elif new is None: p.mkdir()
        else: write(p, new)
    return prepare

ENDLESS = {'a pipe': dict(pipe=True), 'endless zeros': dict(to='/dev/zero'), 'a link to itself': dict(to='vocab.json'), 'a folder': {}}
def endless(path): return {name: replaced(path, **(dict(to=Path(path).name) if 'itself' in name else kw)) for name, kw in ENDLESS.items()}
def cut(path, share=.5): return lambda: write(path, (raw := Path(path).read_bytes())[:int(share*len(raw))])
def nested(depth): return b'\x80\x02' + b']'*depth + b'a'*(depth - 1) + b'.'

PT = endless(BEST) | {
    'empty': replaced(BEST, ''), 'a web page': replaced(BEST, '<html>Please log in</html>'), 'cut': cut(BEST), 'a byte is missing': cut(BEST, .999),
    'gzip': replaced(BEST, lambda: gzip.compress(Path(BEST).read_bytes())), 'code': replaced(BEST, lambda: pickle.dumps(Code())),
    'code in a zip archive': zipped('x/data.pkl', lambda: [pickle.dumps(Code(), 2)]), 'nested lists': zipped('x/data.pkl', lambda: [nested(10**5)]),
    'nested lists without zip': replaced(BEST, lambda: nested(10**5)),
    'a bomb of 500 MB': zipped('x/data.pkl', lambda: [b'\x80\x02', *[b'N0'*(1 << 19)]*500], zipfile.ZIP_DEFLATED),
    'pickled numbers': zipped('x/data.pkl', lambda: [pickle.dumps([1], 2)])}

def tokenizer(vocab=None, merges=None, meta=None, raw=()):
    "Change the files of a tokenizer, and give them the right checksums."
    def prepare():
        v, m = json.loads(Path('tokenizer/vocab.json').read_text()), Path('tokenizer/merges.txt').read_text()
        write('tokenizer/vocab.json', J(vocab(v) if vocab else v)); write('tokenizer/merges.txt', merges(m) if merges else m)
        for name, change in dict(raw).items(): write(f'tokenizer/{name}', change(Path('tokenizer', name).read_bytes()))
        kept = read_json('tokenizer/meta.json') | dict(files={n: sha256(f'tokenizer/{n}') for n in ('vocab.json', 'merges.txt')})
        write_json('tokenizer/meta.json', meta(kept) if meta else kept)
    return prepare

VOCABULARIES = {
    'vocab: a list': dict(vocab=lambda v: [*v]), 'vocab: {}': dict(vocab=lambda v: {}), 'vocab: null': dict(vocab=lambda v: None),
    'ids as text': dict(vocab=lambda v: {k: str(i) for k, i in v.items()}),
    'ids of 1.5': dict(vocab=lambda v: v | dict(q=1.5)), 'an id below 0': dict(vocab=lambda v: v | dict(q=-1)),
    'an id of 10**30': dict(vocab=lambda v: v | dict(qq=10**30)),
    'an id twice': dict(vocab=lambda v: v | dict(q=v['a'])), 'a byte is missing': dict(vocab=lambda v: {k: i for k, i in v.items() if k != 'q'}),
    'ids: NaN': dict(vocab=lambda v: v | dict(q=float('nan'))),
    'ids: lists': dict(vocab=lambda v: v | dict(q=[1])), 'an unlisted token': dict(vocab=lambda v: v | {'<|pad|> \u20ac': 300}),
    'an empty token': dict(vocab=lambda v: v | {'': 300}),
    'a byte order mark in vocab': dict(raw={'vocab.json': lambda b: b'\xef\xbb\xbf' + b}),
    'a key twice': dict(raw={'vocab.json': lambda b: b[:-2] + b', "a": 3}'}),
    'vocab in UTF-16': dict(raw={'vocab.json': lambda b: b.decode().encode('utf-16')}),
    'nested vocab': dict(raw={'vocab.json': lambda b: b'['*100_000}), 'empty vocab': dict(raw={'vocab.json': lambda b: b''}),
    'a byte order mark in merges': dict(merges=lambda m: '\ufeff' + m), 'a line of one': dict(merges=lambda m: m + 'abc\n'),
    'a line of three': dict(merges=lambda m: m + 'a b c\n'),
    'two spaces': dict(merges=lambda m: m + 'a  b\n'), 'Windows line ends': dict(merges=lambda m: m.replace('\n', '\r\n')),
    'an unlisted merge': dict(merges=lambda m: m + 'q q\n'),
    'binary merges': dict(raw={'merges.txt': lambda b: b'\xff\xfe\0'*99}), 'meta: {}': dict(meta=lambda d: {}),
    'files: null': dict(meta=lambda d: d | dict(files=None)),
    'files: /dev/zero': dict(meta=lambda d: d | dict(files={'/dev/zero': 'x'})),
    'files: numbers': dict(meta=lambda d: d | dict(files={'vocab.json': 7})),
    'special tokens: text': dict(meta=lambda d: d | dict(special_tokens='<|endoftext|>')),
    'special tokens: null': dict(meta=lambda d: d | dict(special_tokens=None)),
    'special tokens: []': dict(meta=lambda d: d | dict(special_tokens=[])),
    'special tokens: numbers': dict(meta=lambda d: d | dict(special_tokens=[7])),
    'special tokens: surrogates': dict(meta=lambda d: d | dict(special_tokens=['\ud800'])),
    'special token: a letter': dict(meta=lambda d: d | dict(special_tokens=['a']))}

def header(change, size=None):
    "Change the header of a safetensors file."
    def prepare():
        path = Path('llama/model.safetensors')
        raw = path.read_bytes()
        n = struct.unpack('<Q', raw[:8])[0]
        new = change(json.loads(raw[8:8+n]))
        new = new if isinstance(new, bytes) else J(new).encode()
        write(path, struct.pack('<Q', len(new) if size is None else size) + new + raw[8+n:])
    return prepare

def llama(**values): return lambda: write('llama/config.json', J(json.loads(Path('llama/config.json').read_text()) | values))
def norm(**values): return lambda h: h | {'model.norm.weight': h['model.norm.weight'] | values}
WEIGHTS, SHAPE, WORDS = 'llama/model.safetensors', 'llama/config.json', 'llama/tokenizer.json'
LLAMA = {f'weights: {k}': v for k, v in endless(WEIGHTS).items()} | {f'config.json: {k}': v for k,
    v in endless(SHAPE).items()} | {f'tokenizer.json: {k}': v for k, v in endless(WORDS).items()} | {
    'weights: empty': replaced(WEIGHTS, ''), 'weights: cut': cut(WEIGHTS), 'header of 2**60 bytes': header(lambda h: h, 1 << 60),
    'header of 0 bytes': header(lambda h: h, 0), 'header: []': header(lambda h: []),
    'header: nested': header(lambda h: b'['*100_000), 'shape of 10**18': header(norm(shape=[10**18])), 'shape of -1': header(norm(shape=[-1])),
    'offsets beyond the end': header(norm(data_offsets=[0, 10**15])),
    'offsets backwards': header(norm(data_offsets=[64, 0])), 'unknown dtype': header(norm(dtype='F7')), 'numbers as F64': header(norm(dtype='F64')),
    'another weight': header(lambda h: h | dict(x=dict(dtype='F32', shape=[0], data_offsets=[0, 0]))),
    'config.json: []': replaced(SHAPE, '[]'), 'config.json: empty': replaced(SHAPE, ''), 'config.json: nested': replaced(SHAPE, '['*100_000),
    'width as text': llama(hidden_size='x'), 'no heads': llama(num_attention_heads=0), 'heads: null': llama(num_attention_heads=None),
    'width NaN': llama(hidden_size=float('nan')), 'width 10**400': llama(hidden_size=10**400), 'a million layers': llama(num_hidden_layers=10**6),
    'width 2**20': llama(hidden_size=1 << 20), 'rope: a list': llama(rope_parameters=[1]), 'other heads': llama(num_attention_heads=3),
    'tokenizer.json: {}': replaced(WORDS, '{}'), 'tokenizer.json: nested': replaced(WORDS, '['*100_000),
    'tokenizer.json: null': replaced(WORDS, 'null'),
    'tokenizer.json: words': replaced(WORDS, J(dict(version='1.0', added_tokens=[], model=dict(type='WordLevel', vocab=dict(a=0), unk_token='a'))))}

def of_cs336(**files):
    "Make a checkpoint with the names of CS336 and GPT-2's files; replace some of them."
    def prepare():
        from owt_transformer.llama import CS336, to_llama
        from owt_transformer.run import load_model
        model, tok = load_model('run')
        weights = to_llama(model)
        for theirs, name in reversed(CS336.items()): weights = {k.replace(name, theirs): w for k, w in weights.items()}
        os.mkdir('cs336')
        torch.save(dict(model=weights), 'cs336/model.pt')
        tok.save('cs336')
        write('cs336/config.json', J({k: SMALL[k] for k in ('vocab_size', 'context_length', 'd_model', 'num_layers', 'num_heads', 'd_ff')}))
        for name, change in files.items():
            path = Path('cs336', name.replace('_', '.'))
            write(path, change(path.read_text()))
    return prepare

CS336_FILES = {
    'right': ({}, 'ok'), 'a byte order mark in vocab': (dict(vocab_json=lambda t: '\ufeff' + t), 'vocab.json'),
    'a byte order mark in merges': (dict(merges_txt=lambda t: '\ufeff' + t), 'merges.txt'),
    'a bad line': (dict(merges_txt=lambda t: t + 'abc\n'), 'merges.txt'),
    'an unlisted token': (dict(vocab_json=lambda t: t.replace('{', '{"<|a b|>": 999,', 1)), 'vocab.json'),
    'a list': (dict(vocab_json=lambda t: '[]'), 'vocab.json'), 'config.json: {}': (dict(config_json=lambda t: '{}'), 'shape'),
    'config.json: []': (dict(config_json=lambda t: '[]'), 'shape'),
    'width as text': (dict(config_json=lambda t: t.replace('32', '"32"')), 'config.json'),
    'no heads': (dict(config_json=lambda t: t.replace('"num_heads": 2', '"num_heads": 0')), 'num_heads'),
    'nested': (dict(config_json=lambda t: '['*10**5), 'config.json')}

def pages(n): return TEXT*(n//len(TEXT) + 1)
def lines(*docs): return ''.join(J(d) + '\n' for d in docs)
JSONL, ONE = [dict(text='One fish. '*20)]*30, b'x.txt'
TEXTS = {       # content, and what is said
    'UTF-16': (TEXT.encode('utf-16'), 'ok'), 'UTF-16 without a mark': (TEXT.encode('utf-16-le'), 'ok'), 'UTF-32': (TEXT.encode('utf-32'), 'ok'),
    'Latin-1': (TEXT.encode('latin-1'), 'ok'), 'with a mark': ('\ufeff' + TEXT, 'ok'), 'Windows line ends': (TEXT.replace('\n', '\r\n'), 'ok'),
    'gzip': (gzip.compress(TEXT.encode()), 'ok'), 'gzip, three times': (gzip.compress(gzip.compress(gzip.compress(TEXT.encode()))), 'ok'),
    'gzip, five times': (gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(TEXT.encode()))))), 'strange'),
    'JSON Lines': (lines(*JSONL), 'ok'),
    'gzip, cut': (gzip.compress(TEXT.encode())[:-9], 'strange'), 'xz, cut': (lzma.compress(TEXT.encode())[:-9], 'strange'),
    'bzip2, cut': (bz2.compress(TEXT.encode())[:-9], 'strange'), 'gzip, another sum': (gzip.compress(TEXT.encode())[:-8] + b'\0'*8, 'strange'),
    'gzip, rubbish': (b'\x1f\x8b\x08' + b'\xa5'*999, 'strange'), 'zstd, rubbish': (b'\x28\xb5\x2f\xfd' + b'\xa5'*999, 'strange'),
    'a gzip bomb of zeros': (lambda: gzip.compress(bytes(200 << 20), 1), 'strange'),
    'a gzip bomb of one line': (lambda: gzip.compress(b'{"text": "' + b'a'*(80 << 20) + b'"}', 1), 'strange'),
    'empty': ('', 'empty'), 'line ends': ('\n'*999, 'strange'), 'separators': (f'{END_OF_TEXT}\n'*999, 'strange'),
    'binary': (bytes(range(256))*99, 'binary'), 'zeros': (bytes(9999), 'strange'), 'zip': (b'PK\x03\x04' + b'a'*999, 'zip'),
    'tar': (b'a'*257 + b'ustar' + b'a'*999, 'tar'), 'Parquet': (b'PAR1\x15' + b'a'*999, 'Parquet'), 'PDF': ('%PDF-1.7\n' + TEXT, 'PDF'),
    'one word': ('fish', 'strange'), 'one word of a megabyte': ('a'*(1 << 20) + '\n' + END_OF_TEXT + '\nb', 'ok'),
    'a broken line': (lines(*JSONL) + '{"text": "a\n', 'line 31'), 'a line without text': (lines(*JSONL, dict(title='x')), 'line 31'),
    'a number as text': (lines(*JSONL, dict(text=7)), 'line 31'),
    'a nested line': (lines(*JSONL) + '['*100_000, 'line 31'), 'a separator in a line': (lines(*JSONL, dict(text=END_OF_TEXT)), 'line 31'),
    'a line of surrogates': (lines(*JSONL, dict(text='\ud800')), 'ok')}
PREPARE = ['corpora', 'prepare', 'mine', '--vocab-size', '258', '--workers', '1', '--train-text']
NAMES = {'Latin-1': '\udce9t\udce9', 'a zero-width joiner': 'a\u200db', 'a no-break space': 'a\xa0b', 'right to left': 'a\u202etxt.b',
    'a line end': 'a\nb', 'an escape': 'a\x1b[2Jb', '255 bytes': 'a'*251, 'markup': '<img onerror=x>', 'a bar': 'a|b', 'backticks': '`id`',
    'a command': '$(id)',
         'a leading dot': '.a', 'a leading dash': '-a', 'spaces': ' a ', 'a star': '*', 'emoji': '\U0001f600'}

class Server(BaseHTTPRequestHandler):
    "A hub that answers as `kind` says."
    kind, protocol_version, body = 'right', 'HTTP/1.1', TEXT.encode()
    def log_message(self, *args): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, get):
        kind, size, status = self.kind, len(self.body), 200
        if kind == 'closes' or get and kind == 'closes later': self.close_connection = True; return
        if kind == 'hangs' or get and kind == 'hangs later': time.sleep(60)
        if kind == 'not HTTP': self.wfile.write(b'\0'*9999); self.close_connection = True; return
        if kind.isdigit(): self.send_error(int(kind)); return
        body = {'login page': b'<html>Please log in</html>', 'empty': b'', 'other content': self.body[::-1], 'half': self.body[:size//2],
            'longer': self.body*2}.get(kind, self.body)
        if kind in ('redirect loop', 'redirect to a file'): status = 302
        self.send_response(status)
        if status == 302: self.send_header('Location', self.path + 'x' if kind == 'redirect loop' else 'file:///etc/passwd')
        if kind != 'login page':
            self.send_header('X-Repo-Commit', 'c'*40); self.send_header('X-Linked-Etag',
                'x' if kind == 'strange hash' else '../../../hacked' if kind == 'path as hash' else hashlib.sha256(self.body).hexdigest())
            self.send_header('X-Linked-Size', {'size -1': '-1', 'size of 10**18': str(10**18), 'size as text': 'x'}.get(kind, str(size)))
        if kind == 'long headers': self.send_header('X-Long', 'x'*10**6)
        if not (get and kind == 'for ever'): self.send_header('Content-Length',
            str(10**18 if kind == 'size of 10**18' else size if kind == 'half' else len(body)))
        else: self.close_connection = True
        self.end_headers()
        with contextlib.suppress(OSError):
            if get: self.wfile.write(body)
            while get and kind == 'for ever': self.wfile.write(bytes(1 << 20))

def served(kind):
    def prepare():
        Server.kind, pause = kind, time.sleep
        server = ThreadingHTTPServer(('127.0.0.1', 0), Server)
        server.handle_error = lambda *args: None            # a client that leaves is no error
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= dict(HF_ENDPOINT=f'http://127.0.0.1:{server.server_port}', HF_HUB_CACHE=os.path.abspath('hub'))
        from huggingface_hub import constants
        constants.HF_HUB_ETAG_TIMEOUT = constants.HF_HUB_DOWNLOAD_TIMEOUT = 1           # seconds; by default 10, and 60 in the end
        from huggingface_hub import file_download
        file_download._ETAG_RETRY_TIMEOUT = 1
        if kind == 'no server': server.shutdown(); server.server_close()
        time.sleep = lambda s: pause(s if s == 60 else min(s, .01))         # the library's pauses between attempts
    return prepare

SERVERS = {'right': 'ok', 'strange hash': 'ok',
    'size as text': 'ok'} | dict.fromkeys(('login page', 'closes', 'closes later', 'empty', 'half', 'longer', 'other content', 'redirect loop',
    'redirect to a file', 'not HTTP', 'long headers', 'for ever', 'path as hash', 'no server', 'hangs', 'hangs later',
    'size -1', 'size of 10**18', '401', '403', '404', '429', '500', '503'), 'could not be downloaded')

def recorded(file, change, metrics=None):
    "Change a file of results, and give it the right checksum."
    def prepare():
        kept = read_json(f'run/{file}')
        if metrics is not None: write('run/metrics.csv', metrics); kept['metrics_sha256'] = sha256('run/metrics.csv')
        write_json(f'run/{file}', change(kept))
    return prepare

COLUMNS = 'step,tokens,seconds,learning_rate,train_loss,grad_norm,valid_loss,valid_bits_per_byte\n'
RESULTS = {     # what is changed, the command, and what is said
    'summary.json: {}': (recorded('summary.json', lambda s: {}), 'export', 'summary.json'),
    'summary.json without a loss': (recorded('summary.json', lambda s: {k: v for k, v in s.items() if k != 'valid_loss'}), 'resume', 'summary.json'),
    'a loss as text': (recorded('summary.json', lambda s: s | dict(valid_loss='x')), 'export', 'summary.json'),
    'samples: null': (recorded('summary.json', lambda s: s | dict(samples=None)), 'resume', 'summary.json'),
    'environment: null': (recorded('summary.json', lambda s: s | dict(environment=None)), 'export', 'summary.json'),
    'config.json: {}': (recorded('config.json', lambda c: {}), 'resume', 'config.json'),
    'config.json without a corpus': (recorded('config.json', lambda c: {k: v for k, v in c.items() if k != 'corpus'}), 'export', 'run'),
    'data: []': (recorded('config.json', lambda c: c | dict(data=[])), 'export', 'run'),
    'failures: text': (recorded('config.json', lambda c: c | dict(failures='x', data=None)), 'resume', 'run'),
    'environment: a list': (recorded('config.json', lambda c: c | dict(environment=[1])), 'resume', 'config.json'),
    'width as text': (recorded('config.json', lambda c: c | dict(d_model='x')), 'resume', 'd_model'),
    'metrics.csv: words': (recorded('summary.json', dict, COLUMNS + 'a,b,c,d,e,f,g,h\n'), 'export', 'run'),
    'metrics.csv: short rows': (recorded('summary.json', dict, COLUMNS + '1,2\n'), 'export', 'ok'),
    'metrics.csv: empty': (recorded('summary.json', dict, ''), 'export', 'ok'),
    'metrics.csv: a pipe': (replaced('run/metrics.csv', pipe=True), 'export', 'metrics.csv'),
    'SHA256SUMS missing': (lambda: os.unlink('results/SHA256SUMS'), 'reproduce', 'SHA256SUMS'),
    'SHA256SUMS: a pipe': (replaced('results/SHA256SUMS', pipe=True), 'reproduce', 'SHA256SUMS'),
    'SHA256SUMS: binary': (replaced('results/SHA256SUMS', b'\xff\xfe'), 'reproduce', 'SHA256SUMS'),
    'SHA256SUMS: words': (replaced('results/SHA256SUMS', 'a\nb\n'), 'reproduce', 'SHA256SUMS'),
    'golden losses: {}': (replaced('results/golden/float32.json', '{}'), 'reproduce', 'float32.json'),
    'golden losses: []': (replaced('results/golden/float32.json', '[]'), 'reproduce', 'float32.json'),
    'golden losses: none': (replaced('results/golden/float32.json', '[{"machine": {}}]'), 'reproduce', 'float32.json'),
    'golden losses: numbers': (replaced('results/golden/float32.json', '[1]'), 'reproduce', 'float32.json'),
    'golden losses: a pipe': (replaced('results/golden/float32.json', pipe=True), 'reproduce', 'float32.json')}

WRITE, RESUME = 'writing run --length 3 --device cpu'.split(), 'train --config one.json --output-dir . --name run --resume'.split()
USES = [WRITE, 'export run new'.split(), 'train --config one.json --name new --init-from run --max-iters 2'.split()]

def named(what, name):
    "Use a name for a text, for folders and for an exported model."
    text = lambda: write(Path('texts', name), TEXT)
    below = Path('texts', name)
    yield Trial([*PREPARE, str(below)], 'ok', text, name=f'text, {what}')
    yield Trial(['train', '--config', 'one.json', '--max-iters', '2', '--data-dir', f'data/{name}', '--output-dir', f'runs/{name}', '--name', 'new'],
        'ok', name=f'folders, {what}')
    yield Trial(['train', '--config', 'one.json', '--max-iters', '2', '--train-text', str(below), '--vocab-size', '258', '--name', 'new'], 'ok', text,
        name=f'trained text, {what}')
    yield Trial(['export', 'run', f'models/{name}'], 'ok' if len(name) < 250 else 'aaa', name=f'export, {what}')      # `.name.part` is too long

MARKUP = '<img onerror=x>', 'a|b`$(x)` __d__ ~~e~~ _f_ @g'

def markup():
    write('new.json', J(dict(runs=[SMALL | dict(name=name, corpus=corpus) for name, corpus in zip(MARKUP, ('synthetic-stories', 'synthetic-web'))])))

def rendered(folder):
    "Say whether the table of runs, as HTML, shows other text than their names."
    from markdown_it import MarkdownIt
    page = MarkdownIt().enable(['table', 'strikethrough']).render((folder/'runs'/'new'/'comparison.md').read_text('utf-8'))
    names = {html.unescape(cell) for cell in re.findall('<tr>\n<td>(.*?)</td>', page)}
    return '' if names == {*MARKUP} else f'rendered as {page[-300:]}'

def hostile():
    kinds = collections.defaultdict(list)
    for i, (what, change) in enumerate(MODELS.items()):
        kinds['models'].append(Trial(USES[i % 3], 'error: run', saved(BEST, change), name=what))
    kinds['checkpoints'] = [Trial(RESUME, 'ok' if what in FINE else 'run', saved(LAST, change), name=what) for what, change in CHECKPOINTS.items()]
    kinds['checkpoint files'] = [Trial(USES[i % 3], 'best_model.pt', prepare, name=what) for i, (what, prepare) in enumerate(PT.items())]
    kinds['tokenizers'] = [Trial([*PREPARE, 'text.txt', '--tokenizer', 'tokenizer', '--vocab-size', '300'], 'ok' if what in FINE else 'error: tokenizer',
                                 tokenizer(**kw), name=what) for what, kw in VOCABULARIES.items()]
    kinds['tokenizers'] += [Trial([*PREPARE, 'text.txt', '--tokenizer', 'tokenizer', '--vocab-size', '300'], name, prepare, name=f'{name}: {what}')
                            for name in ('vocab.json', 'merges.txt', 'meta.json') for what, prepare in endless(f'tokenizer/{name}').items()]
    kinds['transformers'] = [Trial([*(WRITE if i % 2 else USES[1]), *([] if i % 2 else ['--back'])], 'error: llama', prepare, name=what)
                             for i, (what, prepare) in enumerate(LLAMA.items())]
    for t in kinds['transformers']: t.argv[1] = 'llama'
    kinds["GPT-2's files"] = [Trial(['writing', 'cs336/model.pt', '--length', '3', '--device', 'cpu'], expect, of_cs336(**change), name=what)
                              for what, (change, expect) in CS336_FILES.items()]
    for what, (content, expect) in TEXTS.items():
        kinds['texts'].append(Trial([*PREPARE, 'strange.txt'], expect, replaced('strange.txt', content), name=what))
    for use in PREPARE, ['corpora', 'inspect'], ['writing', 'run', '--read'], ['writing', 'run', '--prompts'], ['train', '--config', 'one.json',
        '--name', 'new', '--train-text']:
        kinds['texts'] += [Trial([*use, 'strange.txt'], 'strange.txt', prepare, name=f'{" ".join(use[:2] + use[-1:])}, {what}') for what,
            prepare in endless('strange.txt').items() if '--prompts' not in use or 'pipe' not in what]    # a pipe of prompts is read
    kinds['names'] = [t for what, name in NAMES.items() for t in named(what, name)]
    kinds['names'].append(Trial(['train', '--config', 'new.json', '--name', 'new'], 'ok', markup, 'runs with markup', rendered))
    kinds['servers'] = [Trial('corpora prepare tinystories-sample --vocab-size 258 --workers 1'.split(), expect, served(kind), kind) for kind,
        expect in SERVERS.items()]
    uses = dict(export=USES[1], resume=RESUME, reproduce='reproduce results --skip-demo'.split())
    kinds['results'] = [Trial(uses[use], expect, prepare, name=what) for what, (prepare, use, expect) in RESULTS.items()]
    return kinds

SECTIONS = dict(commands=commands, hostile=hostile)

def make_template(folder):
    "Fill the folder that each trial begins with."
    folder.mkdir()
    os.chdir(folder)
    write('one.json', J(SMALL)); write('text.txt', TEXT)
    write('two.json', J(dict(runs=[SMALL | dict(name=n) for n in 'ab'])))
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        assert not COMMANDS['train'](['--config', 'one.json', '--output-dir', '.', '--name', 'run']), out.getvalue()
        assert not COMMANDS['export'](['run', 'llama']), out.getvalue()
        shutil.copytree('run/tokenizer', 'tokenizer')
        for name in 'tokenizer.json', 'tokenizer_config.json': Path('tokenizer', name).unlink()
        shutil.copytree('run', 'results/demo/run')
        write('results/golden/float32.json', '[]')
        assert not COMMANDS['reproduce'](['results', '--record']), out.getvalue()

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--only', nargs='+', default=(*SECTIONS,), choices=[*SECTIONS]); p.add_argument('--out', type=Path)
    p.add_argument('--short', action='store_true', help='every 40th trial of each kind'); p.add_argument('--grep', default='',
        help='trials whose name matches')
    a = p.parse_args()
    tmp, start, found, out = Path(tempfile.mkdtemp()).resolve(), time.time(), {}, a.out and a.out.resolve()
    for stream in sys.stdout, sys.stderr:
        with contextlib.suppress(OSError): stream.reconfigure(errors='backslashreplace')    # in a fork, a file may be a pipe
    environment = environment_info(make_setup(Config(device='cpu', compile='no')))
    if not (pid := os.fork()): make_template(tmp/'template'); os._exit(0)
    assert not os.waitpid(pid, 0)[1]
    for section in a.only:
        found[section] = {}
        for kind, trials in SECTIONS[section]().items():
            trials = [t for t in trials if re.search(a.grep, f'{kind}: {t}')]
            if a.short: trials = trials[::40]
            seen = [(t, *attempt(t, tmp/'template', tmp/'trial')) for t in trials]
            wrong = {str(t): w for t, w, *_ in seen if w}
            for name, w in wrong.items(): print(f'{kind}: {name}: {ascii(w)[1:-1]}', flush=True)
            if seen: found[section][kind] = dict(trials=len(seen), passed=len(seen) - len(wrong), failed=wrong,
                slowest_seconds=max(s for *_, s, _, _ in seen), most_processor_seconds=max(b for *_, b, _ in seen),
                                                 most_megabytes=max(m for *_, m in seen))
        total = {k: sum(f[k] for f in found[section].values()) for k in ('trials', 'passed')}
        print(f'{section}: {total["passed"]} of {total["trials"]} as promised, {time.time() - start:.0f} s so far', flush=True)
    os.chdir('/')
    shutil.rmtree(tmp)
    if out: dump_json(out, dict(environment=environment, limits=dict(seconds=SECONDS, processor_seconds=SECONDS, silent_servers=SECONDS + ATTEMPTS,
                                                              megabytes=MEGABYTES), **found))
    return any(f['failed'] for kinds in found.values() for f in kinds.values())

if __name__ == '__main__': sys.exit(main())
