"Run notebooks in place and keep their outputs: python .ci/execute_notebooks.py [NOTEBOOK ...] (default: all)"
import sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient

def run(path):
    "Execute one notebook in its own folder and write it back; an error in a cell is raised."
    start, nb = time.time(), nbformat.read(path, as_version=4)
    NotebookClient(nb, timeout=1800, kernel_name='python3', resources={'metadata': {'path': str(path.parent)}}).execute()
    nbformat.write(nb, path)
    print(f'{path}: {time.time()-start:.0f} s', flush=True)

if __name__ == '__main__':
    nbs = Path(__file__).parent.parent/'nbs'
    for p in map(Path, sys.argv[1:] or sorted(p for p in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in str(p))): run(p)
