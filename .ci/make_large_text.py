"""Make a large text for a rehearsal: python .ci/make_large_text.py TEXT... --out FILE [--bytes 11_920_511_059]
It repeats the given texts. In each copy, some of their rare words are spelled in a new way, so that the number of distinct words grows
with the size of the text to the power of 0.625 (Heaps' law), to about 5 million in 11.9 GB. It is not OpenWebText: only its size,
its number of distinct words and its separators are like it.
"""
import argparse, lzma, re, sys, zlib
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

def main():
    a = argparse.ArgumentParser(); a.add_argument('texts', nargs='+'); a.add_argument('--out', required=True)
    a.add_argument('--bytes', type=int, default=11_920_511_059); a = a.parse_args()
    parts, rare, distinct = split_rare(b'\n<|endoftext|>\n'.join(map(read, a.texts)) + b'\n<|endoftext|>\n')
    size, copy = 0, 0
    with open(a.out, 'wb') as f:
        while size < a.bytes:
            new = distinct*((copy+1)**.625 - copy**.625) if copy else 0
            share = min(1, new/rare)*2**32
            parts_now = list(parts)
            parts_now[1::2] = [respell(w, copy) if zlib.crc32(w, copy) < share else w for w in parts[1::2]]
            text = b''.join(parts_now)[:a.bytes-size]
            f.write(text); size += len(text); copy += 1
    print(f'{a.out}: {Path(a.out).stat().st_size:,} bytes, {copy} copies of {len(a.texts)} texts', file=sys.stderr)

if __name__ == '__main__': main()
