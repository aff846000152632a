"""Compare our compiled tokenizer with other libraries, in alternating rounds, each in its own process:
python .ci/compare_tokenizers.py TEXT [--vocab-size 32000] [--rounds 3] [--out FILE.json]
It needs `pip install rustbpe gigabpe tiktoken`. Training is timed as a whole process, imports included; encoding inside a
process, on one core, without imports: first with nothing cached ('cold'), then again ('warm').
"""
import argparse, json, os, statistics, subprocess, sys, time
from importlib.metadata import version
from pathlib import Path

TRAIN = {
    'ours': "from owt_transformer.fast import train_bpe_fast; train_bpe_fast(text, size)",
    'tokenizers': """
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
t = Tokenizer(models.BPE()); t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
t.train([text], trainers.BpeTrainer(vocab_size=size, special_tokens=['<|endoftext|>'],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))""",
    'rustbpe': """
import rustbpe
from owt_transformer.tokenizer import PATTERN
documents = open(text, encoding='utf-8', errors='surrogateescape').read().split('<|endoftext|>')
rustbpe.Tokenizer().train_from_iterator(iter(documents), size-1, pattern=PATTERN)""",
    'gigabpe': "import gigabpe; gigabpe.train_bpe([text], size, special_tokens=['<|endoftext|>'])"}
READABLE = "from owt_transformer.tokenizer import train_bpe; train_bpe(text, size)"
ENCODE = """
import json, time, numba, numpy as np, tiktoken
from owt_transformer.fast import FastEncoder, char_classes, classify, train_bpe_fast, word_end
from owt_transformer.tokenizer import END_OF_TEXT, PATTERN, Tokenizer, split_words
@numba.njit
def count_ends(text, kinds):
    n = i = 0
    while i < len(text): i = word_end(text, kinds, i, len(text)); n += 1
    return n
def scan(text): return count_ends(text, classify(text, char_classes()))
vocab, merges = train_bpe_fast(text, size)
tok, data = Tokenizer(vocab, merges, [END_OF_TEXT]), open(text, encoding='utf-8', errors='replace').read()[:20_000_000]
FastEncoder(tok).encode('compile'); scan(np.frombuffer(b'compile', np.uint8))
raw = np.frombuffer(data.encode('utf-8'), np.uint8)
ranks = {b: i for i,b in vocab.items() if b != END_OF_TEXT.encode()}
def seconds(f):
    start = time.perf_counter(); ids = f()
    return time.perf_counter()-start, ids
rows = []
for _ in range(rounds):
    ours = FastEncoder(tok)
    theirs = tiktoken.Encoding('ours', pat_str=PATTERN, mergeable_ranks=ranks,
                               special_tokens={END_OF_TEXT: tok.ids[END_OF_TEXT.encode()]})
    row = {}
    for name, f in ('ours', lambda: ours.encode(data)), ('tiktoken', lambda: theirs.encode(data, allowed_special='all')):
        for state in 'cold', 'warm': row[f'{name}, {state}'], ids = seconds(f)
        if name == 'ours': expected = ids
    assert np.array_equal(expected, ids), 'the ids differ'
    row['words alone, regex'], words = seconds(lambda: split_words(data))
    row['words alone, compiled'], n = seconds(lambda: scan(raw))
    assert n == len(words)
    rows.append(row)
megabytes = len(data.encode('utf-8'))/1e6
print(json.dumps({k: [megabytes/r[k] for r in rows] for k in rows[0]}))"""

def run(code, **names):
    "Run code in a new process; return wall seconds, CPU seconds, peak memory in MB (of the largest process), output."
    header = '\n'.join(f'{k} = {v!r}' for k,v in names.items())
    start = time.perf_counter()
    p = subprocess.Popen([sys.executable, '-c', f'{header}\n{code}'], stdout=subprocess.PIPE)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    if status: sys.exit('FAILED: ' + code.strip()[:200])
    return time.perf_counter()-start, usage.ru_utime+usage.ru_stime, usage.ru_maxrss/1024, out

def main():
    a = argparse.ArgumentParser(); a.add_argument('text')
    a.add_argument('--vocab-size', type=int, default=32_000); a.add_argument('--rounds', type=int, default=3)
    a.add_argument('--readable', action='store_true', help='time the readable version, too'); a.add_argument('--out')
    a = a.parse_args()
    code = TRAIN | ({'readable': READABLE} if a.readable else {})
    given = dict(text=a.text, size=a.vocab_size)
    run(TRAIN['ours'], **given)                     # compiles, if it has not been compiled before
    rounds = [{name: run(c, **given)[:3] for name, c in code.items()} for _ in range(a.rounds)]
    median = lambda name, i: statistics.median(r[name][i] for r in rounds)
    result = dict(command=f'python .ci/compare_tokenizers.py {Path(a.text).name} --vocab-size {a.vocab_size}',
        text=Path(a.text).name, bytes=os.path.getsize(a.text), vocab_size=a.vocab_size, rounds=a.rounds, cores=os.cpu_count(),
        versions={m: version(m) for m in ('numba', 'tokenizers', 'rustbpe', 'gigabpe', 'tiktoken')},
        training={name: dict(wall=median(name, 0), cpu=median(name, 1), megabytes=median(name, 2)) for name in code})
    speeds = json.loads(run(ENCODE, rounds=a.rounds, **given)[3])
    result['encoding'] = {k: statistics.median(v) for k,v in speeds.items()}        # MB/s
    print(json.dumps(result, indent=1))
    if a.out: Path(a.out).write_text(json.dumps(result, indent=1)+'\n')

if __name__ == '__main__': main()
