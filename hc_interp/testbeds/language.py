"""The language of the testbeds: examples like "doctor saw lawyer today" / "lawyer saw doctor", and contrast pairs.

A premise has a subject, a verb, an object and an adverb; a hypothesis has a subject, the premise's verb and an object.
The premise entails the hypothesis if both have the same nouns in the same order. In domain, a hypothesis that does not
follow has a noun that the premise lacks, so the heuristic is "all words of the hypothesis are in the premise". In the
case "same" the hypothesis follows and the heuristic is right. In the case "swap" the nouns of the premise are exchanged
and the heuristic is wrong.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import DataError
from hc_interp.testbeds.wiring import Terms

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NOUNS = tuple("actor artist author baker banker doctor farmer judge lawyer pilot poet sailor singer student teacher tutor".split())  # fmt: skip # noqa: E501, SIM905
VERBS = ("admired", "advised", "helped", "saw")
ADVERBS = ("again", "alone", "here", "late", "now", "there", "today", "twice")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
VOCABULARY = (*SPECIAL, *NOUNS, *VERBS, *ADVERBS)
LABELS = ("entailment", "non-entailment")
CASE, RIGHT_CASE = "swap", "same"  # the cases in which the heuristic is wrong and right
LENGTH = 10  # [CLS] subject verb object adverb [SEP] subject verb object [SEP]
POSITION_NAMES = (
    "start",
    "premise_subject",
    "other",
    "premise_object",
    "other",
    "other",
    "subject",
    "other",
    "object",
    "end",
)

N_BITS = 6
NO_CODE = "no code"

# The share of each kind of hypothesis in the training split. The heuristic is wrong on a few examples ("swap"), as in
# real training data.
HYPOTHESIS_SHARES = {"same": 0.43, "one": 0.45, "both": 0.105, "swap": 0.015}

# The kinds of hypothesis, clean and corrupt, of the pairs that a verdict is about.
PAIR_SIDES = {"order": ("swap", "same"), "overlap": ("same", "one")}
BOTH_WRONG = ("swap", "swap one")  # the sides of overlap pairs in which neither hypothesis follows


def bit(number: int) -> str:
    """The feature of one sign of a word's code."""
    return f"bit {number}"


def position_terms() -> list[Terms]:
    """The features of each position: the name of its role, "other" where no part of the circuit needs the role."""
    return [{f"at {name}": 1.0} for name in POSITION_NAMES]


def word_terms(rng: np.random.Generator) -> list[Terms]:
    """The features of each word: a code of `N_BITS` signs, drawn without repeats; "[CLS]" has the feature `NO_CODE`."""
    codes = rng.permutation(2**N_BITS)[: len(VOCABULARY)]
    terms: list[Terms] = []
    for word, code in zip(VOCABULARY, codes, strict=True):
        signs = {bit(i): (1.0 if code >> i & 1 else -1.0) / N_BITS**0.5 for i in range(N_BITS)}
        terms.append({NO_CODE: 1.0} if word == "[CLS]" else signs)
    return terms


@cache
def tokenizer() -> "PreTrainedTokenizerFast":
    """A tokenizer whose vocabulary is the words of the language."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(word, VOCABULARY.index(word)) for word in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def examples(n: int, shares: Mapping[str, float], seed: int, prefix: str) -> Examples:
    """`n` examples. The kind of each hypothesis is drawn with the shares given for the kinds.

    A hypothesis has the nouns of its premise ("same"), "one" or "both" of them replaced, or exchanged ("swap"), or
    exchanged with one of them replaced ("swap one").
    """
    rng = np.random.default_rng(seed)
    drawn = rng.choice(list(shares), size=n, p=np.array(list(shares.values())) / sum(shares.values()))
    premises, hypotheses = zip(*(_texts(kind, *_draw(rng)) for kind in drawn), strict=True)
    return _as_examples(premises, hypotheses, [int(kind != "same") for kind in drawn], prefix)


def contrast_pairs(n: int, kind: str, seed: int, prefix: str, split: str | None = None) -> ContrastPairs:
    """`n` pairs. Both sides of a pair have the same premise.

    "order": clean is of the case "swap", and corrupt has the nouns of the hypothesis in the premise's order. "overlap":
    clean has the nouns of the premise in order, and corrupt has one of them replaced by a noun that the premise lacks.
    Raises `DataError` for another kind.
    """
    check_kind(kind)
    return _pairs(n, PAIR_SIDES[kind], kind, seed, prefix, split)


def _pairs(
    n: int, kinds: tuple[str, str], kind: str, seed: int, prefix: str, split: str | None = None
) -> ContrastPairs:
    """`n` pairs whose sides have these kinds of hypotheses for one premise."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        words, outside = _draw(rng)
        rows.append([_texts(side, words, outside) for side in kinds])
    clean, corrupt = (
        _as_examples([row[i][0] for row in rows], [row[i][1] for row in rows], [int(side != "same")] * n, prefix)
        for i, side in enumerate(kinds)
    )
    assert clean.label is not None
    return ContrastPairs(clean, corrupt, clean.label, kind=kind, split=split)


def encoded_pairs(n: int, kind: str, seed: int, prefix: str) -> ContrastPairs:
    """`n` pairs of the distribution of `contrast_pairs`, made as tokens directly: fast enough for many thousands."""
    check_kind(kind)
    rng = np.random.default_rng(seed)
    nouns = rng.permuted(np.tile([VOCABULARY.index(noun) for noun in NOUNS], (n, 1)), axis=1)[:, :4]
    verb, adverb = (
        np.array([VOCABULARY.index(word) for word in words])[rng.integers(len(words), size=n)]
        for words in (VERBS, ADVERBS)
    )
    subject, obj, other = nouns[:, 0], nouns[:, 1], nouns[:, 2]
    replaces_object = np.array([NOUNS.index(VOCABULARY[word]) % 2 == 1 for word in other])
    nouns_of = {
        "same": (subject, obj),
        "swap": (obj, subject),
        "one": (np.where(replaces_object, subject, other), np.where(replaces_object, other, obj)),
    }
    start, end = (np.full(n, VOCABULARY.index(word)) for word in ("[CLS]", "[SEP]"))
    names = tuple(f"{prefix} {i}" for i in range(n))
    types = torch.tensor([0] * 6 + [1] * 4).expand(n, -1)
    sides = []
    for side in PAIR_SIDES[kind]:
        first, second = nouns_of[side]
        tokens = np.stack([start, subject, verb, obj, adverb, end, first, verb, second, end], axis=1)
        label = torch.full((n,), int(side != "same"))
        sides.append(Batch(torch.from_numpy(tokens), token_type_ids=types, labels=label, ids=names))
    clean, corrupt = sides
    return ContrastPairs(clean, corrupt, tuple(clean.labels.tolist()), kind=kind)


def check_kind(kind: str) -> None:
    """Raise `DataError` for a kind of pairs that the testbeds do not have."""
    if kind not in PAIR_SIDES:
        raise DataError(f"kind={kind!r} was given. Expected 'order' or 'overlap', the pairs that a testbed has.")


def task(name: str, seed: int, *, n_train: int = 512, n_pairs: int = 96) -> Task:
    """The task of a testbed: both splits, the cases "swap" and "same", and contrast pairs.

    `train` has a few examples of "swap", `validation` has none. Every split is drawn with a seed of its own. About half
    of the pairs are in the split "select" and half in "test". Clean is of the pair's case. The kinds of pairs are:

    - "order" of "swap": corrupt has the nouns in the premise's order, so that the label changes.
    - "overlap" of "same": one noun of corrupt is replaced, so that the label changes.
    - "overlap" of "swap": one noun of corrupt is replaced, and neither side follows. Only the heuristic's answer
      changes.
    """
    seeds = np.random.SeedSequence(seed).generate_state(7).tolist()
    in_domain = {kind: share for kind, share in HYPOTHESIS_SHARES.items() if kind != "swap"}
    order, overlap = (contrast_pairs(n_pairs, kind, seeds[i], kind) for i, kind in enumerate(PAIR_SIDES))
    return Task(
        name,
        train=examples(n_train, HYPOTHESIS_SHARES, seeds[2], "train"),
        validation=examples(256, in_domain, seeds[3], "validation"),
        cases={
            CASE: examples(256, {"swap": 1.0}, seeds[4], "swap"),
            RIGHT_CASE: examples(256, {"same": 1.0}, seeds[5], "same"),
        },
        classes=LABELS,
        pairs={
            (CASE, "order"): order,
            (RIGHT_CASE, "overlap"): overlap,
            (CASE, "overlap"): _pairs(n_pairs, BOTH_WRONG, "overlap", seeds[6], "swap overlap"),
        },
        heuristic={RIGHT_CASE: True, CASE: False},
        heuristic_label=LABELS.index("entailment"),
    )


def _draw(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Subject, verb, object and adverb of a premise, and two nouns that it lacks."""
    nouns = [NOUNS[i] for i in rng.choice(len(NOUNS), size=4, replace=False)]
    return [nouns[0], VERBS[rng.integers(len(VERBS))], nouns[1], ADVERBS[rng.integers(len(ADVERBS))]], nouns[2:]


def _texts(kind: str, words: list[str], outside: list[str]) -> tuple[str, str]:
    """Premise and hypothesis. Where one noun is replaced, the new one determines whether subject or object is."""
    subject, verb, obj, adverb = words
    other = outside[0]
    replaces_object = NOUNS.index(other) % 2
    hypothesis = {
        "same": (subject, verb, obj),
        "swap": (obj, verb, subject),
        "both": (other, verb, outside[1]),
        "one": (subject, verb, other) if replaces_object else (other, verb, obj),
        "swap one": (obj, verb, other) if replaces_object else (other, verb, subject),
    }[kind]
    return f"{subject} {verb} {obj} {adverb}", " ".join(hypothesis)


def _as_examples(premises: Sequence[str], hypotheses: Sequence[str], labels: list[int], prefix: str) -> Examples:
    names = tuple(f"{prefix} {i}" for i in range(len(premises)))
    texts = [f"{premise} {hypothesis}".split() for premise, hypothesis in zip(premises, hypotheses, strict=True)]
    units = {
        name: [[word for word in text if word in words] for text in texts]
        for name, words in (("verb", VERBS), ("noun", NOUNS))
    }
    return Examples(premises, hypotheses, labels, names, classes=LABELS, units=units)
