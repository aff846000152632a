"""Make README.md and its picture from nbs/index.ipynb: python .ci/make_readme.py"""
import contextlib, re
from pathlib import Path
import nbformat
from nbconvert import MarkdownExporter

top = Path(__file__).parent.parent
picture = 'nbs/images/predictors.png'

def read(): return nbformat.read(top/'nbs'/'index.ipynb', as_version=4)

def convert():
    "README's text: prose and outputs, without the code and without hidden cells. Links work from the top folder."
    nb = read()
    nb.cells = [c for c in nb.cells if not c.source.startswith('#| hide')]
    for c in nb.cells:
        if c.cell_type != 'code': continue
        if 'chart' in c.source: c.outputs = [nbformat.v4.new_output('display_data', {'text/markdown': f'![The same predictors on two kinds of text]({picture})'})]
        c.outputs = [o for o in c.outputs if 'text/markdown' in o.get('data', {})]
    text, _ = MarkdownExporter(exclude_input=True).from_notebook_node(nb)
    text = re.sub(r'\]\((\w[\w/]*\.ipynb(?:#[\w-]*)?)\)', r'](nbs/\1)', text)
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'

def draw():
    "The chart of the page as a picture, for GitHub runs no scripts."
    from owt_transformer.charts import static_figure
    made = {}
    with contextlib.chdir(top/'nbs'):
        for c in read().cells:
            if c.cell_type == 'code' and 'chart' not in made: exec(c.source, made)
    (top/picture).parent.mkdir(exist_ok=True)
    static_figure(made['chart']).savefig(top/picture, dpi=120)

def words(text):
    "What two renderings must share: words and numbers, whatever the spacing and the drawing of tables."
    return re.findall(r'\w+', text)

if __name__ == '__main__':
    (top/'README.md').write_text(convert(), encoding='utf-8')
    draw()
