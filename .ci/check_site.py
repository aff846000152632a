"""Open the rendered web site in a headless browser and test it: python .ci/check_site.py [FOLDER] [--screenshots DIR]

Every page is served from this machine and opened at the width of a desk and of a telephone; it must need nothing from anywhere else.
"""
import argparse, configparser, re, sys, threading, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import TimeoutError, sync_playwright

from check_charts import check_charts

top = Path(__file__).parent.parent
settings = configparser.ConfigParser(interpolation=None)
settings.read(top/'settings.ini')
settings = settings['DEFAULT']
sub_path = settings.get('doc_baseurl', '').rstrip('/')  # the site lies under it, here as on its host
home = settings.get('doc_host', '').rstrip('/') + sub_path + '/'
sizes = {1280: 800, 390: 844}
heaviest = 1.5e6  # bytes: a page with all that it loads
flags = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync'
axe_options = {'resultTypes': ['violations'], 'runOnly': {'type': 'tag', 'values': ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}}

# Findings of a renderer's own theme that our styles cannot mend: (renderer, rule, what its selector holds): why
known = {}

class Report:
    "Counts of checks passed and of findings, a line for each"
    def __init__(self): self.passed, self.failed = 0, 0

    def add(self, check, findings):
        "One check of the whole site: a line if it passes, else a line for each (page, element, expected)"
        if not findings:
            self.passed += 1
            print(f'ok: {check}')
        for page, element, expected in dict.fromkeys(findings):
            self.failed += 1
            print(f'FAILED: {check}: {page}: {element}: {expected}')

class Quiet(SimpleHTTPRequestHandler):
    "The site under its sub-path, and nothing beside it"
    def log_message(self, *args): pass

    def translate_path(self, path):
        if not path.startswith(f'{sub_path}/'): return str(top/'no such file')
        return super().translate_path(path[len(sub_path):])

def serve(folder):
    "A local server of a folder, in the background"
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server

collect = """() => ({
    title: document.title,
    ids: [...document.querySelectorAll('[id], a[name]')].flatMap(e => [e.id, e.getAttribute('name')]).filter(x => x),
    links: [...document.querySelectorAll('a[href], area[href]')].map(a => [a.href, a.getAttribute('href'), (a.innerText || a.ariaLabel || '').trim().slice(0, 40)]),
    raw: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('math, .katex, mjx-container')).map(e => e.textContent.slice(0, 40)),
})"""

overflowing = """() => {
    const page = document.scrollingElement, room = document.documentElement.clientWidth
    const scrolls = e => e && e !== page && e !== document.body && (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement))
    const wide = [...document.body.querySelectorAll('*:not(svg *)')].filter(e => e.checkVisibility({visibilityProperty: true}) && e.getBoundingClientRect().right > room + 1 && !scrolls(e))
    const name = e => e.tagName.toLowerCase() + (e.id ? '#' + e.id : '') + [...e.classList].map(c => '.' + c).join('') + ` ends at ${Math.round(e.getBoundingClientRect().right)}`
    return page.scrollWidth > innerWidth || wide.length ? [page.scrollWidth, wide.slice(0, 3).map(name).join(', ')] : null
}"""

cut_off = """() => [...document.querySelectorAll('main .sourceCode pre, main pre.sourceCode')]
    .filter(e => !e.closest('.cell-output') && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.innerText.split('\\n').reduce((a, b) => a.length > b.length ? a : b))"""

same = """() => [...document.querySelectorAll('pre code')].slice(10).forEach(e => e.classList.add('more-of-the-same'))"""

class Visit:
    "One page, opened at one width: what it did, what it asked for, and what is on it"
    def __init__(self, context, base, name, width):
        self.name, self.width, self.errors, self.away, self.missing, self.asked = name, width, [], [], [], set()
        self.page = context.new_page()
        self.page.set_viewport_size({'width': width, 'height': sizes[width]})
        self.page.on('console', lambda m: m.type == 'error' and self.is_local(m.location.get('url') or base, base) and self.errors.append(m.text))
        self.page.on('pageerror', lambda e: self.errors.append(str(e)))
        self.page.on('request', lambda r: self.asked.add(r.url) if self.is_local(r.url, base) else self.away.append(r.url))
        self.page.on('response', lambda r: r.status >= 400 and self.missing.append(f'{r.url[len(base):]} ({r.status})'))
        self.status = self.page.goto(base + name, wait_until='load').status
        self.page.wait_for_timeout(100)  # for scripts that start when the page has loaded
        self.found = self.page.evaluate(collect)

    def is_local(self, url, base): return url.startswith((base, 'data:', 'blob:', 'about:'))

    def weight(self, base, folder):
        "Bytes on disk of the page and of all that it loaded"
        files = {folder/unquote(urlsplit(url).path[len(sub_path)+1:]) for url in self.asked if url.startswith(base)}
        return sum(f.stat().st_size for f in files if f.is_file())

def check_opened(report, visits, base, folder):
    "Each page opens, says nothing wrong, needs only this machine, and is light"
    every = f'{len({v.name for v in visits})} pages'
    report.add(f'{every} open', [(v.name, 'status', f'{v.status} instead of 200') for v in visits if v.status != 200])
    report.add('all that a page loads is there', [(v.name, m, 'should be in the site') for v in visits for m in v.missing])
    report.add('no errors in the console', [(v.name, e.splitlines()[0], 'expected none') for v in visits for e in v.errors])
    report.add('no request leaves this machine', [(v.name, url, 'should be part of the site, or a link') for v in visits for url in v.away])
    report.add('formulas are set', [(v.name, tex, 'should be MathML, not TeX') for v in visits for tex in v.found['raw']])
    report.add('each page has a title of its own', [(v.name, repr(v.found['title']), 'expected another') for v in visits if v.width == 1280 and
        (not v.found['title'].strip() or any(w.found['title'] == v.found['title'] and w.name != v.name for w in visits))])
    weights = {v.name: v.weight(base, folder) for v in visits if v.width == 1280}
    print('weight of each page with all that it loads, MB:', ', '.join(f'{name} {n/1e6:.2f}' for name, n in weights.items()))
    report.add(f'no page weighs more than {heaviest/1e6} MB', [(name, f'{n/1e6:.2f} MB', 'is too much') for name, n in weights.items() if n > heaviest])

def place(url, base):
    "A link's (page, anchor) if it stays inside the site, whether written in full or not, else None"
    if url.startswith(home): url = base + url[len(home):]
    if not url.startswith(base): return None
    path, anchor = unquote(urlsplit(url).path[len(sub_path)+1:]), unquote(urlsplit(url).fragment)
    return (path + 'index.html' if path == '' or path.endswith('/') else path), anchor

def check_links(report, visits, base, folder):
    "Links lead to pages and anchors that exist, and every page is led to"
    ids = {v.name: set(v.found['ids']) for v in visits}
    dead, lost, outside, leads = [], [], set(), {name: set() for name in ids}
    for v in visits:
        for url, href, text in v.found['links']:
            if (to := place(url, base)) is None: outside.add(url)
            elif not (folder/to[0]).is_file(): dead.append((v.name, f'link {text!r} to {href}', f'there is no {to[0]}'))
            elif to[1] not in ('', 'top') and to[1] not in ids.get(to[0], ()): lost.append((v.name, f'link {text!r} to {href}', f'{to[0]} has no #{to[1]}'))
            else: leads[v.name].add(to[0])
    n = sum(len(v.found['links']) for v in visits if v.width == 1280)
    report.add(f'{n} links lead to pages of the site or outside', dead)
    report.add('their anchors exist', lost)
    reached, todo = set(), ['index.html']
    while todo:
        reached.add(name := todo.pop())
        todo += leads.get(name, set()) - reached
    report.add('every page is reached from the front page', [(name, 'no link', 'expected one, in the sidebar say') for name in ids if name not in reached])
    files = sorted({urldefrag(u).url for u in outside if urlsplit(u).scheme != 'javascript'})
    print(f'{len(files)} pages of other sites, not visited:', *files, sep='\n  ')

def look_for(page, words):
    "What the site's search box answers: [(address, text)], for smalldocs and for Quarto"
    box = page.locator('.smalldocs-search input:visible, .aa-Input:visible').first
    if not box.count(): page.locator('.aa-DetachedSearchButton:visible, #quarto-search button:visible').first.click(timeout=3000)
    box.fill(words, timeout=3000)
    page.wait_for_timeout(600)  # the box waits for a pause in the typing
    return page.eval_on_selector_all('a.search-result, .aa-Panel a[href]', 'found => found.map(a => [a.href, a.innerText])')

def check_search(report, visits, base):
    "The search finds each page by its title, and finds no nonsense"
    wide, findings = [v for v in visits if v.width == 1280], []
    page = wide[0].page
    try:
        for v in wide:
            words = v.page.locator('h1').first.inner_text().strip()
            if v.name not in [(place(url, base) or ['another site'])[0] for url, _ in look_for(page, words)]:
                findings.append((v.name, f'search for {words!r}', 'should find the page'))
        if answers := look_for(page, 'xqzvjwk'): findings.append((wide[0].name, "search for 'xqzvjwk'", f'should find nothing, not {answers[0]}'))
        if lost := [url for url, _ in look_for(page, 'tokens') if page.request.get(url).status != 200]: findings.append((wide[0].name, lost[0], 'should open'))
    except TimeoutError: findings.append((wide[0].name, 'search box', 'expected one to type into'))
    report.add('the search finds each page by its title', findings)

def check_layout(report, visits):
    "No page scrolls sideways, and nothing is cut off where it cannot be scrolled to"
    for width in sizes:
        wide = [(v, got) for v in visits if v.width == width and (got := v.page.evaluate(overflowing))]
        report.add(f'no page scrolls sideways at {width} px', [(v.name, got[1] or f'page is {got[0]} px wide', 'should fit, or lie in a box that scrolls') for v, got in wide])
    report.add('code fits its box at 1280 px', [(v.name, line, f'{len(line)} characters are cut off: 100 fit') for v in visits if v.width == 1280 for line in v.page.evaluate(cut_off)])

def check_access(report, visits, renderer):
    "axe finds nothing serious, but for what is known of the renderer; the dark theme is looked at on the telephone"
    axe, excused = Axe(), set()
    for width, theme in [(1280, 'light'), (390, 'light'), (390, 'dark')]:
        options, findings = axe_options if theme == 'light' else {'runOnly': ['color-contrast']}, []
        for v in [v for v in visits if v.width == width]:
            if theme == 'dark': v.page.emulate_media(color_scheme='dark'), v.page.reload()
            v.page.evaluate(same)  # code is coloured alike everywhere: ten blocks a page will do
            for rule in axe.run(v.page, context={'exclude': ['.more-of-the-same']}, options=options).response['violations']:
                if rule['impact'] not in ('serious', 'critical'): continue
                for node in rule['nodes']:
                    target = ' '.join(map(str, node['target']))
                    why = next((w for (r, i, part), w in known.items() if r == renderer and i == rule['id'] and re.search(part, target)), None)
                    if why: excused.add(f'known: {renderer}: {rule["id"]}: {target}: {why}')
                    else: findings.append((v.name, target, f'{rule["id"]}, {rule["impact"]}: {rule["help"]}'))
        report.add(f'axe finds nothing serious at {width} px, {theme}', findings)
    for line in sorted(excused): print(line)

def check_interaction(report, visits):
    "Charts answer the pointer and the keyboard, and say in a table what they draw"
    pages = {v: n for v in visits if v.width == 1280 and (n := v.page.locator('.owt-chart').count())}
    findings = [(v.name, 'chart', problem) for v in pages for problem in check_charts(v.page)]
    report.add(f'{sum(pages.values())} charts answer pointer and keyboard', findings if pages else [('the site', '.owt-chart', 'expected charts')])

def take_screenshots(visits, folder):
    "Each page in full, in parts where it is longer than a picture can be"
    folder.mkdir(parents=True, exist_ok=True)
    for v in visits:
        long, part = v.page.evaluate('document.documentElement.scrollHeight'), 10_000
        v.page.evaluate("document.querySelectorAll('.smalldocs-search-results').forEach(e => e.classList.remove('show'))")
        for n, y in enumerate(range(0, long, part)):
            clip = {'x': 0, 'y': y, 'width': v.width, 'height': min(part, long-y)}
            v.page.screenshot(path=folder/f"{v.name.removesuffix('.html').replace('/', '_')}-{v.width}-{n+1}.png", full_page=True, clip=clip)

def run(folder, chromium, renderer, screenshots=None, seconds=0):
    "All checks of a rendered site: True if nothing failed"
    start = time.time() - seconds
    server, report = serve(folder), Report()
    base = f'http://127.0.0.1:{server.server_port}{sub_path}/'
    names = sorted((f.relative_to(folder).as_posix() for f in folder.rglob('*.html')), key=lambda n: (n != 'index.html', n))
    if not names:
        print(f'FAILED: {folder} holds no pages')
        return False
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=flags.split() + ['--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'])
        context = browser.new_context(reduced_motion='reduce')
        context.route(lambda url: not url.startswith(base), lambda route: route.abort())
        visits = [Visit(context, base, name, width) for width in sizes for name in names]
        if screenshots: take_screenshots(visits, screenshots)
        check_opened(report, visits, base, folder)
        check_links(report, visits, base, folder)
        check_layout(report, visits)
        check_interaction(report, visits)
        check_access(report, visits, renderer)
        check_search(report, visits, base)
        browser.close()
    print(f'{len(names)} pages, rendered by {renderer}, rendered and tested in {time.time()-start:.0f} s')
    print(f'{report.passed} passed, {report.failed} failed')
    return not report.failed

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', nargs='?', type=Path, default=top/settings.get('doc_path', '_docs'))
    parser.add_argument('--chromium', default='/usr/bin/chromium')
    parser.add_argument('--renderer', default='smalldocs')
    parser.add_argument('--seconds', type=float, default=0, help='spent on rendering, to be added')
    parser.add_argument('--screenshots', type=Path, help='save a picture of each page at each width here')
    args = parser.parse_args()
    sys.exit(0 if run(args.folder.resolve(), args.chromium, args.renderer, args.screenshots, args.seconds) else 1)
