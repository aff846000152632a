"""Kills and errors of the disk while data are prepared, and while a text is downloaded from a local server."""
import contextlib, gzip, hashlib, json, os
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from owt_transformer import corpora
from owt_transformer.command import run_with_exit_code
from owt_transformer.synthetic import sample_documents
from faults import fresh, run
from faults.disk import ERRORS, KILLS, arm, at_events, ended_wrongly, events

def documents(size):
    "Sample documents until they have `size` characters."
    docs, n = [], 0
    for doc, _ in sample_documents('synthetic-stories', 3):
        docs.append(doc); n += len(doc)
        if n > size: return docs

def prepare(data, name, *argv):
    "Return a function that prepares a corpus in small chunks."
    encode = corpora.encode_file
    def action():
        corpora.encode_file = partial(encode, chunk_bytes=10_000)
        return run_with_exit_code(lambda: corpora.main(['prepare', name, '--data-dir', str(data), '--vocab-size', '300',
                                                        '--workers', '1', *argv]), '--data-dir')
    return action

class Hub(BaseHTTPRequestHandler):
    "Serve one text as the Hugging Face Hub does."
    protocol_version, text = 'HTTP/1.1', b''
    def log_message(self, *args): pass
    def do_HEAD(self): self.answer(False)
    def do_GET(self): self.answer(True)
    def answer(self, body):
        begin = int(self.headers.get('Range', 'bytes=0-')[6:].split('-')[0])
        self.send_response(206 if begin else 200)
        for name, value in (('X-Repo-Commit', 'c'*40), ('X-Linked-Etag', f'"{hashlib.sha256(self.text).hexdigest()}"'),
                            ('X-Linked-Size', len(self.text)), ('Content-Length', len(self.text) - begin)): self.send_header(name, str(value))
        self.end_headers()
        if body: self.wfile.write(self.text[begin:])

@contextlib.contextmanager
def serving(text):
    "Serve a text from a process of its own, which ends with this one; give its port."
    Hub.text, server, parent = text, ThreadingHTTPServer(('127.0.0.1', 0), Hub), os.getpid()
    if not (pid := os.fork()):
        server.timeout = 1
        while os.getppid() == parent: server.handle_request()
        os._exit(0)
    server.server_close()
    try: yield server.server_port
    finally: os.kill(pid, 9); os.waitpid(pid, 0)

def files(folder):
    """The files below a folder with their SHA-256. The cache of checksums depends on times and counts by name alone; two
    small files of the Hub's library do not count: its marker of a cache, and the temporary file of a reference."""
    return {str(p.relative_to(folder)): '' if p.name == 'fingerprints.json' else hashlib.sha256(p.read_bytes()).hexdigest()
            for p in folder.rglob('*') if p.is_file() and p.name != 'CACHEDIR.TAG' and not p.match('refs/*.tmp')}

def repeated(folder, action, expected, at, mode, below):
    "Disturb a command and repeat it; return what went wrong, or ''."
    fresh(folder)
    code, out = run(action, lambda: arm(below, at, mode))
    if wrong := ended_wrongly(code, out, mode, below): return wrong
    code, out = run(action)
    if code: return f'repeated with {code}: {out[-300:]}'
    found = files(folder)
    return '' if found == expected else f'other files: {sorted({*found.items()} ^ {*expected.items()})[:4]}'

def section(tmp, calm, options):
    "Disturb the preparation of a compressed text, then a download."
    own, docs, data, hub, out = tmp/'own.jsonl.gz', documents(60_000), tmp/'fresh'/'data', tmp/'fresh'/'hub', {}
    with gzip.open(own, 'wt') as f: f.writelines(json.dumps(dict(text=d)) + '\n' for d in docs)
    with serving('\n<|endoftext|>\n'.join(docs).encode()) as port:
        os.environ.update(HF_HOME=str(hub), HF_ENDPOINT=f'http://127.0.0.1:{port}', HF_HUB_DISABLE_PROGRESS_BARS='1')
        from huggingface_hub import constants           # reads the environment
        constants.DOWNLOAD_CHUNK_SIZE = 5000
        stages = ('preparing', data, prepare(data, 'own', '--train-text', str(own))), ('downloading', hub, prepare(data, 'tinystories-sample'))
        for i, (name, below, action) in enumerate(stages):
            fresh(tmp/'fresh')
            n = events(action, below)
            expected = files(tmp/'fresh')
            assert not [f for f in expected if '.part' in f or '.log' in f], expected
            print(f'{n} events while {name}', flush=True)
            disturb = lambda at, mode: repeated(tmp/'fresh', action, expected, at, mode, below)
            share = options._replace(trials=[*KILLS, *ERRORS][i::2]) if options.short else options
            out[name] = dict(events=n, **at_events(n, share, disturb))
    return out
