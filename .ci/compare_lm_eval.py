"""Compare our bits per byte with lm-evaluation-harness: python .ci/compare_lm_eval.py RUN VALID_TEXT OUT.json

It needs `pip install lm-eval`, preferably in another environment. It exports the run and lets the harness
evaluate the beginnings of documents, as much as fits into the context, each on its own and offline.
add_bos_token=False: the harness puts the token before a text itself, and the tokenizer would add a second."""
import json, math, os, sys, tempfile
from importlib.metadata import version
from pathlib import Path
os.environ |= dict(HF_HUB_OFFLINE='1', HF_DATASETS_OFFLINE='1', TRANSFORMERS_OFFLINE='1')
import lm_eval, torch
from lm_eval.tasks import TaskManager
from owt_transformer.export import export_model
from owt_transformer.run import load_model
from owt_transformer.tokenizer import END_OF_TEXT

run, valid, out = map(Path, sys.argv[1:])
model, tokenizer = load_model(run)
room = model.cfg.context_length - 1                 # <|endoftext|> comes first
documents = [tokenizer.decode(tokenizer.encode(d.strip())[:room-8], errors='ignore')
             for d in valid.read_text(encoding='utf-8').split(END_OF_TEXT)[:200] if d.strip()]
assert all(len(tokenizer.encode(d)) <= room for d in documents)

ours, n_bytes = 0., 0
for d in documents:
    ids = torch.tensor([tokenizer.encode(END_OF_TEXT + d)])
    with torch.no_grad(): logprobs = model(ids).log_softmax(-1)[0,:-1]
    ours -= logprobs.gather(1, ids[0,1:,None]).double().sum().item()/math.log(2)
    n_bytes += len(d.encode())

with tempfile.TemporaryDirectory() as tmp:
    tmp = Path(tmp)
    export_model(run, tmp/'model')
    (tmp/'documents.jsonl').write_text('\n'.join(json.dumps(dict(text=d)) for d in documents), encoding='utf-8')
    (tmp/'ours.yaml').write_text(f'''task: ours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {tmp}/documents.jsonl}}}}
output_type: loglikelihood_rolling
test_split: test
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: bits_per_byte
''', encoding='utf-8')
    result = lm_eval.simple_evaluate(model='hf', model_args=f'pretrained={tmp}/model,dtype=float32,add_bos_token=False', tasks=['ours'],
        device='cpu', batch_size=16, task_manager=TaskManager(include_path=str(tmp)), bootstrap_iters=0)
theirs = result['results']['ours']['bits_per_byte,none']
record = dict(run=run.name, steps=json.loads((run/'config.json').read_text())['max_iters'],
              documents=len(documents), bytes=n_bytes, tokens=sum(len(tokenizer.encode(d)) for d in documents),
              ours=ours/n_bytes, lm_eval=theirs, difference=abs(ours/n_bytes - theirs),
              versions={name: version(name) for name in ('lm_eval', 'transformers', 'torch')})
old = json.loads(out.read_text()) if out.exists() else {}
out.parent.mkdir(parents=True, exist_ok=True)
out.write_text(json.dumps(old | {run.name: record}, indent=1) + '\n')
print(record)
assert f'{record["ours"]:.4f}' == f'{theirs:.4f}', 'they differ'
