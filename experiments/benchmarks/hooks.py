"""What hooks cost: passes through the wrapper against the same passes of the plain module, as ratios in one run.

    python experiments/benchmarks/hooks.py [--threads 2] [--pairs 15] [--backend nnsight]

MiniLM's shape (6 layers, 12 heads, d_model 384), batch 32 x 64 tokens, random weights, one attention kernel. The target
is 1.15 for each of the three passes, and for wrapping 1 s and 10 % of the model's memory above the copy.
"""

import argparse
import copy
import statistics
import time

import torch
from paired import paired
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc

LABELS = ["entailment", "neutral", "contradiction"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--backend", default="transformer_lens")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536, num_labels=3
    )
    module = BertForSequenceClassification(config).eval().requires_grad_(False)
    model = hc.load(module, labels=LABELS, backend=options.backend)
    passes(module, model, options.pairs)
    wrapping(module, options.backend)


def passes(module: nn.Module, model: hc.HookedModel, pairs: int) -> None:
    batch = hc.Batch(torch.randint(5, 30000, (32, 64)))
    inputs = {"attention_mask": batch.attention_mask}
    means = hc.mean_activations(model, batch)
    mask = torch.rand(len(model.components)).requires_grad_()
    every_z = [hc.Site(layer, "z") for layer in range(model.n_layers)]
    embeds = module.bert.embeddings(batch.input_ids).detach().requires_grad_()

    @torch.no_grad()
    def plain():
        return module(batch.input_ids, **inputs).logits

    @torch.no_grad()
    def masked():
        return model.logits(batch, [hc.SoftMask(mask, means)])

    @torch.no_grad()
    def capture():
        return model.run(batch, capture=every_z)

    def mask_gradient():
        model.logits(batch, [hc.SoftMask(mask, means)]).square().sum().backward()

    def plain_gradient():
        # To the embeddings, weights frozen: the backward pass that a mask needs goes through the same operations.
        hook = module.bert.embeddings.register_forward_hook(lambda *_: embeds)
        module(batch.input_ids, **inputs).logits.square().sum().backward()
        hook.remove()

    print(paired("masked forward, all 78 / plain forward", masked, plain, pairs))
    print(paired("capture every z / plain forward", capture, plain, pairs))
    print(paired("mask-gradient step / plain forward+backward", mask_gradient, plain_gradient, pairs))


def wrapping(module: nn.Module, backend: str, times: int = 5) -> None:
    """What `hc.load` takes beyond the copy that it makes: seconds, and tensors that the copy does not have."""
    copies, loads = [], []
    for _ in range(times):
        begun = time.perf_counter()
        copy.deepcopy(module)
        copies.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        model = hc.load(module, labels=LABELS, backend=backend)
        loads.append(time.perf_counter() - begun)
    own = held(model.module)
    beyond = held(model.bridge) | held(model.nnsight)
    extra = sum(size for place, size in beyond.items() if place not in own)
    print(
        f"wrapping and checking it: {statistics.median(loads) - statistics.median(copies):.2f} s beyond the copy's "
        f"{statistics.median(copies):.2f} s; bridge and nnsight tree hold {extra:,} bytes beyond the module's "
        f"{sum(own.values()):,} ({extra / sum(own.values()):.2%})"
    )


def held(module: nn.Module) -> dict[int, int]:
    """Storage and size of every parameter and buffer."""
    tensors = (*module.parameters(), *module.buffers())
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


if __name__ == "__main__":
    main()
