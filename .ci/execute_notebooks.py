"Run notebooks in place and keep their outputs: python .ci/execute_notebooks.py [NOTEBOOK ...] (default: all)"
import sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient

WIDGET = 'application/vnd.jupyter.widget-view+json'

def run(path):
    "Execute one notebook in its own folder and write it back; an error in a cell is raised."
    start, nb = time.time(), nbformat.read(path, as_version=4)
    NotebookClient(nb, timeout=1800, kernel_name='python3', store_widget_state=False, resources={'metadata': {'path': str(path.parent)}}).execute()
    for cell in nb.cells:       # progress bars are widgets: nothing of them is worth keeping
        if cell.cell_type == 'code': cell.outputs = [o for o in cell.outputs if WIDGET not in o.get('data', {})]
    nb.metadata.pop('widgets', None)
    nbformat.write(nb, path)
    print(f'{path}: {time.time()-start:.0f} s', flush=True)

if __name__ == '__main__':
    nbs = Path(__file__).parent.parent/'nbs'
    for p in map(Path, sys.argv[1:] or sorted(p for p in nbs.rglob('*.ipynb') if '.ipynb_checkpoints' not in str(p))): run(p)
