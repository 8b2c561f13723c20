"""The random BERT: a model in which nothing was learned, read by the package's own search."""

import torch
from transformers import BertConfig, BertForSequenceClassification

from hc_interp.components import Head
from hc_interp.models.load import load
from hc_interp.testbeds import language
from hc_interp.testbeds.world import World

N_LAYERS, N_HEADS, D_MODEL = 4, 12, 96


def random_bert(seed: int = 0, scale: float = 4.0) -> World:
    """A BERT with random weights, on the testbeds' language.

    The weights are `scale` times those that BERT is initialised with, so that heads attend to some positions more than
    to others and change the answer. The answer's bias makes half of the training split "entailment". `core` and
    `generalizing` are empty: a search has to name them, and a verdict must not say that they mean anything. `seed`
    draws weights and data.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = BertForSequenceClassification(
            BertConfig(
                vocab_size=len(language.VOCABULARY),
                hidden_size=D_MODEL,
                num_hidden_layers=N_LAYERS,
                num_attention_heads=N_HEADS,
                intermediate_size=2 * D_MODEL,
                max_position_embeddings=language.LENGTH,
            )
        ).eval()
    task = language.task(f"testbed random BERT, seed {seed}", seed)
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim > 1:
                parameter.mul_(scale)
        texts = list(task.train.first), list(task.train.second or ())
        tokens = language.tokenizer()(*texts, return_token_type_ids=True, return_tensors="pt")
        logits = module(**tokens).logits
        module.classifier.bias[0] -= (logits[:, 0] - logits[:, 1]).median()
    return World(
        kind="random BERT",
        settings={"scale": scale, "seed": seed},
        model=load(module, tokenizer=language.tokenizer(), labels=language.LABELS),
        task=task,
        truth=(),
        core=(),
        generalizing=(),
        decoys=tuple(Head(layer, i) for layer in range(N_LAYERS) for i in range(N_HEADS)),
    )
