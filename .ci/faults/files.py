"""Damaged files: whoever reads one must get an error or the right content."""
import collections, random
from owt_transformer.corpora import PreparedData, cached_sha256
from owt_transformer.files import InputError
from owt_transformer.run import content_sha256, load_checkpoint, load_model, load_run

def readers(folder, data):
    "For each file of a run and of its data: what reads it."
    read = lambda: (lambda r: (r.config, r.summary, {k: v.tobytes() for k, v in r.metrics.items()}))(load_run(folder))
    best, *saved = (folder/'checkpoints'/f'{n}.pt' for n in ('best_model', 'final_checkpoint', 'previous_checkpoint'))
    def model(): m, tok = load_model(best); return content_sha256(m.state_dict()), tok.vocab, tok.merges
    [prepared], [texts] = data.glob('prepared/*'), data.glob('corpora/*')
    def tokens(): d = PreparedData.load(prepared); return d.meta, d.train.tobytes(), d.valid.tobytes(), d.tokenizer.to_dict()
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

def section(tmp, calm, options):
    "Damage each file many times; count the outcomes."
    out, rng = {}, random.Random(0)
    for path, read in readers(calm.folder, tmp/'data').items():
        raw, whole, seen = path.read_bytes(), read(), collections.Counter()
        for i in range(options.flips):
            path.write_bytes(damage(raw, rng, i))
            try: seen['right' if read() == whole else 'WRONG'] += 1
            except InputError: seen['error'] += 1
            except Exception as e: seen[f'traceback: {type(e).__name__}'] += 1
        path.write_bytes(raw)
        name = path.name if 'tokenizer' not in str(path) else f'tokenizer/{path.name}'
        out[name] = dict(seen)
        print(name, dict(seen), flush=True)
    return out
