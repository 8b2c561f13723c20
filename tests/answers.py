"""Data with answers and foils for tiny random language models, and slow twins of the metrics."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples

NAMES = ("Mary", "John", "Anna", "Paul", "Emma", "Mark")
PLACES = ("school", "store", "park")
TEXTS = [f"When {name} went to the {place} alone, then gave it to {name}" for name in NAMES for place in PLACES]


def bpe_tokenizer() -> PreTrainedTokenizerFast:
    """Byte pairs like GPT-2's, where a word with its space is a token; "Zachary" is several."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    core.train_from_iterator([*TEXTS, *(f" {name}" for name in NAMES * 3)], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def tiny_gpt2(tokenizer, seed: int = 0, layers: int = 3, heads: int = 4, positions: int = 60) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=positions, n_embd=24, n_layer=layers, n_head=heads, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    module = GPT2LMHeadModel(config).eval().double()
    with torch.no_grad():
        for parameter in module.parameters():
            scale = 0.35 if parameter.ndim > 1 else 0.1
            parameter.copy_(torch.randn_like(parameter) * scale + (parameter.ndim == 1))
    return module


def texts_of(n: int, seed: int = 0) -> tuple[list[str], list[tuple[str, str, str]]]:
    """Texts of two lengths, and the names of each: answer, foil, another."""
    generator = torch.Generator().manual_seed(seed)
    texts, names = [], []
    for row in range(n):
        order = torch.randperm(len(NAMES), generator=generator).tolist()
        a, b, c = (NAMES[i] for i in order[:3])
        end = " alone" if row % 3 == 0 else ""
        texts.append(f"When {a} and {b} went to the {PLACES[row % 3]}{end}, then {b} gave it to")
        names.append((a, b, c))
    return texts, names


def answered(n: int, seed: int = 0) -> Examples:
    texts, names = texts_of(n, seed)
    answer = [f" {a}" if row % 2 else (f" {a}", f" {c}") for row, (a, b, c) in enumerate(names)]
    return Examples(texts, answer=answer, foil=[f" {b}" for _, b, _ in names], id=[f"row {i}" for i in range(n)])


def answered_pairs(n: int, seed: int = 0) -> ContrastPairs:
    """Corrupt has another name in place of the repeated one."""
    clean = answered(n, seed)
    texts, names = texts_of(n, seed)
    other = [text.replace(f"then {b} ", f"then {c} ") for text, (_, b, c) in zip(texts, names, strict=True)]
    words = {"answer": [f" {b}" for _, b, _ in names], "foil": [f" {c}" for *_, c in names]}
    return ContrastPairs(clean, Examples(other, id=clean.id, source=clean.source, **words))


def slow_scores(tokenizer, examples: Examples, logits) -> torch.Tensor:
    """logit_diff, prob_diff and accuracy of each row, word by word; `logits[row]` are `[vocab]`."""
    rows = []
    for answer, foil, row in zip(examples.answer, examples.foil, logits, strict=True):
        right, wrong = ([tokenizer.encode(word)[0] for word in words] for words in (answer, foil))
        odds = row[right].exp().sum().log() - row[wrong].exp().sum().log()
        p = row.exp() / row.exp().sum()
        rows.append(torch.stack([odds, p[right].sum() - p[wrong].sum(), (odds > 0).to(odds.dtype)]))
    return torch.stack(rows)


def slow_logits(module, tokenizer, texts) -> list[torch.Tensor]:
    """The logits after each text, one text at a time."""
    with torch.no_grad():
        return [module(torch.tensor([tokenizer.encode(text)])).logits[0, -1] for text in texts]
