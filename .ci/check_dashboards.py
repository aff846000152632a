"""The dashboards in a real browser: python .ci/check_dashboards.py [--shots FOLDER]

Starts JupyterLab on a free port of this machine, shows the four dashboards in a notebook, works them in headless Chromium by keyboard and mouse,
and looks whether what is shown changes. `pip install jupyterlab playwright`; Chromium is that of the system.
"""
import argparse, contextlib, importlib.util, json, os, secrets, shutil, signal, socket, subprocess, sys, time
from pathlib import Path
from tempfile import TemporaryDirectory

top = Path(__file__).resolve().parent.parent
FLAGS = ('--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking '
         '--disable-component-update --disable-sync').split()
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

SETUP = '''
from dataclasses import replace
from pathlib import Path
from owt_transformer.config import Config
from owt_transformer.dashboards import explore_runs, explore_tokens, playground, TrainingThread
from owt_transformer.command import prepare_training, train
from owt_transformer.run import load_model, load_runs
cfg = Config(name='tiny', corpus='synthetic-stories', synthetic_bytes=100_000, data_dir='data', vocab_size=300, context_length=32, d_model=32,
    num_layers=1, num_heads=2, d_ff=64, batch_size=8, max_iters=150, learning_rate=1e-2, min_learning_rate=1e-3, warmup_iters=5, eval_interval=50,
    log_interval=5, checkpoint_interval=50, eval_tokens=2000, sample_tokens=40, device='cpu', compile='no')
web = replace(cfg, name='web', corpus='synthetic-web', vocab_size=350)
'''
CELLS = {
    'ready': "print('the kernel', 'answers')",
    'setup': SETUP + '''
for c in (cfg, web): train(prepare_training(c, Path(c.name), say=str), hooks=[])
models = {n: load_model(f'{n}/checkpoints/best_model.pt') for n in ('tiny', 'web')}
''',
    'watch': "live = TrainingThread(replace(cfg, max_iters=20_000, eval_interval=200), 'live')\nlive",
    'runs': f"explore_runs(load_runs({str(top/'nbs'/'results'/'sample')!r}))",
    'playground': 'playground(models)',
    'tokens': 'explore_tokens({n: t for n, (_, t) in models.items()})',
    'error': "TrainingThread(cfg, 'tiny')",
    'free': "print('the kernel is', 'free')",
}

class Report:
    "Lines 'ok: …' and 'FAILED: …', and how many of each; a picture of the page at each failure."
    def __init__(self, shots): self.passed, self.failed, self.shots, self.page = 0, 0, shots, None
    @contextlib.contextmanager
    def check(self, what):
        try: yield
        except Exception as e:
            self.failed += 1
            print(f'FAILED: {what} ({type(e).__name__}: {str(e)[:300]})', flush=True)
            if self.shots and self.page: self.page.screenshot(path=self.shots/f'failure-{self.failed}.png')
        else: self.passed += 1; print('ok:', what, flush=True)

def notebook(path):
    cell = lambda source: dict(cell_type='code', metadata={}, source=source.strip(), outputs=[], execution_count=None)
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'))
    path.write_text(json.dumps(dict(cells=[*map(cell, CELLS.values())], metadata=kernel, nbformat=4, nbformat_minor=4)))

def settings(folder):
    "JupyterLab without news and questions, and with all cells in the page."
    for name, value in {'notebook-extension/tracker': dict(windowingMode='none', autoStartDefaultKernel=True), 'apputils-extension/notification': dict(fetchNews='false', checkForUpdates=False)}.items():
        path = folder/'@jupyterlab'/f'{name}.jupyterlab-settings'
        path.parent.mkdir(parents=True, exist_ok=True); path.write_text(json.dumps(value))

@contextlib.contextmanager
def jupyterlab(folder):
    "A server on a free port; its address. It and its kernels are ended in the end."
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    token = secrets.token_hex(16)
    env = {k: v for k,v in os.environ.items() if not k.startswith('JUPYTER')} | {'OMP_NUM_THREADS': '1', 'HOME': str(folder/'home'), 'IPYTHONDIR': str(folder/'home'),
        'JUPYTERLAB_SETTINGS_DIR': str(folder/'settings'), 'PYTHONPATH': os.pathsep.join(filter(None, [str(top), os.environ.get('PYTHONPATH')]))}
    (folder/'home').mkdir(); (folder/'work').mkdir(); settings(folder/'settings'); notebook(folder/'work'/'dashboards.ipynb')
    log = open(folder/'log.txt', 'w')
    p = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root', '--ServerApp.ip=127.0.0.1', f'--ServerApp.port={port}', '--ServerApp.port_retries=0',
        f'--IdentityProvider.token={token}', '--LabApp.expose_app_in_browser=True', f'--ServerApp.root_dir={folder/"work"}'], env=env, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port), .2): break
            if p.poll() is not None: raise RuntimeError((folder/'log.txt').read_text()[-2000:])
            time.sleep(.1)
        yield f'http://127.0.0.1:{port}', token
    finally:
        p.send_signal(signal.SIGTERM)
        try: p.wait(20)
        except subprocess.TimeoutExpired: os.killpg(p.pid, signal.SIGKILL); p.wait()
        log.close()

def cell(page, name): return page.locator('.jp-CodeCell').nth([*CELLS].index(name)).locator('.jp-Cell-outputArea')

def shown(area):
    "The HTML of the last widget in the box: what is below the controls."
    return area.locator('.widget-vbox').first.locator(':scope > *').last.inner_html()

def changes(page, area, action, to='', seconds=60):
    "Do something; wait until the view below the controls is another, and holds a text. Returns its new HTML."
    before = shown(area)
    action()
    for _ in range(10*seconds):
        if (after := shown(area)) != before and to in after: return after
        page.wait_for_timeout(100)
    raise AssertionError('nothing changed')

def curves(area): return area.locator('.owt-chart svg.wide polyline')

def lines(area):
    "How the curves run, in pixels."
    return [line.get_attribute('points') for line in curves(area).all()]

def reads(page, area):
    "Point at a chart, then walk along a curve by keyboard: the readout must follow."
    plot, said = area.locator('.owt-chart[data-live] .plot'), area.locator('.owt-chart .said')
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.move(box['x'] + .3*box['width'], box['y'] + .5*box['height'])
    assert ': ' in (pointed := said.inner_text()), pointed
    page.mouse.move(box['x'] + .6*box['width'], box['y'] + .5*box['height'])
    assert said.inner_text() not in ('', pointed), 'the readout does not follow the pointer'
    page.mouse.move(0, 0)
    plot.focus()
    texts = []
    for key in ('Home', 'ArrowRight', 'ArrowRight'): page.keyboard.press(key); texts.append(said.inner_text())
    assert len({*texts, ''}) == 4, texts
    page.keyboard.press('ArrowDown')                            # the other curve; JupyterLab must not take the key
    assert said.inner_text().split(':')[0] not in ('', texts[-1].split(':')[0]), said.inner_text()
    page.keyboard.press('ArrowUp')
    assert plot.evaluate('p => p == document.activeElement')
    return texts

def press(page, area, label, key, times=1):
    "Move a slider by keyboard."
    handle = area.locator('.widget-slider', has_text=label).locator('.noUi-handle')
    handle.focus()
    for _ in range(times): page.keyboard.press(key)

def type_text(page, area, text, leave=False):
    "Replace the text of the text box by typing."
    area.locator('textarea').focus()
    page.keyboard.press('Control+A'); page.keyboard.type(text)
    if leave: page.keyboard.press('Tab')

def execute(page, command, **args):
    "Start a command of JupyterLab, without waiting for its end."
    page.evaluate('([command, args]) => { window.jupyterapp.commands.execute(command, args) }', [command, args])

def open_notebook(page, address, token):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout
    page.goto(f'{address}/lab/tree/dashboards.ipynb?token={token}')
    page.wait_for_function("window.jupyterapp && document.querySelectorAll('.jp-CodeCell').length >= %d" % len(CELLS), timeout=90_000)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=90_000)
    execute(page, 'application:toggle-left-area')
    for _ in range(20):                                 # what is sent to a kernel that is still starting may be lost
        execute(page, 'notebook:run-cell')              # the first one
        with contextlib.suppress(PlaywrightTimeout): cell(page, 'ready').get_by_text('the kernel answers').wait_for(timeout=10_000); break
    else: raise AssertionError('the kernel does not answer')
    execute(page, 'notebook:run-all-cells')

def check_watch(page, report, work, shot):
    area = cell(page, 'watch')
    with report.check('a run is shown while it trains, and the kernel is free meanwhile'):
        cell(page, 'free').get_by_text('the kernel is free').wait_for(timeout=180_000)
        area.get_by_text('Newest sample').wait_for(timeout=120_000)
        changes(page, area, lambda: None)                       # all by itself
        assert curves(area).count() == 2 and 'training' in area.locator('p[role=status]').inner_text()
    with report.check('its chart is read by pointer and by keyboard while it trains'):
        changes(page, area, lambda: None)                       # a new chart: it stays for ten seconds
        reads(page, area)
        assert 'training' in area.locator('p[role=status]').inner_text()
        shot(area, 'watch-live')
    with report.check('Stop, pressed by keyboard, saves and stops'):
        area.get_by_role('button', name='Stop').focus(); page.keyboard.press('Enter')
        area.get_by_text('stopped and saved').wait_for(timeout=60_000)
        assert area.get_by_role('button', name='Stop').is_disabled()
        shot(area, 'watch-stopped')
    with report.check('the rest of the run leads to the weights of an undisturbed one'): resumed_alike(work)
    with report.check('an error in the thread is shown'):
        cell(page, 'error').get_by_text('holds a run already').wait_for(timeout=60_000)
        shot(cell(page, 'error'), 'error')

def resumed_alike(work):
    "Resume the stopped run for 200 steps more, and compare with a run from the start to there."
    code = SETUP + '''
import torch
from owt_transformer.command import start_or_resume
from owt_transformer.step import FastStep
from owt_transformer.train import State, ValidationHook, fit
job = prepare_training(replace(cfg, max_iters=20_000, eval_interval=200), Path('live'), say=str)
class At:
    def __init__(self, n): self.n = n
    def __bool__(self): self.n -= 1; return self.n < 0
def go(state, stop):
    fit(state, job.train, job.cfg, [ValidationHook(job.valid, job.sizes, job.cfg)], FastStep(state, job.train, job.cfg, job.setup), stop)
state = start_or_resume(job, resume=True)
start, there = state.step, state.step + 200
assert 0 < start < 20_000, start
go(state, At(200))
fresh = State.fresh(job.cfg)
go(fresh, At(there))
a, b = state.model.state_dict(), fresh.model.state_dict()
assert state.step == fresh.step == there and all(torch.equal(a[k], b[k]) for k in a)
print(f'(stopped at {start}, compared at {there})')
'''
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONPATH': os.pathsep.join(filter(None, [str(top), os.environ.get('PYTHONPATH')]))}
    p = subprocess.run([sys.executable, '-c', code], cwd=work, env=env, capture_output=True, text=True)
    assert p.returncode == 0, p.stderr.splitlines()[-1]
    print(p.stdout, end='')

def check_runs(page, report, shot):
    area = cell(page, 'runs')
    area.scroll_into_view_if_needed()
    with report.check('six runs are drawn'):
        area.locator('.owt-chart[data-live]').wait_for()
        assert curves(area).count() == 6
    with report.check('pointing at the chart shows a value, and ArrowRight the next'):
        assert all(text.startswith('owt-0: ') and 'steps' in text for text in reads(page, area))
        shot(area, 'runs')
    with report.check('another measure, when chosen, is drawn'):
        box = area.locator('select:not([multiple])').nth(1)
        changes(page, area, lambda: box.select_option(label='training loss (nats per token)'), 'Training loss of recorded runs')
    with report.check('the slider for smoothing, moved by keyboard, smooths'):
        before = lines(area)
        changes(page, area, lambda: press(page, area, 'smoothing', 'PageUp', 16), 'smoothed by')
        page.wait_for_timeout(1000)
        assert len(after := lines(area)) == 6 and all(a != b for a, b in zip(before, after))
    with report.check('the new chart answers too, and its table opens by keyboard'):
        reads(page, area)
        shot(area, 'runs-smoothed')
        area.locator('summary').focus(); page.keyboard.press('Enter')
        area.locator('details[open] td').first.wait_for(timeout=5000)
        shot(area, 'runs-table')
    with report.check('a run that is not chosen is not drawn'):
        changes(page, area, lambda: area.locator('select[multiple]').select_option(['owt-0', 'tinystories-0']))
        page.wait_for_timeout(500)
        assert curves(area).count() == 2
    with report.check('no run chosen: a sentence instead of a chart'):
        changes(page, area, lambda: area.locator('select[multiple]').select_option([]), 'Choose at least one run')
        changes(page, area, lambda: area.locator('select[multiple]').select_option(['owt-0', 'tinystories-0']), 'owt-chart')

def check_playground(page, report, shot):
    area = cell(page, 'playground')
    area.scroll_into_view_if_needed()
    with report.check('two models write, and each token says what else it might have been'):
        area.locator('span[title*="else:"]').first.wait_for(timeout=60_000)
        assert area.locator('details').count() == 2
        shot(area, 'playground')
    with report.check('another prompt, typed, gives other text'):
        assert 'Lily' in changes(page, area, lambda: type_text(page, area, 'Lily had a', leave=True))
    with report.check('temperature, moved by keyboard, gives other text'): changes(page, area, lambda: press(page, area, 'temperature', 'ArrowLeft', 3))
    with report.check('the table of probabilities opens by keyboard'):
        page.wait_for_timeout(1000)
        area.locator('summary').first.focus(); page.keyboard.press('Enter')
        area.locator('details[open] td').first.wait_for(timeout=5000)
        shot(area, 'playground-table')

def check_tokens(page, report, shot):
    area = cell(page, 'tokens')
    area.scroll_into_view_if_needed()
    with report.check('a typed text is cut into boxes under each vocabulary'):
        boxes = area.locator('span[title^="token"]')
        boxes.first.wait_for(timeout=60_000)
        shot(area, 'tokens')
        changes(page, area, lambda: type_text(page, area, 'Tom'))
        page.wait_for_timeout(1500)
        assert area.get_by_text('for 3 bytes').count() == 2 and boxes.count() <= 6

def check_dark(page, report, shot):
    with report.check('on a dark page the text is light'):
        execute(page, 'apputils:change-theme', theme='JupyterLab Dark')
        page.wait_for_timeout(3000)
        color = cell(page, 'runs').locator('svg text').first.evaluate('e => getComputedStyle(e).fill')
        assert min(map(float, color[color.index('(')+1:-1].split(',')[:3])) > 150, color
        for name in ('watch', 'runs', 'playground', 'tokens'): shot(cell(page, name), f'{name}-dark')

def check_all(shots):
    from playwright.sync_api import sync_playwright
    report, problems, elsewhere = Report(shots), [], set()
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, jupyterlab(Path(folder)) as (address, token), sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport=dict(width=1100, height=1300))
        page.set_default_timeout(60_000); report.page = page
        page.on('pageerror', lambda e: problems.append(str(e)))
        page.on('request', lambda r: elsewhere.add(r.url) if not r.url.startswith((address, 'ws://127.0.0.1', 'data:', 'blob:')) else None)
        def shot(area, name):
            if shots: area.scroll_into_view_if_needed(); area.screenshot(path=shots/f'{name}.png')
        with report.check('JupyterLab opens the notebook'): open_notebook(page, address, token)
        check_watch(page, report, Path(folder)/'work', shot)
        check_runs(page, report, shot)
        check_playground(page, report, shot)
        check_tokens(page, report, shot)
        check_dark(page, report, shot)
        with report.check('no error in the page, and nothing was asked of any other machine'): assert not problems and not elsewhere, (problems, elsewhere)
        browser.close()
    print(f'{report.passed} passed, {report.failed} failed')
    return report.failed

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shots', type=Path, help='keep pictures of the dashboards in this folder')
    args = parser.parse_args()
    missing = [m for m in ('jupyterlab', 'ipywidgets', 'playwright') if importlib.util.find_spec(m) is None] + ([] if CHROMIUM else ['Chromium'])
    if missing: print(f'skipped: {", ".join(missing)} not found'); sys.exit(0)
    if args.shots: args.shots.mkdir(parents=True, exist_ok=True)
    sys.exit(bool(check_all(args.shots)))
