"""Time what surrounds the training steps of the OpenWebText model: time_inference.py FILE [ROUNDS [PART ...]]

Evaluation is compared with our training step on as many tokens, generation with `generate` of
`transformers`, writing a checkpoint with copying its tensors, in alternating rounds.
Seconds are CPU time of this process, per token (of a checkpoint: as a whole, by the clock)."""
import statistics, sys, tempfile, time
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
import torch
from owt_transformer.benchmark import make_our_step, step_loss, zipf_tokens
from owt_transformer.config import Config
from owt_transformer.data import TokenData
from owt_transformer.device import environment_info, make_setup
from owt_transformer.files import dump_json
from owt_transformer.kernels import pack_linears
from owt_transformer.llama import llama_config, to_llama
from owt_transformer.model import stream
from owt_transformer.run import finish_writing, save_checkpoint
from owt_transformer.train import State, evaluate

cfg = Config(vocab_size=32_000, batch_size=32, device='cpu', compile='yes').check()
LENGTH, BATCHES, TEMPERATURES = 128, (1, 16), (0., 1.)

def evaluators():
    step, n = make_our_step(cfg, tokens := zipf_tokens(cfg)), cfg.batch_size*cfg.context_length
    valid, sizes = TokenData(tokens[:n+1], cfg.context_length), torch.ones(cfg.vocab_size).long()
    return n, {'step': lambda: step_loss(step),
               'evaluation': partial(evaluate, step.model, valid, sizes, cfg.batch_size)}

def generators(batch, temperature):
    from transformers import LlamaConfig, LlamaForCausalLM
    model = State.fresh(cfg).model.eval()
    llama = LlamaForCausalLM(LlamaConfig(**llama_config(cfg.model))).eval()
    llama.load_state_dict(to_llama(model))
    llama.generation_config.eos_token_id = None         # like ours, it does not stop early
    ids, sampling = torch.arange(16*batch).view(batch, 16), dict(do_sample=False)
    if temperature: sampling = dict(do_sample=True, temperature=temperature, top_k=0)
    return batch*LENGTH, {
        'transformers': lambda: llama.generate(ids, attention_mask=torch.ones_like(ids),
                                               max_new_tokens=LENGTH, pad_token_id=0, **sampling),
        'ours': lambda: [*stream(pack_linears(model, batch), ids.tolist(), LENGTH, temperature)]}

def savers(folder):
    state = State.fresh(cfg)
    for p in state.model.parameters(): p.grad = torch.zeros_like(p)
    state.update.step(1e-4)                             # creates the running means
    save = partial(save_checkpoint, Path(folder)/'checkpoint.pt', state.to_dict(cfg))
    return 1, {'write': save, 'copy': partial(save, wait=False)}, time.perf_counter

def alternate(n, ways, clock=time.process_time, rounds=5):
    "Time each function once a round, after one untimed call: seconds per token."
    seconds = {name: [] for name in ways}
    for r in range(rounds+1):
        for name, work in ways.items():
            start = clock()
            work()
            if r: seconds[name].append((clock() - start)/n)
            finish_writing()                            # not timed
    return dict(contenders={name: dict(seconds=s, per_second=1/statistics.median(s))
                            for name, s in seconds.items()})

def main(folder, path, rounds=5, *parts):
    out = dict(environment=environment_info(make_setup(cfg)), new_tokens=LENGTH,
               config=asdict(cfg.model) | dict(batch_size=cfg.batch_size))
    out['environment']['transformers'] = metadata.version('transformers')
    makers = dict(saving=partial(savers, folder), evaluation=evaluators) | {
        f'batch {b}, {"sampled" if t else "greedy"}': partial(generators, b, t)
        for b in BATCHES for t in TEMPERATURES}
    for name, make in makers.items():
        if parts and name not in parts: continue
        out[name] = alternate(*make(), rounds=int(rounds))
        print(name, *(f'{k} {c["per_second"]:,.2f} per second'
                      for k, c in out[name]['contenders'].items()), sep=', ', flush=True)
        dump_json(path, out)

if __name__ == '__main__':
    with tempfile.TemporaryDirectory() as folder: main(folder, *sys.argv[1:])
