"""Make README.md and its picture from nbs/index.ipynb: python .ci/make_readme.py"""
import re, runpy
from pathlib import Path
import nbformat

top = Path(__file__).parent.parent
picture = 'nbs/images/gap.png'

def read(): return nbformat.read(top/'nbs'/'index.ipynb', as_version=4)

def shown(cell):
    "What README shows of a cell, as Markdown: its prose, its code unless that is not echoed, what it printed."
    if cell.cell_type == 'markdown': return cell.source
    if 'chart' in cell.source: return f'![Rare words make up most of the gap]({picture})'
    code = [] if cell.source.startswith('#| echo: false') else [f'```python\n{cell.source}\n```']
    printed = [f"```text\n{o['text'].strip()}\n```" for o in cell.outputs if o.output_type == 'stream']
    return '\n\n'.join([*code, *printed, *(o['data']['text/markdown'] for o in cell.outputs if 'text/markdown' in o.get('data', {}))])

def convert():
    "README's text: all cells but those that are hidden. Links work from the top folder."
    text = '\n\n'.join(shown(c) for c in read().cells if not c.source.startswith('#| hide'))
    text = re.sub(r'<!--.*?-->', '', text)              # what computes a number: .ci/check_pages.py
    text = re.sub(r'\]\((\w[\w/]*\.ipynb(?:#[\w-]*)?)\)', r'](nbs/\1)', text)
    text = text.replace('](images/', '](nbs/images/')
    return re.sub(r'\n{3,}', '\n\n', text).strip() + '\n'

def draw():
    "The chart of the page as a picture, for GitHub runs no scripts."
    from owt_transformer import charts
    names = runpy.run_path(str(top/'.ci'/'check_pages.py'))['facts']() | vars(charts)
    exec(next(c.source for c in read().cells if c.source.startswith('#| echo: false') and 'chart = ' in c.source), names)
    (top/picture).parent.mkdir(exist_ok=True)
    charts.static_figure(names['chart']).savefig(top/picture, dpi=120)

def words(text):
    "What two renderings must share: words and numbers, whatever the spacing and the drawing of tables."
    return re.findall(r'\w+', text)

if __name__ == '__main__':
    (top/'README.md').write_text(convert(), encoding='utf-8')
    draw()
