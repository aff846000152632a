"""Check the result pages and the front page: python .ci/check_pages.py [--fix] [PAGE ...]
1. People write the sentences: f-strings and format strings in a page's code hold no words, and charts are labelled by plain strings.
2. Behind a number in prose, unless it belongs to the method (METHOD), an HTML comment holds the expression that gives it, with the
   names of nbs/experiments/facts.ipynb: 2.00<!--bits[OWT]:.2f-->. --fix writes the values into the pages: read these sentences again.
3. Executed again, a page shows what it shows now.
"""
import ast, contextlib, re, sys
from multiprocessing import get_context
from pathlib import Path
import nbformat
from execnb.nbio import dict2nb
from execnb.shell import CaptureShell

nbs = Path(__file__).resolve().parent.parent/'nbs'
ANCHOR = re.compile(r'([^\s()\[\]*`|–>]+)([*`]*)<!--(.*?)-->', re.S)                        # a value, its marks, an expression
NUMBER = re.compile(r'(?<![\w/.])(?<![A-Za-z]-)\d[\d,.]*%?')                                # not a part of a name, such as GPT-2
METHOD = re.compile(r'95%|70%|\b\d+-gram|, (19|20)\d\d(?=\])|Python 3\.\d+')                # intervals, models, years of papers
NOT_PROSE = re.compile(r'```.*?```|`[^`]*`|\]\([^)]*\)|\$[^$]*\$|^#.*?$', re.S | re.M)      # code, links, formulas, headings

def facts():
    "What facts.ipynb computes: name -> value."
    names = {}
    with contextlib.chdir(nbs/'experiments'):
        for cell in nbformat.read('facts.ipynb', as_version=4).cells:
            if cell.cell_type == 'code': exec(cell.source, names)
    return names

def recomputed(text, names):
    "A text with the computed numbers before its anchors, or what is wrong with an expression."
    def value(expression):
        try: return eval("f'''{" + expression + "}'''", names)
        except Exception as e: return type(e).__name__
    return ANCHOR.sub(lambda m: f'{value(m[3])}{m[2]}<!--{m[3]}-->', text)

def prose_problems(text, names):
    for old, new in zip(ANCHOR.findall(text), ANCHOR.findall(recomputed(text, names))):
        if old != new: yield f'{old[0]} should be {new[0]}, from {old[2]}'
    rest = NOT_PROSE.sub(' ', METHOD.sub(' ', ANCHOR.sub(' ', text)))
    if found := NUMBER.findall(rest): yield f'numbers without an anchor: {" ".join(found)}'
    if '<!--' in rest: yield 'an anchor follows no number'

def code_problems(source):
    nodes = [*ast.walk(ast.parse(re.sub(r'^[%!].*', '', source, flags=re.M)))]
    specs = [n.format_spec for n in nodes if isinstance(n, ast.FormattedValue)]
    parts = [v for n in nodes if isinstance(n, ast.JoinedStr) and n not in specs for v in n.values]
    parts += [n.value for n in nodes if isinstance(n, ast.Attribute) and n.attr == 'format']
    words = [w for p in parts if isinstance(p, ast.Constant) for w in re.findall(r'[^\W\d_]+', re.sub(r'\{[^}]*\}', '', p.value))]
    if words: yield f'{len(words)} words in f-strings: {" ".join(words)}'
    for label in [k.value for n in nodes if isinstance(n, ast.Call) for k in n.keywords if k.arg in ('title', 'xlabel', 'ylabel')]:
        if not isinstance(label, ast.Constant) or NUMBER.search(METHOD.sub('', label.value)): yield f'a label is computed or holds a number: {ast.unparse(label)}'

def shown(nb):
    return [[''.join(o['data'][k]) for o in c.get('outputs', []) for k in ('text/markdown', 'text/html') if k in o.get('data', {})] for c in nb.cells]

def problems(path):
    "What is wrong with a page: its code, its numbers, or what it shows."
    nb = nbformat.read(path, as_version=4)
    for i, c in enumerate(nb.cells if path.name != 'names.ipynb' else []):
        found = code_problems(c.source) if c.cell_type == 'code' else prose_problems(c.source, names)
        yield from (f'cell {i}: {problem}' for problem in found)
    again = dict2nb(nb)
    with contextlib.chdir(path.parent): CaptureShell().run_all(again, exc_stop=True)
    yield from (f'cell {i} shows something else now: execute the page and read it' for i, (a, b) in enumerate(zip(shown(nb), shown(again))) if a != b)

def check(path):
    found = [*problems(path)]
    print(*[f'FAILED: {path.name}: {p}' for p in found] or [f'ok: {path.name} says what was recorded'], sep='\n', flush=True)
    return bool(found)

def fix(path):
    nb = nbformat.read(path, as_version=4)
    for c in nb.cells: c.source = recomputed(c.source, names)
    nbformat.write(nb, path)

if __name__ == '__main__':
    pages = [Path(a).resolve() for a in sys.argv[1:] if a != '--fix'] or [nbs/'index.ipynb', nbs/'names.ipynb', *sorted((nbs/'experiments').glob('*.ipynb'))]
    names = facts()
    if '--fix' in sys.argv:
        for path in pages: fix(path)
    else:
        with get_context('fork').Pool(2, maxtasksperchild=1) as pool: sys.exit(any(pool.map(check, pages, 1)))     # a fresh process for each page
