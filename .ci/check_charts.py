"The charts of nbs/05d_charts.ipynb in a browser; needs `playwright`, `axe-playwright-python` and a Chromium."
import argparse, json, sys
from pathlib import Path

FLAGS = '--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking'.split()
TABLE = "root => [...root.querySelector('table').rows].map(r => [...r.cells].map(c => c.textContent))"
PICTURE = "const [v] = [...root.querySelectorAll('.plot > svg')].filter(v => v.getBoundingClientRect().width);"
POINT = "([root, s, i]) => {" + PICTURE + """ v.scrollIntoView({block: 'center', behavior: 'instant'});
  const {x, y} = v.querySelector(`[data-s="${s}"] polyline`).points[i].matrixTransform(v.getScreenCTM());
  return [x, y]; }"""
GEOMETRY = "root => {" + PICTURE + """ const problems = [], box = e => e.getBoundingClientRect();
  const inside = (a, b) => a.left > b.left-1 && a.right < b.right+1 && a.top > b.top-1 && a.bottom < b.bottom+1;
  const apart = (a, b) => a.right < b.left+1 || b.right < a.left+1 || a.bottom < b.top+4 || b.bottom < a.top+4;
  const texts = [...v.querySelectorAll('text')], said = root.querySelector('.said');
  for (const t of texts) {
    if (!inside(box(t), box(v)) || box(t).height < 10) problems.push(`"${t.textContent}" leaves or is small`);
    if (texts.some(u => u != t && !apart(box(t), box(u)))) problems.push(`"${t.textContent}" overlaps`);
  }
  return inside(box(said), box(root)) ? problems : [...problems, 'the readout leaves the chart']; }"""
DRAWN = "([root, s]) => [...root.querySelectorAll(`[data-s='${s}']`)].filter(e => e.getClientRects().length).length"
# axe does not measure SVG, so it gets paragraphs in the same colours: small ones (4.5 to 1), large for curves (3 to 1)
SAMPLES = """() => document.querySelectorAll('.plot :is(text, polyline:not([stroke=none] *))').forEach(e => {
  const s = getComputedStyle(e), p = e.closest('.owt-chart').appendChild(document.createElement('p'));
  p.style = e.tagName == 'text' ? `color: ${s.fill}; opacity: ${s.fillOpacity}` : `color: ${s.stroke}; font-size: 30px`;
  p.textContent = 'sample'; })"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<style>body{margin:0;background:#fff;color:#343a40} main{max-width:46rem;margin:auto;padding:1rem;font:16px system-ui}
@media (prefers-color-scheme:dark){body{background:#1b1d1f;color:#dee2e6}} .plot{font-family:FONT!important}</style>
<title>Charts</title><main><h1>Charts</h1>"""

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
    check('the readout is announced', said.get_attribute('aria-live'), 'polite')
    check('alt text', plot.get_attribute('aria-label').startswith(root.query_selector('b').text_content()), True)
    plot.focus()
    for key, i in dict(ArrowRight=0, End=-1, ArrowLeft=max(len(mine) - 2, 0), Home=0).items():
        check(key, press(key), mine[i])
    check('focus is visible', plot.evaluate('p => getComputedStyle(p).outlineStyle'), 'solid')
    for key, there in [('ArrowDown', others[0]), ('ArrowUp', mine), ('ArrowUp', others[-1])] if others else []:
        check(key, press(key), *there)
    check('Escape', press('Escape') + root.eval_on_selector_all('.ring', "rings => rings[0].getAttribute('d')"), '')
    for s, texts in enumerate([mine, *others]):
        row = [row for row in rows if row[s+1]][len(texts)//2]
        page.mouse.move(*page.evaluate(POINT, [root, s, len(texts)//2]))
        same = [say(u, row) for u in range(len(names)) if row[u+1].split(' (')[0] == row[s+1].split(' (')[0]]
        check(f'the pointer on {names[s]!r}', said.text_content(), *same)
        problems += [f'{name}: {p}' for p in root.evaluate(GEOMETRY)]
    page.mouse.move(0, 0)
    check('the pointer has left', said.text_content(), '')
    check('buttons', len(keys), len(names) if others else 0)
    for s, key in enumerate(keys):
        for stroke, pressed, seen in ('Enter', 'false', 0), ('Space', 'true', page.evaluate(DRAWN, [root, s])):
            key.focus(); page.keyboard.press(stroke)
            check('a button', (key.get_attribute('aria-pressed'), page.evaluate(DRAWN, [root, s])), (pressed, seen))
            plot.focus()
            check('the series read', press('ArrowRight'), others[0][0] if s == 0 and not seen else mine[0])
    return problems

def check_charts(page):
    "Check all charts of an open page; a list of problems, empty if there are none."
    roots = page.query_selector_all('.owt-chart')
    problems = [p for i, root in enumerate(roots) for p in check_chart(page, root, f'chart {i}')]
    if page.evaluate('document.scrollingElement.scrollWidth > innerWidth'): problems.append('the page scrolls sideways')
    return problems if roots else ['no chart on this page']

def check_access(page):
    "A finger, the tabulator key, and axe with all tables open."
    from axe_playwright_python.sync_playwright import Axe
    problems, places = [], "[...document.querySelectorAll('.owt-chart :is(.plot, button, summary)')]"
    for plot in page.locator('.plot').all() if page.evaluate('navigator.maxTouchPoints') else []:
        plot.tap()
        if not plot.locator('.said').text_content(): problems.append('touched, a chart says nothing')
    if not page.evaluate(places + '.every(e => e.tabIndex == 0)'): problems.append('the tabulator key misses a place')
    page.evaluate(SAMPLES); page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = Axe().run(page, context={'include': [['.owt-chart']]}).response['violations']
    serious = [v for v in found if v['impact'] in ('serious', 'critical')]
    return problems + [f'axe: {v["id"]}: {v["nodes"][0]["html"]}' for v in serious]

def main():
    args, problems = argparse.ArgumentParser(description=__doc__), []
    args.add_argument('--chromium', default='/usr/bin/chromium')
    from playwright.sync_api import sync_playwright
    cells = json.loads((Path(__file__).parent.parent/'nbs'/'05d_charts.ipynb').read_text(encoding='utf-8'))['cells']
    html = PAGE + ''.join(''.join(o.get('data', {}).get('text/html', '')) for c in cells for o in c.get('outputs', []))
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=args.parse_args().chromium, args=FLAGS)
        for width, scheme, font in [(1280, 'light', 'DejaVu Sans'), (1280, 'dark', 'Liberation Sans'),
                                    (390, 'light', 'Liberation Sans'), (390, 'dark', 'DejaVu Sans')]:
            size, noise = dict(width=width, height=900), []
            page = browser.new_page(viewport=size, color_scheme=scheme, has_touch=width == 390)
            for event in 'pageerror', 'request': page.on(event, lambda e: noise.append(str(e)))
            page.on('console', lambda m: m.type in ('error', 'warning') and noise.append(m.text))
            page.set_content(html.replace('FONT', repr(font)))
            problems += [f'{scheme}-{width}: {problem}' for problem in check_charts(page) + check_access(page) + noise]
        still = browser.new_page(java_script_enabled=False)
        still.set_content(html)
        if still.locator('button:enabled').count() or still.locator('.plot').first.bounding_box()['height'] < 100:
            problems.append('without JavaScript a picture is missing or a button pretends to work')
    print(*problems, f'{len(problems)} problems', sep='\n')
    sys.exit(bool(problems))

if __name__ == '__main__': main()
