"""Test the rendered web site in a headless browser, as wide as a desk and as a telephone: python .ci/check_site.py [FOLDER]

Each page must open without errors, need nothing from another host, fit its window and lead only to what exists. --all: it is accessible and found by the search.
"""
import argparse, configparser, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from urllib.parse import unquote, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

from check_charts import FLAGS, check_charts

top = Path(__file__).parent.parent
config = configparser.ConfigParser(interpolation=None)
config.read(top/'settings.ini')
settings = config['DEFAULT']
sub_path = settings['doc_baseurl'].rstrip('/')          # the site lies under it, here as on its host
SIZES = {1280: 800, 390: 844}
HEAVIEST = 1.5e6                                        # bytes of a page with all that it loads
RULES = {'runOnly': ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}

COLLECT = """() => ({title: document.title, links: [...document.querySelectorAll('a[href]')].map(a => a.href),
    ids: [...document.querySelectorAll('[id]')].map(e => e.id),
    raw: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('math')).map(e => e.textContent)})"""
TOO_WIDE = """() => {
    const scrolls = e => e && e !== document.body && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement))
    return [...document.body.querySelectorAll('*:not(svg *)')].filter(e => e.checkVisibility({visibilityProperty: true})
        && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !scrolls(e)).map(e => e.outerHTML.slice(0, 80))}"""
OPEN_FOLDS = "document.querySelectorAll('details.code-fold').forEach(d => d.open = true)"
CUT_OFF = """() => [...document.querySelectorAll('main .sourceCode pre, main pre.sourceCode')]
    .filter(e => !e.closest('.cell-output') && e.scrollWidth > e.clientWidth + 1).map(e => e.innerText.slice(0, 200))"""
SKIP = "document.querySelectorAll('pre code').forEach((e, i) => i > 9 && e.classList.add('skipped'))"

class Quiet(SimpleHTTPRequestHandler):
    "Serve the site under its sub-path and log nothing."
    def log_message(self, *args): pass
    def translate_path(self, path):
        return super().translate_path(path[len(sub_path):] if path.startswith(sub_path + '/') else '/missing')

class Visit:
    "One page, opened at one width: what it loaded, and what went wrong."
    def __init__(self, context, base, name, width):
        self.name, self.width, self.problems, self.loaded = name, width, [], set()
        self.page = page = context.new_page()
        page.set_viewport_size({'width': width, 'height': SIZES[width]})
        page.on('console', lambda m: m.type == 'error' and self.problems.append(f'console: {m.text}'))
        page.on('pageerror', lambda e: self.problems.append(f'error: {e}'))
        page.on('request', self.asked)
        page.on('response', lambda r: r.status >= 400 and self.problems.append(f'{r.url}: status {r.status}'))
        self.base = base
        page.goto(base + name, wait_until='load')
        page.wait_for_timeout(100)                      # scripts that start when the page has loaded
        self.found = page.evaluate(COLLECT)
        self.heading = page.locator('h1').first.inner_text().strip()

    def asked(self, request):
        if request.url.startswith(self.base): self.loaded.add(file_of(request.url, self.base))
        elif not request.url.startswith(('data:', 'blob:')): self.problems.append(f'asks another host: {request.url}')

def file_of(url, base):
    path = unquote(urlsplit(url).path)[len(urlsplit(base).path):]
    return path + 'index.html' if path.endswith('/') or not path else path

def check_page(v, folder):
    yield from v.problems
    yield from (f'a formula is not MathML: {tex}' for tex in v.found['raw'])
    weight = sum((folder/f).stat().st_size for f in v.loaded if (folder/f).is_file())
    if weight > HEAVIEST: yield f'weighs {weight/1e6:.2f} MB, more than {HEAVIEST/1e6}'

def check_titles(visits):
    titles = [v.found['title'].strip() for v in visits if v.width == 1280]
    yield from (('site', f'two pages have the title {t!r}') for t in set(titles) if titles.count(t) > 1 or not t)
    if not any(v.charts for v in visits): yield 'site', 'holds no charts'

def check_links(visits, folder):
    "Links lead to pages and anchors that exist, none to a placeholder, and every page can be reached."
    ids, leads = {v.name: {'', 'top', *v.found['ids']} for v in visits}, {v.name: set() for v in visits}
    for v in visits:
        for url in v.found['links']:
            if not url.startswith(v.base):
                if '.example/' in url: yield v.name, f'links to a placeholder: {url}'
                continue
            to = file_of(url, v.base)
            leads[v.name].add(to)
            if not (folder/to).is_file(): yield v.name, f'links to {to}, which does not exist'
            elif to in ids and unquote(urlsplit(url).fragment) not in ids[to]: yield v.name, f'links to a missing anchor: {url}'
    reached, todo = set(), {'index.html'}
    while todo: reached |= todo; todo = set().union(*(leads.get(n, set()) for n in todo)) - reached
    yield from (('site', f'no link leads to {n}') for n in ids.keys() - reached)

def check_interaction(v):
    v.charts = v.page.locator('.owt-chart').count()
    if v.charts and v.width == 1280: yield from check_charts(v.page)

def check_layout(v):
    v.page.evaluate(OPEN_FOLDS)
    yield from (f'wider than {v.width} px: {e}' for e in v.page.evaluate(TOO_WIDE)[:3])
    if v.width == 1280: yield from (f'code does not fit: {line}' for line in v.page.evaluate(CUT_OFF))

def check_access(v):
    "axe finds nothing serious at the width of a telephone, where more boxes scroll; in the dark theme, contrast alone."
    for theme in ('light', 'dark') if v.width == 390 else ():
        if theme == 'dark': v.page.emulate_media(color_scheme='dark'), v.page.reload()
        v.page.evaluate(SKIP)                           # code is coloured alike everywhere: ten blocks a page will do
        rules = RULES if theme == 'light' else {'runOnly': ['color-contrast']}
        for rule in Axe().run(v.page, context={'exclude': ['.skipped']}, options=rules).response['violations']:
            if rule['impact'] in ('serious', 'critical'): yield from (f'axe, {theme}: {rule["id"]}: {n["target"]}' for n in rule['nodes'])

def check_search(context, visits):
    "The search box finds each page by its title."
    page = context.new_page()
    page.goto(visits[0].base + 'index.html')
    box = page.locator('.smalldocs-search input:visible, .aa-Input:visible').first
    for v in (v for v in visits if v.width == 1280):
        box.fill(v.heading, timeout=3000)
        page.wait_for_timeout(600)                      # the box waits for a pause in the typing
        answers = page.eval_on_selector_all('a.search-result, .aa-Panel a[href]', 'found => found.map(a => a.href)')
        if v.name not in [file_of(url, v.base) for url in answers]: yield v.name, 'the search does not find it by its title'

def main(folder, chromium, thorough):
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base, names = f'http://127.0.0.1:{server.server_port}{sub_path}/', sorted(f.relative_to(folder).as_posix() for f in folder.rglob('*.html'))
    visits, problems = [], []
    with sync_playwright() as p:
        context = p.chromium.launch(executable_path=chromium, args=FLAGS).new_context(reduced_motion='reduce')
        context.route(lambda url: not url.startswith(base), lambda route: route.abort())
        for name, width in product(names, SIZES):
            visits.append(v := Visit(context, base, name, width))
            checks = [check_interaction(v), check_layout(v), *([check_access(v)] if thorough else []), check_page(v, folder)]
            problems += [(name, problem) for check in checks for problem in check]
            v.page.close()                              # each open page slows down all others
        checks = [check_titles(visits), check_links(visits, folder), *([check_search(context, visits)] if thorough else [])]
        problems = list(dict.fromkeys([*problems, *(problem for check in checks for problem in check)]))
        context.browser.close()
    for name, problem in problems: print(f'FAILED: {name}: {problem}')
    print(f'{len(names)} pages at {len(SIZES)} widths, {len(problems)} problems')
    return bool(problems) or not names

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', nargs='?', type=Path, default=top/settings['doc_path'])
    parser.add_argument('--chromium', default='/usr/bin/chromium')
    parser.add_argument('--all', action='store_true', help='try the search and run axe, too (some minutes)')
    args = parser.parse_args()
    sys.exit(main(args.folder.resolve(), args.chromium, args.all))
