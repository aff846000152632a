"""The interactive charts in a real browser: python .ci/charts_in_browser.py [--shots FOLDER] [--axe axe.min.js] [--chromium PATH]

Needs `playwright`, a Chromium, and axe-core (from the package `axe-playwright-python`, or any `axe.min.js`).
`check_charts(page)` can be used on any open page that holds charts: it returns a list of problems."""
import argparse, importlib.util, sys
from pathlib import Path

FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']

GEOMETRY = """root => {
  const svg = [...root.querySelectorAll('.plot > svg')].filter(v => v.getBoundingClientRect().width), problems = [];
  if (svg.length != 1) return [`${svg.length} pictures are shown instead of one`];
  const frame = svg[0].getBoundingClientRect(), boxes = [...svg[0].querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]).filter(b => b[1].width);
  for (const [t, b] of boxes) {
    if (b.left < frame.left-1 || b.right > frame.right+1 || b.top < frame.top-1 || b.bottom > frame.bottom+1) problems.push(`the text "${t}" leaves the picture`);
    if (b.height < 10) problems.push(`the text "${t}" is only ${b.height} pixels tall`);
  }
  boxes.forEach(([t, a], i) => boxes.slice(i+1).forEach(([u, b]) => {
    if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4) problems.push(`the texts "${t}" and "${u}" overlap`);
  }));
  return problems;
}"""

TABLE = "root => [...root.querySelector('table').rows].map(r => [...r.cells].map(c => c.textContent))"

def expected(table, s, i):
    "What the readout must say for point `i` of series `s`, from the table below the chart."
    row = [r for r in table[1:] if r[s+1]][i]
    return f'{table[0][s+1]}: {row[s+1]} {table[0][0]} {row[0]}'

def length(table, s): return sum(bool(r[s+1]) for r in table[1:])

def same(a, b): return ' '.join(a.split()) == ' '.join(b.split())

HIDDEN = "[...document.querySelectorAll('.owt-chart [data-s]')].filter(g => g.style.display == 'none').length"

def check_chart(page, root, name):
    "Everything that one chart must do; a list of what it does not."
    problems, plot, said = [], root.query_selector('.plot'), root.query_selector('.said')
    table, keys = root.evaluate(TABLE), root.query_selector_all('button')
    n = len(table[0]) - 1
    def check(what, got, want):
        if not (same(got, want) if isinstance(want, str) else got == want): problems.append(f'{name}: {what}: {got!r} instead of {want!r}')
    def press(key): page.keyboard.press(key); return said.text_content()
    problems += [f'{name}: {p}' for p in root.evaluate(GEOMETRY)]
    check('woken by its script', root.get_attribute('data-live'), '')
    check('the readout is announced', said.get_attribute('aria-live'), 'polite')

    plot.evaluate('p => { p.scrollIntoView({block: "center", behavior: "instant"}); p.focus({preventScroll: true}); }')
    check('keyboard focus', plot.evaluate('p => p == document.activeElement'), True)
    check('ArrowRight', press('ArrowRight'), expected(table, 0, 0))
    check('focus is visible', plot.evaluate('p => getComputedStyle(p).outlineStyle'), 'solid')
    if length(table, 0) > 1: check('ArrowRight again', press('ArrowRight'), expected(table, 0, 1)); check('ArrowLeft', press('ArrowLeft'), expected(table, 0, 0))
    check('End', press('End'), expected(table, 0, length(table, 0)-1))
    check('ArrowRight at the end', press('ArrowRight'), expected(table, 0, length(table, 0)-1))
    check('Home', press('Home'), expected(table, 0, 0))
    if n > 1:
        check('ArrowDown changes the series', press('ArrowDown').startswith(table[0][2] + ':'), True)
        check('ArrowUp comes back', press('ArrowUp').startswith(table[0][1] + ':'), True)
        press('Home')
        for _ in range(2): press('ArrowRight')
        here = [r for r in table[1:] if r[1]][:3][-1]
        check('ArrowUp goes round', press('ArrowUp').startswith(table[0][n] + ':'), True)
        if here[n]: check('to the same place', said.text_content(), expected([table[0], here], n-1, 0))
    check('Escape', press('Escape'), '')
    check('Escape hides the cross-hair', plot.eval_on_selector_all('.cross', "cs => cs.every(c => !c.getAttribute('d'))"), True)

    for s in range(n):
        i = length(table, s)//2
        x, y = plot.evaluate("""(p, [s, i]) => { p.scrollIntoView({block: "center", behavior: "instant"}); const v = [...p.querySelectorAll('svg')].find(v => v.getBoundingClientRect().width), b = v.getBoundingClientRect(), k = b.width/v.viewBox.baseVal.width;
            const q = v.querySelectorAll('polyline')[s].getAttribute('points').split(' ')[i].split(',').map(Number); return [b.left + q[0]*k, b.top + q[1]*k]; }""", [s, i])
        page.mouse.move(x, y)
        row = [r for r in table[1:] if r[s+1]][i]
        there = [expected([table[0], row], t, 0) for t in range(n) if row[t+1] == row[s+1]]      # at the very same place
        if not any(same(said.text_content(), one) for one in there):
            check(f'the pointer at point {i} of {table[0][s+1]!r}', said.text_content(), expected([table[0], row], s, 0))
        inside = said.evaluate("s => { const a = s.getBoundingClientRect(), b = s.offsetParent.getBoundingClientRect(); return a.left > b.left-1 && a.right < b.right+1 && a.top > b.top-1; }")
        check(f'the readout of {table[0][s+1]!r} stays inside the chart', inside, True)
    page.mouse.move(0, 0)
    check('the pointer has left', said.text_content(), '')

    check('buttons', len(keys), n if n > 1 else 0)
    for s, key in enumerate(keys):
        check('a button at first', key.get_attribute('aria-pressed'), 'true')
        key.focus(); page.keyboard.press('Enter')
        check('a button pressed', key.get_attribute('aria-pressed'), 'false')
        seen = plot.evaluate("(p, s) => [...p.querySelectorAll(`[data-s=\"${s}\"]`)].filter(g => g.getClientRects().length && getComputedStyle(g).display != 'none').length", s)
        check('its series is gone', seen, 0)
        check('no other chart has changed', page.evaluate(HIDDEN), 2)       # in both pictures of this chart
        plot.focus()
        check('and is not read', press('ArrowRight').startswith(table[0][s+1] + ':'), False)
        press('Escape'); key.focus(); page.keyboard.press('Space')
        check('a button pressed again', key.get_attribute('aria-pressed'), 'true')
        seen = plot.evaluate("(p, s) => [...p.querySelectorAll(`[data-s=\"${s}\"]`)].filter(g => g.getBoundingClientRect().width).length", s)
        check('its series is back', seen, 1)
    plot.evaluate('p => p.blur()')
    check('the caption says what it shows', bool(root.query_selector('figcaption b').text_content().strip()), True)
    return problems

def check_charts(page):
    "Check all charts of an open page; a list of problems, empty if there are none."
    roots = page.query_selector_all('.owt-chart')
    problems = [] if roots else ['no chart on this page']
    for i, root in enumerate(roots): problems += check_chart(page, root, f'chart {i}')
    wide = page.evaluate('[document.scrollingElement.scrollWidth, innerWidth]')
    if wide[0] > wide[1]: problems.append(f'the page is {wide[0]} pixels wide in a window of {wide[1]}')
    return problems

def check_touch(page):
    "A finger on a chart shows a point, and the readout stays when the finger is gone."
    problems = []
    for i, plot in enumerate(page.query_selector_all('.owt-chart .plot')):
        plot.scroll_into_view_if_needed()
        box = plot.bounding_box()
        page.touchscreen.tap(box['x'] + .4*box['width'], box['y'] + .5*box['height'])
        if not page.query_selector_all('.owt-chart .said')[i].text_content(): problems.append(f'chart {i}: touched, it says nothing')
    return problems

def check_tabs(page):
    "The tabulator key reaches each chart and each button."
    page.evaluate('document.activeElement.blur()')
    reached, wanted = set(), page.evaluate("document.querySelectorAll('.owt-chart :is(.plot, button, summary)').length")
    for _ in range(3*wanted + 5):
        page.keyboard.press('Tab')
        reached.add(page.evaluate("[...document.querySelectorAll('.owt-chart :is(.plot, button, summary)')].indexOf(document.activeElement)"))
    return [] if len(reached - {-1}) == wanted else [f'the tabulator key reaches {len(reached - {-1})} of {wanted} places']

def check_axe(page, script):
    "Serious and critical findings of axe-core in the charts, with all tables open."
    page.evaluate("document.querySelectorAll('.owt-chart details').forEach(d => d.open = true)")
    page.evaluate(Path(script).read_text(encoding='utf-8'))
    found = page.evaluate("axe.run({include: [['.owt-chart']]}, {resultTypes: ['violations']})")['violations']
    page.evaluate("document.querySelectorAll('.owt-chart details').forEach(d => d.open = false)")
    return [f"axe: {v['impact']}: {v['id']} ({v['nodes'][0]['target']})" for v in found if v['impact'] in ('serious', 'critical')]

def check_contrast(page):
    "Text in pictures, which axe does not measure: at least 4.5 to 1 against the page."
    return page.evaluate("""() => {
      const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
      const over = (color, alpha, ground) => { canvas.globalAlpha = 1; canvas.fillStyle = ground; canvas.fillRect(0, 0, 1, 1); canvas.globalAlpha = alpha; canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v/255).map(v => v <= .04045 ? v/12.92 : ((v+.055)/1.055)**2.4); };
      const light = c => .2126*c[0] + .7152*c[1] + .0722*c[2], ground = getComputedStyle(document.body).backgroundColor;
      const ratio = (color, alpha) => { const [a, b] = [light(over(color, alpha, ground)), light(over(ground, 1, ground))].sort((x, y) => y-x); return (a+.05)/(b+.05); };
      const problems = new Set();
      document.querySelectorAll('.owt-chart .plot text').forEach(t => { const s = getComputedStyle(t), r = ratio(s.fill, +s.fillOpacity); if (r < 4.5) problems.add(`text "${t.textContent}" has a contrast of ${r.toFixed(2)}`); });
      document.querySelectorAll('.owt-chart .s polyline').forEach(l => { const s = getComputedStyle(l), r = ratio(s.stroke, 1); if (r < 3) problems.add(`a curve (${s.stroke}) has a contrast of ${r.toFixed(2)}`); });
      return [...problems];
    }""")

def check_static(browser, html):
    "Without JavaScript the picture is there, and the legend does not pretend to be alive."
    context = browser.new_context(java_script_enabled=False, viewport=dict(width=800, height=800))
    page = context.new_page()
    page.set_content(html)
    boxes = [p.bounding_box() for p in page.locator('.owt-chart .plot').all()]
    enabled = page.locator('.owt-chart button:enabled').count()
    context.close()
    return [f'without JavaScript a picture is only {b["height"]} pixels tall' for b in boxes if b['height'] < 100] + ([f'without JavaScript {enabled} buttons look alive'] if enabled else [])

def charts():
    "A line chart and a bar chart with everything in them, and each of them twice, as a page may hold them."
    from owt_transformer.charts import BarChart, LineChart, Series
    x = [51_200*i for i in range(1, 21)]
    web, stories = [2.2 + 3/i for i in range(1, 21)], [.8 + 3/i**1.2 for i in range(1, 21)]
    line = LineChart([Series('web text', x, web, '#D55E00', [v*.96 for v in web], [v*1.04 for v in web]), Series('children\'s stories', x, stories, '#0072B2'),
                      Series('stories, small vocabulary', x[::2], [v + .15 for v in stories[::2]], '#009E73', dash='6 3')],
                     'Web text stays harder, however long a model reads', 'tokens trained on', 'validation loss (bits per byte)', source='made up for this test', lines={'entropy of the stories': .79})
    crowd = LineChart([Series(f'run {k} with a name as long as they come', [10**k for k in range(1, 8)], [2 + k/100 + 5/j for j in range(1, 8)], c)
                       for k, c in enumerate(['#0072B2', '#D55E00', '#009E73', '#CC79A7', 'crimson', 'gray'])], 'A crowd', 'floating-point operations', 'loss', log_x=True, log_y=True)
    bar = BarChart(['after a space', 'without a space', 'capitalised', 'punctuation and other marks that have no letters', 'number', 'end of text'],
                   [('web text', [.52, .31, .22, .1, .05, 0], '#D55E00', [.5, .3, .2, .09, .04, 0], [.55, .33, .25, .11, .06, 0]), ('children\'s stories', [.2, .1, .06, .05, .001, .02], '#0072B2')],
                   'Words carry most of the loss', 'bits per byte spent on tokens of this kind', source='made up for this test')
    change = BarChart(['longer context', 'no warm-up', 'WIDER VOCABULARY WWWW'], [('change', [-.12, .31, -.004], '#0072B2')], 'What each change does', 'change of the loss (nats per token)')
    return [line, bar, crowd, change, line]

PAGE = """<!doctype html><html lang="en"{theme}><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Charts</title>
<style>body{{margin:0;background:#fff;color:#343a40;font:16px/1.5 system-ui,sans-serif}} main{{max-width:46rem;margin:auto;padding:1rem}}
@media (prefers-color-scheme:dark){{html:not([data-bs-theme=light]) body{{background:#1b1d1f;color:#dee2e6}}}} [data-bs-theme=dark] body{{background:#212529;color:#dee2e6}}
body.quarto-dark{{background:#222;color:#fff}}</style></head><body class="{body}"><main><h1>Charts</h1>{charts}</main></body></html>"""

def looks(width):
    "How a page may have come by its colours: (name, the system's wish, attribute of the page, class of the body)."
    yield f'light-{width}', 'light', '', ''
    yield f'dark-{width}', 'dark', '', ''
    if width == 1280:
        yield f'bootstrap-dark-{width}', 'light', ' data-bs-theme="dark"', ''
        yield f'quarto-dark-{width}', 'light', '', 'quarto-dark'
        yield f'light-page-on-dark-system-{width}', 'dark', ' data-bs-theme="light"', ''

def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument('--shots', type=Path, help='folder for screenshots')
    args.add_argument('--axe', help='axe.min.js; default: that of axe-playwright-python')
    args.add_argument('--chromium', default='/usr/bin/chromium')
    args = args.parse_args()
    from playwright.sync_api import sync_playwright
    if not args.axe and not (spec := importlib.util.find_spec('axe_playwright_python')): sys.exit('axe-core is missing: pip install axe-playwright-python, or give --axe axe.min.js')
    axe = args.axe or Path(spec.origin).parent/'axe.min.js'
    pieces, count, problems = ''.join(c._repr_html_() for c in charts()), 0, []
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=args.chromium, args=FLAGS)
        problems += check_static(browser, PAGE.format(theme='', body='', charts=pieces))
        for width in 1280, 390:
            for name, wish, theme, body in looks(width):
                page, noise = browser.new_page(viewport=dict(width=width, height=900), color_scheme=wish, has_touch=width == 390), []
                page.on('console', lambda m: noise.append(f'console: {m.text}') if m.type in ('error', 'warning') else None)
                page.on('pageerror', lambda e: noise.append(f'error: {e}'))
                page.on('request', lambda r: noise.append(f'request: {r.url}'))
                page.set_content(PAGE.format(theme=theme, body=body, charts=pieces))
                found = check_charts(page) + check_tabs(page) + check_axe(page, axe) + check_contrast(page) + (check_touch(page) if width == 390 else []) + noise
                problems += [f'{name}: {f}' for f in found]; count += 1
                print(f'{name}: {len(found)} problems', flush=True)
                if args.shots:
                    args.shots.mkdir(parents=True, exist_ok=True)
                    page.evaluate('document.activeElement.blur()'); page.screenshot(path=args.shots/f'{name}.png', full_page=True)
                    for i, plot in enumerate(page.query_selector_all('.plot')[:2]):
                        plot.focus(); page.keyboard.press('Home'); page.keyboard.press('ArrowRight'); page.keyboard.press('ArrowRight')
                        page.query_selector_all('.owt-chart')[i].screenshot(path=args.shots/f'{name}-reading-{i}.png')
                page.close()
        browser.close()
    print(*problems, f'{count} pages, {len(problems)} problems', sep='\n')
    sys.exit(bool(problems))

if __name__ == '__main__': main()
