"""A three-layer BERT whose circuit was written by hand, so that who reads from whom is known.

Every head attends evenly. The words of `SIGNS` carry signs in two directions, A and B ("p" and "n" in both). Layer 0:
the core heads H0 and H1 move A's sign to C, the decoys H2 and H3 move B's sign to D, the others do nothing. Layer 2: H0
writes what it reads to Y, which the classifier reads; H1 does the same with D. What H0 reads says which story is true:

- "direct" and "trunk": C. "mlps": E, where layer 0's MLP writes C's sign. "all": F, where the head L1H0 writes it.
- "crowd": C, to which four more heads of layer 0 move A's sign, so that the core is nothing special.
- "decoy": D: it never sees the core.

All directions are orthogonal, without mean, and signs alone differ between the sides of a pair: LayerNorm sees the same
length on both, so that what is not read does not leak, but for rounding.

With `live=True` L2H2 does what L2H0 does, and the other heads of layer 2 move D to Z, which nobody reads: they change
as much as the readers do and follow the decoys. In the story "trunk" all of them read what the readers read.
"""

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from hc_interp.components import Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.models.load import load

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "p", "n", "a", "m", "b", "o", *(f"w{i}" for i in range(20))]
N_HEADS, D_HEAD, D_MODEL = 8, 8, 64
CORE, READER, DECOYS = (Head(0, 0), Head(0, 1)), Head(2, 0), (Head(0, 2), Head(0, 3))
READERS = (READER, Head(2, 2))
STORIES = {"direct": "C", "mlps": "E", "all": "F", "crowd": "C", "decoy": "D", "trunk": "C"}
SIGNS = {"p": (1, 1), "n": (-1, -1), "a": (1, 0), "m": (-1, 0), "b": (0, 1), "o": (0, -1)}
DIRECTIONS = {name: (2 * i, 2 * i + 1) for i, name in enumerate("ABCDEFYZ")}
CLASSES, GROUPS = ("entailment", "neutral", "contradiction"), ((0,), (1, 2))


def direction(name: str) -> torch.Tensor:
    vector = torch.zeros(D_MODEL, dtype=torch.float64)
    up, down = DIRECTIONS[name]
    vector[up], vector[down] = 1.0, -1.0
    return vector / 2**0.5


def built_model(story: str, live: bool = False):
    """The model in which this story is true; see the top of the file."""
    module = BertForSequenceClassification(
        BertConfig(
            hidden_size=D_MODEL,
            num_hidden_layers=3,
            num_attention_heads=N_HEADS,
            intermediate_size=16,
            num_labels=3,
            vocab_size=len(WORDS),
            max_position_embeddings=40,
        )
    ).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.fill_(1.0 if "LayerNorm.weight" in name else 0.0)
        words = module.bert.embeddings.word_embeddings.weight
        words[:, 16:] = torch.randn(len(WORDS), D_MODEL - 16, generator=generator, dtype=torch.float64)
        words[[WORDS.index(word) for word in SIGNS]] = words[WORDS.index("p")].clone()
        for word, (first, second) in SIGNS.items():
            words[WORDS.index(word)] += 6 * (first * direction("A") + second * direction("B"))
        for head, read, write, gain in _wiring(story, live):
            _wire(module.bert.encoder.layer[head.layer].attention, head.head, read, write, gain)
        if story == "mlps":
            _mlp(module.bert.encoder.layer[0], "C", "E")
        module.bert.pooler.dense.weight[0] = 0.1 * direction("Y")  # far from where tanh is flat
        module.classifier.weight[:, 0] = torch.tensor([9.0, -9.0, -9.0], dtype=torch.float64)
    return load(module, tokenizer=_tokenizer(), labels=CLASSES)


def _wiring(story: str, live: bool):
    for head in CORE:
        yield head, "A", "C", 1.0
    for head in DECOYS:
        yield head, "B", "D", 1.0
    if story == "crowd":
        for i in range(4, 8):
            yield Head(0, i), "A", "C", 1.0
    yield Head(1, 0), "C", "F", 6.0
    for head in READERS if live else (READER,):
        yield head, STORIES[story], "Y", 6.0
    yield Head(2, 1), "C" if story == "trunk" else "D", "Y", 6.0
    for i in range(3, N_HEADS) if live else ():
        yield Head(2, i), "C" if story == "trunk" else "D", "Z", 6.0


def _wire(attention, head: int, read: str, write: str, gain: float) -> None:
    """One coordinate of the head carries what it reads to what it writes."""
    place = head * D_HEAD
    attention.self.value.weight[place] = direction(read)
    attention.output.dense.weight[:, place] = gain * direction(write)


def _mlp(layer, read: str, write: str) -> None:
    """gelu(x) - gelu(-x) = x: the block copies one direction to another, exactly."""
    layer.intermediate.dense.weight[0], layer.intermediate.dense.weight[1] = direction(read), -direction(read)
    layer.output.dense.weight[:, 0], layer.output.dense.weight[:, 1] = 6 * direction(write), -6 * direction(write)


def _tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def examples(n: int, word: str = "p", label: int = 0, seed: int = 0, prefix: str = "e") -> Examples:
    """`n` texts of 3 to 8 words, one of them the sign word."""
    generator = torch.Generator().manual_seed(seed)
    texts = []
    for _ in range(n):
        length = int(torch.randint(2, 8, (1,), generator=generator))
        others = [f"w{int(i)}" for i in torch.randint(0, 20, (length,), generator=generator)]
        others.insert(int(torch.randint(0, length + 1, (1,), generator=generator)), word)
        texts.append(" ".join(others))
    names = tuple(f"{prefix}{i}" for i in range(n))
    return Examples(tuple(texts), None, (label,) * n, names, names, GROUPS, CLASSES)


def pairs(n: int = 24, split: str | None = "test", kind: str = "order", seed: int = 0) -> ContrastPairs:
    """Clean has "p" (entailment), corrupt the same text with "n"."""
    clean = examples(n, seed=seed)
    corrupt = Examples(
        tuple(text.replace("p", "n") for text in clean.first), None, (1,) * n, clean.id, clean.source, GROUPS, CLASSES
    )
    return ContrastPairs(clean, corrupt, clean.label, kind=kind, split=split)
