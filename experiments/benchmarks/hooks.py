"""What hooks cost: passes through the wrapper against the same passes of the plain module, as ratios in one run.

    python experiments/benchmarks/hooks.py [--threads 2] [--pairs 15]

MiniLM's shape (6 layers, 12 heads, d_model 384), batch 32 x 64 tokens, random weights, one attention kernel.
"""

import argparse
import copy
import time

import torch
from paired import paired
from transformers import BertConfig, BertForSequenceClassification

import hc_interp as hc
from hc_interp.models.transformer_lens_backend import build_bridge


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
    model = hc.load(module, labels=["entailment", "neutral", "contradiction"], backend=options.backend)
    batch = hc.Batch(torch.randint(5, 30000, (32, 64)))
    inputs = {"attention_mask": batch.attention_mask}
    means = hc.mean_activations(model, batch)
    mask = torch.rand(len(model.components)).requires_grad_()
    every_z = [hc.Site(layer, "z") for layer in range(model.n_layers)]
    embeds = model.module.bert.embeddings(batch.input_ids).detach().requires_grad_()

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
        module.bert.embeddings.register_forward_hook(lambda *_: embeds, always_call=False)
        module(batch.input_ids, **inputs).logits.square().sum().backward()
        module.bert.embeddings._forward_hooks.clear()

    print(paired("masked forward, all 78 / plain forward", masked, plain, options.pairs))
    print(paired("capture every z / plain forward", capture, plain, options.pairs))
    print(paired("mask-gradient step / plain forward+backward", mask_gradient, plain_gradient, options.pairs))
    begun = time.perf_counter()
    build_bridge(copy.deepcopy(module))
    print(f"wrapping, copy included: {time.perf_counter() - begun:.2f} s")


if __name__ == "__main__":
    main()
