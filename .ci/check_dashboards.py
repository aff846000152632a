"""The dashboards in a real JupyterLab: python .ci/check_dashboards.py [--shots FOLDER] [--picture]

Shows the four dashboards in a notebook, and uses them in headless Chromium by mouse and keyboard.
`--picture` also writes nbs/images/dashboard.png, which README and the site show. Needs `pip install jupyterlab playwright` and the system's Chromium.
"""
import argparse, contextlib, json, os, re, secrets, shutil, socket, subprocess, sys, time
from pathlib import Path
from tempfile import TemporaryDirectory

TOP = Path(__file__).resolve().parent.parent
PICTURE = TOP/'nbs'/'images'/'dashboard.png'
CHROMIUM = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
FLAGS = '--headless --no-sandbox --disable-gpu --disable-background-networking'.split()
CELLS = {
    'setup': '''from dataclasses import replace
from owt_transformer.config import Config
from owt_transformer.dashboards import explore_runs, explore_tokens, playground, TrainingThread
from owt_transformer.run import load_model, load_runs
cfg = Config(name='tiny', corpus='synthetic-stories', synthetic_bytes=100_000, data_dir='data', vocab_size=300,
             context_length=32, d_model=32, num_layers=1, num_heads=2, d_ff=64, batch_size=8, max_iters=150,
             warmup_iters=5, eval_interval=50, log_interval=5, sample_tokens=40, device='cpu', compile='no')
for c in cfg, replace(cfg, name='web', corpus='synthetic-web'): TrainingThread(c, c.name).thread.join()
models = {name: load_model(f'{name}/checkpoints/best_model.pt') for name in ('tiny', 'web')}''',
    'train': "live = TrainingThread(replace(cfg, max_iters=20_000, eval_interval=200), 'live')\nlive",
    'runs': f"explore_runs(load_runs({str(TOP/'nbs'/'results'/'sample')!r}))",
    'playground': 'playground(models)',
    'tokens': 'explore_tokens({name: tokenizer for name, (model, tokenizer) in models.items()})',
    'error': "TrainingThread(cfg, 'tiny')",
    'free': "print('the kernel is', 'free')"}

def write_inputs(folder):
    "The notebook, and a setting of JupyterLab that keeps all cells in the page."
    code = [dict(cell_type='code', metadata={}, source=s, outputs=[], execution_count=None) for s in CELLS.values()]
    kernel = dict(kernelspec=dict(name='python3', display_name='Python 3', language='python'))
    for name, content in {
        'work/dashboards.ipynb': dict(cells=code, metadata=kernel, nbformat=4, nbformat_minor=4),
        'settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings': dict(windowingMode='none')}.items():
        (folder/name).parent.mkdir(parents=True)
        (folder/name).write_text(json.dumps(content))

@contextlib.contextmanager
def jupyterlab(folder):
    "Start a server on a free port, give its address and its token, and stop it in the end."
    write_inputs(folder)
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    token = secrets.token_hex(16)
    options = {'ServerApp.ip': '127.0.0.1', 'ServerApp.port': port, 'ServerApp.root_dir': folder/'work',
               'IdentityProvider.token': token, 'LabApp.expose_app_in_browser': True, 'LabApp.news_url': None,
               'LabApp.check_for_updates_class': 'jupyterlab.NeverCheckForUpdate'}
    env = {k: v for k, v in os.environ.items() if not k.startswith('JUPYTER')} | dict(
        HOME=str(folder), PYTHONPATH=str(TOP), OMP_NUM_THREADS='1', JUPYTERLAB_SETTINGS_DIR=str(folder/'settings'))
    command = [sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root']
    with open(folder/'log.txt', 'w') as log:
        p = subprocess.Popen(command + [f'--{k}={v}' for k, v in options.items()], env=env, stdout=log, stderr=log)
    try:
        while p.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(('127.0.0.1', port)): break
            time.sleep(.1)
        else: raise RuntimeError((folder/'log.txt').read_text()[-2000:])
        yield f'http://127.0.0.1:{port}', token
    finally: p.kill(); p.wait()                 # its kernels notice, and end too

class Lab:
    "A notebook in a browser: finds the dashboards, uses them, and counts what passed and failed."
    def __init__(self, page, shots): self.page, self.shots, self.passed, self.failed = page, shots, 0, 0

    @contextlib.contextmanager
    def check(self, what, name='setup'):
        output = self.output(name)
        try: yield output
        except Exception as e: self.failed += 1; print(f'FAILED: {what} ({type(e).__name__}: {str(e)[:300]})')
        else: self.passed += 1; print('ok:', what, flush=True)
        output.scroll_into_view_if_needed()
        if self.shots: self.page.screenshot(path=self.shots/f'{self.passed + self.failed}-{name}.png')

    def output(self, name):
        return self.page.locator('.jp-CodeCell').nth([*CELLS].index(name)).locator('.jp-Cell-outputArea')

    def changes(self, output, action=lambda: None, to=''):
        "Do something, and wait until the view below the controls is another and holds a text."
        view = output.locator('.widget-vbox').first.locator(':scope > *').last.element_handle()
        before = view.inner_html()
        action()
        self.page.wait_for_function('([view, before, to]) => view.innerHTML != before && view.innerHTML.includes(to)',
                                    arg=[view, before, to])

    def open(self, server, token):
        session = dict(path='dashboards.ipynb', name='', type='notebook', kernel=dict(name='python3'))
        self.page.request.post(f'{server}/api/sessions?token={token}', data=session)    # a kernel before the page
        self.page.goto(f'{server}/lab/tree/dashboards.ipynb?token={token}')
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        self.page.wait_for_timeout(5000)
        for command in 'application:toggle-left-area', 'notebook:run-all-cells':
            self.page.evaluate(f'() => {{ window.jupyterapp.commands.execute("{command}") }}')

def check_dashboards(lab, picture):
    with lab.check('a run is shown while it trains, and the kernel is free', 'train') as out:
        lab.output('free').get_by_text('the kernel is free').wait_for(timeout=180_000)
        lab.changes(out, to='<svg')
        assert 'training' in out.locator('p[role=status]').inner_text()
    with lab.check('Stop, pressed by keyboard, saves and stops', 'train') as out:
        if picture: out.get_by_text(re.compile(r'step [2-9],\d+ of')).wait_for(timeout=300_000)
        out.get_by_role('button', name='Stop').press('Enter')
        out.get_by_text('stopped and saved').wait_for()
        out.get_by_role('button', name='Stop', disabled=True).wait_for()
    with lab.check('Resume, pressed by keyboard, continues the run', 'train') as out:
        out.get_by_role('button', name='Resume').press('Enter')
        out.locator('p[role=status]', has_text='resuming at step').wait_for()
        out.get_by_role('button', name='Stop').press('Enter')
        out.get_by_text('stopped and saved').wait_for()
        out.get_by_role('button', name='Resume', disabled=False).wait_for()
        if picture: out.screenshot(path=PICTURE)
    with lab.check('an error in the thread is shown', 'error') as out: out.get_by_text('holds a run already').wait_for()
    with lab.check('six recorded runs are drawn, and the arrow keys read them', 'runs') as out:
        for name in 'owt-0', 'owt-2', 'tinystories-1': out.locator('figure').get_by_text(name).first.wait_for()
        for key, text in ('Home', 'steps 250'), ('ArrowRight', 'steps 500'), ('ArrowDown', 'owt-1: '):
            out.locator('[role=application]').press(key)
            out.locator('[aria-live]', has_text=text).wait_for()
    with lab.check('another measure, smoothing by keyboard and other runs change the chart', 'runs') as out:
        runs, measure = out.locator('select[multiple]'), out.locator('select:not([multiple])').nth(1)
        slider = out.locator('.widget-slider', has_text='smoothing').locator('.noUi-handle')
        lab.changes(out, lambda: measure.select_option(label='gradient norm'), 'Gradient norm of recorded runs')
        lab.changes(out, lambda: slider.press('PageUp'), 'smoothed by')
        lab.changes(out, lambda: runs.select_option([]), 'Choose at least one run')
        lab.changes(out, lambda: runs.select_option(['owt-0', 'tinystories-0']), '<svg')
    with lab.check('two models continue a typed prompt, and a list shows the alternatives', 'playground') as out:
        slider = out.locator('.widget-slider', has_text='temperature').locator('.noUi-handle')
        out.locator('textarea').fill('Lily')
        lab.changes(out, lambda: out.locator('textarea').press('Tab'), 'Lily')
        lab.changes(out, lambda: slider.press('PageDown'))
        out.locator('summary').last.press('Enter')
        out.locator('details[open] li').first.wait_for()
    with lab.check('a typed text is split into boxes under each vocabulary', 'tokens') as out:
        lab.changes(out, lambda: out.locator('textarea').fill('Tom'), 'for 3 bytes')
    lab.page.set_viewport_size(dict(width=390, height=1300))
    for name in 'train', 'runs', 'playground', 'tokens':
        with lab.check(f'{name} fits a screen of 390 pixels', name) as out:
            lab.page.wait_for_timeout(500)
            right = 'e => Math.max(...[...e.querySelectorAll("*")].map(e => e.getBoundingClientRect().right))'
            assert out.evaluate(right) <= (box := out.bounding_box())['x'] + box['width'] + 1

def main(shots, picture):
    from playwright.sync_api import sync_playwright
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, \
         jupyterlab(Path(folder)) as server, sync_playwright() as p:
        browser, errors = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS), []
        lab = Lab(browser.new_page(viewport=dict(width=1100, height=1300)), shots)
        lab.page.set_default_timeout(60_000)
        lab.page.on('pageerror', lambda e: errors.append(str(e)))
        lab.open(*server)
        check_dashboards(lab, picture)
        with lab.check('no error in the page'): assert not errors, errors
    print(f'{lab.passed} passed, {lab.failed} failed')
    return lab.failed

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--shots', type=Path, help='folder for a picture of the page after each check')
    parser.add_argument('--picture', action='store_true', help='write nbs/images/dashboard.png')
    sys.exit(bool(main(**vars(parser.parse_args()))))
