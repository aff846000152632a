"""Run the code cells of notebooks in plain Python, where there is no Jupyter: python .ci/run_cells.py NOTEBOOK ...

Cells marked '#| slow' and lines that begin with '%' are left out. A line counts the notebooks: N passed, N failed."""
import json, linecache, os, sys, time, traceback, types
from pathlib import Path
import matplotlib
matplotlib.use('Agg')

def cells(path):
    "The sources of the code cells that a test runs."
    for cell in json.loads(Path(path).read_text(encoding='utf-8'))['cells']:
        lines = ''.join(cell['source']).splitlines()
        if cell['cell_type'] == 'code' and '#| slow' not in lines: yield '\n'.join(l for l in lines if not l.startswith('%'))

def run(path):
    "Run one notebook in its folder, as a module of its own, also past cells that fail; True if none did."
    os.chdir(Path(path).parent)
    room, intact = types.ModuleType('__main__'), True
    sys.modules['__main__'] = room
    for i, source in enumerate(cells(path)):
        name = f'{Path(path).name}[{i}]'
        linecache.cache[name] = len(source), None, source.splitlines(True), name        # for Triton and inspect, which want to read it
        try: exec(compile(source, name, 'exec'), room.__dict__)
        except Exception:
            traceback.print_exc()
            print(f'in this cell:\n{source}')
            intact = False
    return intact

passed, start = [], time.time()
for path in [Path(p).resolve() for p in sys.argv[1:]]:
    passed.append(run(path))
    print(f'{"ok" if passed[-1] else "FAILED"}: {path.name} ({time.time()-start:.0f} s)', flush=True)
print(f'{sum(passed)} passed, {len(passed)-sum(passed)} failed')
sys.exit(not all(passed))
