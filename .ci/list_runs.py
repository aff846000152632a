"""Write the list of runs that makes recorded runs again: python .ci/list_runs.py nbs/results/FOLDER ...
The list of nbs/results/sample is nbs/results/sample.json. A folder with several budgets has one list for each, such as budgets-125.json,
named after the steps of its first run. `python -m owt_transformer.train --config LIST --output-dir runs` makes the runs of a list.
"""
import json, sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from owt_transformer.config import Config, config_from_dict
from owt_transformer.corpora import prepared_folder
from owt_transformer.run import load_runs

DEFAULT = asdict(Config()) | dict(corpus='')       # the corpus is always written
ELSEWHERE = {'name', 'train_text', 'valid_text', 'tokenizer', 'data_dir', 'workers', 'device', 'dtype'}     # depend on the machine

def tokenizer_folder(run, results):
    "The prepared folder of the recorded run that trained this run's tokenizer."
    for r in load_runs(results):
        if r.config.get('data', {}).get('tokenizer_sha256') == run.config['data']['tokenizer_sha256'] and not r.config['tokenizer']:
            texts = [r.config['data'][part]['text_sha256'] for part in ('train', 'valid')]
            return f"{prepared_folder('data', r.corpus, r.config['vocab_size'], texts).as_posix()}/tokenizer"

def entry(run):
    "The fields that make a recorded run again, from the folder `texts` and in the precision that was used."
    cfg, own = asdict(config_from_dict(run.config)), {}
    for part in ('train_text', 'valid_text'): own[part] = cfg[part] and f'texts/{Path(cfg[part]).name}'
    if cfg['tokenizer']: own['tokenizer'] = tokenizer_folder(run, run.folder.parent.parent)
    same = {k: v for k, v in cfg.items() if k not in ELSEWHERE}
    return DEFAULT | same | dict(name=run.folder.name, dtype=run.config['environment'].get('precision', 'float32')) | own

def list_of(runs):
    "Write fields that most runs share once, and leave out defaults."
    entries, shared = [entry(r) for r in runs], {}
    for f in DEFAULT:
        value, n = Counter(e[f] for e in entries).most_common(1)[0]
        if 2*n > len(runs) and value != DEFAULT[f]: shared[f] = value
    base = DEFAULT | shared
    return shared | dict(runs=[dict(name=e['name']) | {k: v for k, v in e.items() if v != base[k]} for e in entries])

def written(values):
    "JSON with a line for each shared field and each run."
    lines = [f'{json.dumps(k)}: {json.dumps(v)}' for k, v in values.items() if k != 'runs']
    return '{\n' + ''.join(f' {line},\n' for line in lines) + ' "runs": [\n' + ',\n'.join(f'  {json.dumps(r)}' for r in values['runs']) + '\n ]\n}\n'

def lists_of(folder):
    "The lists of a folder: path -> content."
    budgets, folder = {}, Path(folder)
    for r in load_runs(folder): budgets.setdefault(r.summary['tokens'], []).append(r)
    return {folder.with_name(folder.name + (f"-{runs[0].config['max_iters']}" if len(budgets) > 1 else '') + '.json'): written(list_of(runs))
            for runs in budgets.values()}

if __name__ == '__main__':
    for path, text in (item for folder in sys.argv[1:] for item in lists_of(folder).items()):
        path.write_text(text, encoding='utf-8'); print(path)
