"""Prepare a text of the size of OpenWebText, and record time and memory: python .ci/rehearse.py TEXT... --folder FOLDER --out FILE.json
The text is made from the given ones: it repeats them. In each copy, some of their rare words are spelled in a new way, so that the number of distinct words grows
with the size of the text to the power of 0.625 (Heaps' law), to about 5 million in 11.9 GB. It is not OpenWebText: only its size,
its number of distinct words and its separators are like it.
"""
import argparse, json, lzma, os, re, shutil, subprocess, sys, time, zlib
from collections import Counter
from pathlib import Path

def read(path): return (lzma.open if path.endswith('.xz') else open)(path, 'rb').read()

def split_rare(text, most=3):
    "Split a text at the words that occur at most `most` times; they are at the odd places."
    count = Counter(re.findall(rb'[A-Za-z]{4,}', text))
    parts, at = [], 0
    for m in re.finditer(rb'[A-Za-z]{4,}', text):
        if count[m[0]] <= most: parts += text[at:m.start()], m[0]; at = m.end()
    return parts + [text[at:]], len({w for w,n in count.items() if n <= most}), len(set(re.findall(rb'\S+', text)))

def respell(word, copy):
    "Spell a word in a way that no other copy does."
    turned = word.translate(bytes.maketrans(b'aeiouAEIOU', b'eiouaEIOUA')) if copy % 2 else word
    return turned + bytes([97 + copy//26, 97 + copy % 26])

def make_text(texts, out, size):
    "Write `size` bytes of repeated and varied texts."
    parts, rare, distinct = split_rare(b'\n<|endoftext|>\n'.join(map(read, texts)) + b'\n<|endoftext|>\n')
    done, copy = 0, 0
    with open(out, 'wb') as f:
        while done < size:
            new = distinct*((copy+1)**.625 - copy**.625) if copy else 0
            share = min(1, new/rare)*2**32
            varied = list(parts)
            varied[1::2] = [respell(w, copy) if zlib.crc32(w, copy) < share else w for w in parts[1::2]]
            f.write(text := b''.join(varied)[:size-done])
            done += len(text); copy += 1

def tree(pid):
    "The process and all below it."
    try: children = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError: return []
    return [pid, *(p for c in children for p in tree(int(c)))]

def memory(pid):
    "Memory of a process and all below it in MB; pages that several share are divided among them."
    total = 0
    for p in tree(pid):
        try: total += int(re.search(r'Pss:\s+(\d+)', Path(f'/proc/{p}/smaps_rollup').read_text())[1])
        except (OSError, TypeError): pass
    return total/1024

def main():
    a = argparse.ArgumentParser(); a.add_argument('texts', nargs='+'); a.add_argument('--folder', type=Path, required=True)
    a.add_argument('--bytes', type=int, default=11_920_511_059); a.add_argument('--vocab-size', type=int, default=32_000)
    a.add_argument('--out', type=Path); a = a.parse_args()
    train, valid, data = a.folder/'large.txt', a.folder/'valid.txt', a.folder/'data'
    if not train.exists() or train.stat().st_size != a.bytes: make_text(a.texts, train, a.bytes)
    valid.write_bytes(read(a.texts[0])[:1_000_000])
    shutil.rmtree(data, ignore_errors=True)
    command = f'{sys.executable} -m owt_transformer.corpora prepare rehearsal --vocab-size {a.vocab_size}'.split()
    start, peak, stages = time.time(), 0, {}
    p = subprocess.Popen([*command, '--train-text', train, '--valid-text', valid, '--data-dir', data])
    while p.poll() is None:
        peak = max(peak, memory(p.pid)); time.sleep(1)
        for stage, name in ('hashed', 'rehearsal-*'), ('tokenizer', 'rehearsal-*/tokenizer/meta.json'), ('encoded', 'rehearsal-*/valid.bin'):
            if stage not in stages and any((data/'prepared').glob(name)): stages[stage] = time.time()-start
    if p.returncode: sys.exit('FAILED')
    meta = json.loads(next((data/'prepared').glob('rehearsal-*/meta.json')).read_text())
    result = dict(command=f'python .ci/rehearse.py TEXTS --folder FOLDER --vocab-size {a.vocab_size}', bytes=a.bytes,
                  vocab_size=a.vocab_size, cores=os.cpu_count(), seconds=time.time()-start, stages=stages, megabytes=peak,
                  tokens=meta['train']['tokens'], documents=meta['train']['documents'])
    print(json.dumps(result, indent=1))
    if a.out: a.out.write_text(json.dumps(result, indent=1)+'\n')

if __name__ == '__main__': main()
