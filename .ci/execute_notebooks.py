"Run notebooks in place and keep their outputs: python .ci/execute_notebooks.py [NOTEBOOK ...] (default: all)"
import sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient

WIDGET = 'application/vnd.jupyter.widget-view+json'

def save(nb, path):
    "Write a notebook without its progress bars: they are widgets, and nothing of them is worth keeping."
    for cell in nb.cells:
        if cell.cell_type == 'code': cell.outputs = [o for o in cell.outputs if WIDGET not in o.get('data', {})]
    nb.metadata.pop('widgets', None)
    nbformat.write(nb, path)

def run(path):
    "Execute one notebook in its own folder and write it back; an error in a cell is raised, after what came before it has been written."
    start, nb = time.time(), nbformat.read(path, as_version=4)
    client = NotebookClient(nb, timeout=1800, kernel_name='python3', store_widget_state=False, resources={'metadata': {'path': str(path.parent)}})
    try: client.execute()
    finally: save(nb, path)
    print(f'{path}: {time.time()-start:.0f} s', flush=True)

if __name__ == '__main__':
    nbs = Path(__file__).parent.parent/'nbs'
    for p in map(Path, sys.argv[1:] or sorted(p for p in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in str(p))): run(p)
