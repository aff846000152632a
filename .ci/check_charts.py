"""The charts of nbs/05d_charts.ipynb in a real browser: python .ci/check_charts.py [--shots FOLDER] [--chromium PATH]

Needs `playwright`, `axe-playwright-python` and a Chromium. `check_charts(page)` checks the charts of any open page."""
import argparse, json, sys
from pathlib import Path

FLAGS = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking'.split()
TABLE = "root => [...root.querySelector('table').rows].map(r => [...r.cells].map(c => c.textContent))"
PICTURE = "const [v] = [...root.querySelectorAll('.plot > svg')].filter(v => v.getBoundingClientRect().width);"
POINT = "([root, s, i]) => {" + PICTURE + """ v.scrollIntoView({block: 'center', behavior: 'instant'});
  const {x, y} = v.querySelector(`[data-s="${s}"] polyline`).points[i].matrixTransform(v.getScreenCTM());
  return [x, y]; }"""
GEOMETRY = "root => {" + PICTURE + """ const problems = [], f = v.getBoundingClientRect();
  const boxes = [...v.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
  boxes.forEach(([t, a], i) => {
    if (a.left < f.left-1 || a.right > f.right+1 || a.top < f.top-1 || a.bottom > f.bottom+1 || a.height < 10)
      problems.push(`the text "${t}" leaves the picture or is too small`);
    boxes.slice(i+1).forEach(([u, b]) => meet(a, b) && problems.push(`the texts "${t}" and "${u}" overlap`));
  });
  const [s, r] = [root.querySelector('.said'), root].map(e => e.getBoundingClientRect());
  if (s.left < r.left-1 || s.right > r.right+1 || s.top < r.top-1) problems.push('the readout leaves the chart');
  return problems; }"""
DRAWN = "([root, s]) => [...root.querySelectorAll(`[data-s='${s}']`)].filter(e => e.getClientRects().length).length"
SAMPLES = """() => document.querySelectorAll('.plot :is(text, polyline:not([stroke=none] *))').forEach(e => {
  const s = getComputedStyle(e), p = e.closest('.owt-chart').appendChild(document.createElement('p'));
  Object.assign(p, {textContent: 'sample'}).style = e.tagName == 'text' ? `color: ${s.fill}; opacity: ${s.fillOpacity}`
    : `color: ${s.stroke}; font: bold 30px sans-serif`; })"""     # for axe, which measures no SVG; a curve needs 3 to 1
PLACES = "[...document.querySelectorAll('.owt-chart :is(.plot, button, summary)')]"
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Charts</title><style>main{max-width:46rem;margin:auto;padding:1rem;font:16px/1.5 system-ui} .plot{font-family:FONT!important}
body{margin:0;background:#fff;color:#343a40} @media (prefers-color-scheme:dark){body{background:#1b1d1f;color:#dee2e6}}
</style><main><h1>Charts</h1>"""

def check_chart(page, root, name):
    "Everything that one chart must do; a list of what it does not."
    (first, *names), *rows = root.evaluate(TABLE)
    plot, said, keys = root.query_selector('.plot'), root.query_selector('.said'), root.query_selector_all('button')
    say = lambda s, row: f'{names[s]}: {row[s+1]}\n{first} {row[0]}'
    mine, *others = [[say(s, row) for row in rows if row[s+1]] for s in range(len(names))]
    problems = []
    def check(what, got, *want):
        if got not in want: problems.append(f'{name}: {what}: {got!r} instead of {want[0]!r}')
    def press(key): page.keyboard.press(key); return said.text_content()
    check('announced', said.get_attribute('aria-live'), 'polite')
    check('alt text', plot.get_attribute('aria-label').startswith(root.query_selector('b').text_content()), True)
    plot.focus()
    for key, i in dict(ArrowRight=0, End=-1, ArrowLeft=max(len(mine) - 2, 0), Home=0).items():
        check(key, press(key), mine[i])
    check('focus is visible', plot.evaluate('p => getComputedStyle(p).outlineStyle'), 'solid')
    for key, there in [('ArrowDown', others[0]), ('ArrowUp', mine), ('ArrowUp', others[-1])] if others else []:
        check(key, press(key), *there)
    check('Escape', press('Escape'), '')
    check('no ring', plot.eval_on_selector_all('.ring', "rings => rings.some(r => r.getAttribute('d'))"), False)
    for s, texts in enumerate([mine, *others]):
        row = [row for row in rows if row[s+1]][len(texts)//2]
        page.mouse.move(*page.evaluate(POINT, [root, s, len(texts)//2]))
        same = [say(u, row) for u in range(len(names)) if row[u+1].split(' (')[0] == row[s+1].split(' (')[0]]
        check(f'the pointer on {names[s]!r}', said.text_content(), say(s, row), *same)
        problems += [f'{name}: {p}' for p in root.evaluate(GEOMETRY)]
    page.mouse.move(0, 0)
    check('the pointer has left', said.text_content(), '')
    check('buttons', len(keys), len(names) if others else 0)
    for s, key in enumerate(keys):
        drawn = page.evaluate(DRAWN, [root, s])
        for stroke, pressed, seen in ('Enter', 'false', 0), ('Space', 'true', drawn):
            key.focus(); page.keyboard.press(stroke)
            check('a button', (key.get_attribute('aria-pressed'), page.evaluate(DRAWN, [root, s])), (pressed, seen))
            plot.focus()
            check('the series read', press('ArrowRight'), others[0][0] if s == 0 and not seen else mine[0])
    plot.evaluate('p => p.blur()')
    return problems

def check_charts(page):
    "Check all charts of an open page; a list of problems, empty if there are none."
    roots = page.query_selector_all('.owt-chart')
    problems = [p for i, root in enumerate(roots) for p in check_chart(page, root, f'chart {i}')]
    if page.evaluate('document.scrollingElement.scrollWidth > innerWidth'): problems.append('the page scrolls sideways')
    return problems if roots else ['no chart on this page']

def check_access(page):
    "The tabulator key, a finger, and axe with all tables open."
    from axe_playwright_python.sync_playwright import Axe
    wanted, reached = page.evaluate(PLACES + '.length'), set()
    for _ in range(2*wanted + 5):
        page.keyboard.press('Tab'); reached.add(page.evaluate(PLACES + '.indexOf(document.activeElement)'))
    problems = [] if len(reached - {-1}) == wanted else [f'the tabulator key reaches {reached} of {wanted} places']
    for plot in page.locator('.plot').all() if page.evaluate('navigator.maxTouchPoints') else []:
        plot.tap()
        if not plot.locator('.said').text_content(): problems.append('touched, a chart says nothing')
    page.evaluate(SAMPLES); page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(page, context={'include': [['.owt-chart']]}).response['violations']
    return problems + [f'axe: {v["id"]}: {v["nodes"][0]["html"]}' for v in found if v['impact'] in ('serious', 'critical')]

def check_still(page):
    "Without JavaScript the picture is there, and the legend does not pretend to work."
    tall = all(p.bounding_box()['height'] > 100 for p in page.locator('.plot').all())
    return [] if tall and not page.locator('.owt-chart button:enabled').count() else ['without JavaScript a chart is wrong']

def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument('--shots', type=Path, help='folder for screenshots')
    args.add_argument('--chromium', default='/usr/bin/chromium')
    args, problems = args.parse_args(), []
    from playwright.sync_api import sync_playwright
    cells = json.loads((Path(__file__).parent.parent/'nbs'/'05d_charts.ipynb').read_text(encoding='utf-8'))['cells']
    html = PAGE + ''.join(''.join(o.get('data', {}).get('text/html', '')) for c in cells for o in c.get('outputs', []))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=args.chromium, args=FLAGS)
        for width, scheme, font, scripts in [(1280, 'light', 'system-ui', True), (1280, 'dark', 'Liberation Sans', True),
                (390, 'light', 'Liberation Sans', True), (390, 'dark', 'DejaVu Sans', True), (1280, 'light', 'Arial', False)]:
            page, noise = browser.new_page(viewport=dict(width=width, height=900), color_scheme=scheme,
                                           has_touch=width == 390, java_script_enabled=scripts), []
            page.on('console', lambda m: noise.append(f'console: {m.text}') if m.type in ('error', 'warning') else None)
            page.on('pageerror', lambda e: noise.append(f'error: {e}'))
            page.on('request', lambda r: noise.append(f'request: {r.url}'))
            page.set_content(html.replace('FONT', f'{font!r}'))
            found = check_charts(page) if scripts else check_still(page)
            if args.shots: page.screenshot(path=args.shots/f'{scheme}-{width}-{font}.png', full_page=True)
            found += (check_access(page) if scripts else []) + noise
            problems += [f'{scheme}-{width}-{font}: {f}' for f in found]
    print(*problems, f'{len(problems)} problems', sep='\n')
    sys.exit(bool(problems))

if __name__ == '__main__': main()
