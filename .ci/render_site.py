"Render the web site into `_docs` without Quarto: nbdev prepares the pages, smalldocs lays them out, latex2mathml sets the formulas"
import html, os, re, shutil, sys

import nbdev.quarto
from latex2mathml.converter import convert
from smalldocs.config import load
from smalldocs.site import Site

formula = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.S)

def set_formula(match):
    "A formula in TeX as MathML, which browsers draw by themselves"
    kind, tex = match.groups()
    return f'<span class="math {kind}">{convert(html.unescape(tex), display="block" if kind=="display" else "inline")}</span>'

class Pages(Site):
    "A smalldocs site that keeps the addresses and the links which nbdev gives its pages"
    def read(self, src):
        page = super().read(src)
        if 'output-file' in page.front: page.out = page.src.with_name(page.front['output-file'])
        return page

    def resolve(self, href, page, record=True):
        home = self.project.website['site-url'].rstrip('/') + '/'
        if not href.startswith(home): return super().resolve(href, page, record)
        return os.path.relpath(href[len(home):], page.out.parent)

    def render_page(self, page):
        super().render_page(page)
        page.html, page.env['math'] = formula.sub(set_formula, page.html), False

def main():
    nbdev.quarto._ensure_quarto = lambda: None
    shutil.rmtree('_proc', ignore_errors=True)
    pages, cfg, _ = nbdev.quarto._pre_docs(n_workers=0)
    site = Pages(load(pages), quiet=True)
    site.build()
    for theme in site.out.glob('site_libs/themes/*.css'):  # as offline.scss does for Quarto
        theme.write_text(re.sub(r'@import url\([^)]*\);', '', theme.read_text()))
    for warning in site.warnings:
        if not re.search('output-file|html-math-method|offline.scss|format.html.grid', warning): print('warning:', warning, file=sys.stderr)
    shutil.rmtree(cfg.doc_path, ignore_errors=True)
    shutil.move(site.out, cfg.doc_path)

if __name__ == '__main__': main()
