"""Check that the result pages say what was recorded: python .ci/check_pages.py [PAGE ...]

1. Their prose holds no number that was typed: all are computed, or cited from others (a variable in a line that ends with
   '# cited: …'), or belong to the method (METHOD below) and not to a result.
2. Made again from the files under nbs/results, each page says word for word what it says now.
"""
import ast, re, sys
from pathlib import Path
import nbformat
from nbclient import NotebookClient

nbs = Path(__file__).parent.parent/'nbs'
METHOD = {'95%', '70%'}                             # the level of the intervals; an example of a forecast
NUMBER = r'(?<![\w/.`-])\d[\d,.]*%?(?<![,.])'       # not a part of a name

def numbers(text):
    "The numbers in a Markdown text, outside code, links, formulas and the years of works that are cited."
    text = re.sub(r', (19|20)\d\d\]\([^)]*\)|#[0-9a-fA-F]{6}|`[^`]*`|\]\([^)]*\)|\$[^$]*\$|CS336, assignment 1', ' ', text)
    return [n for n in re.findall(NUMBER, text) if n not in METHOD]

def literals(source):
    "The text that a code cell writes without computing it."
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr): yield from (v.value for v in node.values if isinstance(v, ast.Constant))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('Markdown', 'HTML', 'LineChart', 'BarChart', 'Series'):
            yield from (a.value for a in [*node.args, *(k.value for k in node.keywords)] if isinstance(a, ast.Constant) and isinstance(a.value, str))

def typed_numbers(nb):
    "Where a page holds numbers that nobody computed: (cell, numbers)."
    for i, cell in enumerate(nb.cells):
        texts = [cell.source] if cell.cell_type == 'markdown' else literals(re.sub(r'^[%!].*', '', cell.source, flags=re.M)) if cell.cell_type == 'code' else []
        dashes = '4 3', '2 3'                       # patterns of lines
        if bad := [n for t in texts if t not in dashes for n in numbers(t)]: yield i, bad

def said(nb):
    "What a page shows in words, tables and charts, cell by cell."
    kinds = 'text/markdown', 'text/html'
    return [[o['data'][k] for o in c.get('outputs', []) for k in kinds if k in o.get('data', {})] for c in nb.cells]

def check(path):
    "Problems of one page, in words."
    nb = nbformat.read(path, as_version=4)
    then = said(nb)
    if path.parent.name == 'experiments':
        for i, bad in typed_numbers(nb): yield f'cell {i} holds typed numbers: {", ".join(bad)}'
    NotebookClient(nb, timeout=600, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}}).execute()
    for i, (a, b) in enumerate(zip(then, said(nb))):
        if a != b: yield f'cell {i} says something else than the recorded runs: execute the page again and read it'

if __name__ == '__main__':
    failed = 0
    for path in map(Path, sys.argv[1:] or [nbs/'index.ipynb', nbs/'names.ipynb', *sorted((nbs/'experiments').glob('*.ipynb'))]):
        problems = list(check(path.resolve()))
        failed += bool(problems)
        print(*(f'FAILED: {path.name}: {p}' for p in problems), sep='\n') if problems else print(f'ok: {path.name} says what was recorded')
    sys.exit(bool(failed))
