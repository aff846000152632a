"""Make README.md from nbs/index.ipynb: python .ci/make_readme.py

Through Quarto (nbdev_readme) where it is installed, else through nbconvert. Links to notebooks are made to work from the top folder.
"""
import re, shutil, subprocess
from pathlib import Path

top = Path(__file__).parent.parent

def convert():
    "README's text, by nbconvert: prose and outputs, without the code and without hidden cells."
    import nbformat
    from nbconvert import MarkdownExporter
    nb = nbformat.read(top/'nbs'/'index.ipynb', as_version=4)
    nb.cells = [c for c in nb.cells if not c.source.startswith('#| hide')]
    for c in nb.cells:      # pictures are for the site
        if c.cell_type == 'code': c.outputs = [o for o in c.outputs if 'text/markdown' in o.get('data', {})]
    text, _ = MarkdownExporter(exclude_input=True).from_notebook_node(nb)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'

def fix_links(text):
    "Notebooks lie in nbs/ when seen from the top folder."
    return re.sub(r'\]\((\w[\w/]*\.ipynb)\)', r'](nbs/\1)', text)

def words(text):
    "What two renderings must share: words and numbers, whatever the spacing and the drawing of tables."
    return re.findall(r'\w+', text)

if __name__ == '__main__':
    if shutil.which('quarto'):
        subprocess.run(['nbdev_readme'], cwd=top, check=True)
        text = (top/'README.md').read_text(encoding='utf-8')
    else: text = convert()
    (top/'README.md').write_text(fix_links(text), encoding='utf-8')
