"""Makes the series tiny-overlap: BERTs of four layers, from random weights on the grammar, heuristic first, then not.

    python experiments/series/tiny_overlap.py --out series --seeds 20 --processes 2 --table measures.csv

Three phases of one training. (1) In-domain pairs, and pairs whose hypothesis has only words of the premise (entailed)
or one word that is not in it (neutral): lexical overlap is always right. (2) Examples of the grammar's cases with both
labels. (3) Claims about a premise's own words, in any order and in both voices (`hc.grammar.claim_examples`). No
example of the cases in `HELD_OUT` is trained on in any phase: neither of the non-entailing ones nor of their entailing
twins. Seeds from 100 on are for tuning, those below judge.

The table (`--table`) has what is measured at each checkpoint, on examples that are drawn for it: accuracy in domain,
pull, separation on the trained cases and for each held-out pair, and answers to low overlap.
"""

import argparse
import math
import multiprocessing
import re
import time
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import hc_interp as hc
from hc_interp.data.grammar import CASES, case_examples, case_of, claim_examples, in_domain_examples, lexicon
from hc_interp.data.grammar.constructions import WORD_CLASSES
from hc_interp.data.grammar.frames import FRAME_WORDS
from hc_interp.data.tables import NLI_CLASSES

HELD_OUT = {  # non-entailing case -> its entailing twin
    "lexical_overlap_ln_preposition": "lexical_overlap_le_around_prepositional_phrase",
    "lexical_overlap_ln_conjunction": "lexical_overlap_le_conjunction",
    "subsequence_sn_relative_clause_on_subject": "subsequence_se_relative_clause_on_obj",
    "subsequence_sn_PP_on_subject": "subsequence_se_PP_on_obj",
    "constituent_cn_after_if_clause": "constituent_ce_after_since_clause",
    "constituent_cn_embedded_under_if": "constituent_ce_embedded_under_since",
    "constituent_cn_disjunction": "constituent_ce_conjunction",
    "constituent_cn_adverb": "constituent_ce_adverb",
}
HEURISTICS = ("lexical_overlap", "subsequence", "constituent")
ALL_HELD_OUT = (*HELD_OUT, *HELD_OUT.values())
LAYERS, HEADS, WIDTH, MLP_WIDTH, POSITIONS = 4, 8, 80, 144, 48
SPREAD = 0.125  # of the initial weights; at BERT's .02 words are not matched within thousands of steps
QUIET = 0.3  # factor of the initial position and type embeddings, so that words are matched before positions are
CASES_FROM, CLAIMS_FROM, STEPS = 450, 600, 6500  # the second and the third phase begin; the end
# With a weight decay of .01 the model tells constructions apart and does not get beyond them; with .1 it does in some
# seeds only.
SETTINGS: dict[str, Any] = {
    "batch_size": 64, "lr": 1e-3, "weight_decay": 0.3, "warm_up": 0.02, "betas": (0.9, 0.98), "dropout": False,
}  # fmt: skip
PER_CASE, N_CLAIMS, N_IN_DOMAIN = 3000, 60_000, 24_000
TEST_SEED, TEST_PER_CASE = 900_000, 200
CHECKPOINTS = (0, 120, 450, 600, 900, 1500, 2500, 3600, 4800, 6500)
WORD = r"[a-z'\-]+|[.,]"


def start(seed: int) -> hc.HookedModel:
    """Random weights. Keys are those of queries, so that equal words attend to each other from the beginning."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    tokenizer = word_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=MLP_WIDTH, max_position_embeddings=POSITIONS, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0, initializer_range=SPREAD, num_labels=len(NLI_CLASSES),
        id2label=dict(enumerate(NLI_CLASSES)), label2id={name: i for i, name in enumerate(NLI_CLASSES)},
    )  # fmt: skip
    # Attention of few and narrow heads is faster in plain products than in torch's fused kernel.
    module = BertForSequenceClassification._from_config(config, attn_implementation="eager")
    with torch.no_grad():
        for layer in module.bert.encoder.layer:
            layer.attention.self.key.weight.copy_(layer.attention.self.query.weight)
        for name in ("position_embeddings", "token_type_embeddings"):
            getattr(module.bert.embeddings, name).weight.mul_(QUIET)
    return hc.load(module, tokenizer=tokenizer, labels=NLI_CLASSES)


def word_tokenizer() -> Any:
    """A token for each word of the grammar."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = {word: i for i, word in enumerate([*special, *vocabulary()])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), behavior="removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_input_names=inputs, **names)


def vocabulary() -> list[str]:
    """All words of the grammar, from its lexicon and from many of its in-domain sentences."""
    lists = [lexicon.PEOPLE, map(lexicon.plural, lexicon.PEOPLE), lexicon.TRANSITIVE, lexicon.INTRANSITIVE]
    lists += [lexicon.REDUCED, lexicon.CLAUSE_TAKING, lexicon.FACTIVE, lexicon.NONFACTIVE, lexicon.ADJECTIVES]
    lists += [lexicon.LOCATIONS, lexicon.UNDERSTOOD_OBJECTS, lexicon.GARDEN_PATH, FRAME_WORDS]
    lists += [*lexicon.UNDERSTOOD_OBJECTS.values()]
    lists += [text.split() for texts in WORD_CLASSES.values() for text in texts]
    made = in_domain_examples(30_000, 0)
    lists += [words_of(text) for text in (*made.first, *(made.second or ()))]
    lists += [["the", "was", "were", "by", "and", "or", "that", "who", "in", ",", "."]]
    return sorted({word for words in lists for word in words})


def words_of(text: str) -> list[str]:
    return re.findall(WORD, text.lower())


def parts(
    seed: int, per_case: int = PER_CASE, n_claims: int = N_CLAIMS, n_in_domain: int = N_IN_DOMAIN
) -> dict[str, hc.Examples]:
    """The examples that the phases mix, by name."""
    task = hc.load_task("overlap-grammar")
    premises = {*task.validation.first}
    tested = {pair for examples in task.cases.values() for pair in pairs_of(examples)}
    in_domain = in_domain_examples(n_in_domain, 1 + seed)
    in_domain = in_domain.rows([i for i, text in enumerate(in_domain.first) if text not in premises])
    trained = [case for case in CASES if case not in ALL_HELD_OUT]
    drawn = {case: kept(case_examples(case, per_case, 1 + seed), tested) for case in trained}
    entailed, broken = ([drawn[case] for case in trained if right(case) is word] for word in (True, False))
    swap = drawn["lexical_overlap_ln_subject/object_swap"]
    same = relabelled(swap, swap.first, 0)  # a sentence entails itself
    rng = np.random.default_rng([seed, 3])
    overlap = [word_by_word(joined(entailed), rng), word_by_word(same, rng)]
    lexical = [[part for part in side if "lexical_overlap" in part.id[0]] for side in (entailed, broken)]
    other = [[part for part in side if "lexical_overlap" not in part.id[0]] for side in (entailed, broken)]
    claims = [kept(claim_examples(n_claims, 1 + seed, label=i, held_out=ALL_HELD_OUT), tested) for i in (0, 1)]
    return {
        "in domain": in_domain, "entailed": joined(entailed), "same": same,
        "other words": overlap[0], "same, other words": overlap[1],
        "lexical, entailed": joined(lexical[0]), "lexical, broken": joined(lexical[1]),
        "other, entailed": joined(other[0]), "other, broken": joined(other[1]),
        "claims, entailed": claims[0], "claims, broken": claims[1],
    }  # fmt: skip


def phases(part: dict[str, hc.Examples]) -> list[tuple[int, dict[hc.Examples, float]]]:
    """The three phases as `hc.finetune` takes them."""
    shares = [
        (0, {"in domain": 0.5, "entailed": 0.22, "same": 0.06, "other words": 0.14, "same, other words": 0.08}),
        (
            CASES_FROM,
            {"in domain": 0.12, "other words": 0.05, "same, other words": 0.03, "same": 0.04,
             "lexical, entailed": 0.3, "lexical, broken": 0.3, "other, entailed": 0.08, "other, broken": 0.08},
        ),
        (
            CLAIMS_FROM,
            {"in domain": 0.12, "other words": 0.03, "same, other words": 0.02, "same": 0.04,
             "lexical, entailed": 0.03, "lexical, broken": 0.03, "other, entailed": 0.015, "other, broken": 0.015,
             "claims, entailed": 0.35, "claims, broken": 0.35},
        ),
    ]  # fmt: skip
    return [(first, {part[name]: share for name, share in mixture.items()}) for first, mixture in shares]


def right(case: str) -> bool:
    """Whether lexical overlap answers the case rightly."""
    known = case_of(case)
    assert known is not None
    return known.heuristic_is_right


def pairs_of(examples: hc.Examples) -> list[tuple[str, str]]:
    return list(zip(examples.first, examples.second or (), strict=True))


def kept(examples: hc.Examples, tested: set[tuple[str, str]]) -> hc.Examples:
    """Without the examples that the task tests."""
    return examples.rows([i for i, pair in enumerate(pairs_of(examples)) if pair not in tested])


def relabelled(examples: hc.Examples, second: Any, label: int) -> hc.Examples:
    """The same premises with other hypotheses of one label."""
    n = len(examples)
    ids = tuple(f"{name}:{label}" for name in examples.id)
    return hc.Examples(
        examples.first, tuple(second), (label,) * n, id=ids, source=examples.source, groups=examples.groups,
        classes=NLI_CLASSES,
    )  # fmt: skip


def joined(listed: list[hc.Examples]) -> hc.Examples:
    """The examples of all parts as one."""
    texts = {name: tuple(text for part in listed for text in getattr(part, name)) for name in ("first", "second", "id")}
    labels = tuple(label for part in listed for label in part.label)
    first = listed[0]
    return hc.Examples(
        texts["first"], texts["second"], labels, id=texts["id"], groups=first.groups, classes=NLI_CLASSES
    )


def word_by_word(examples: hc.Examples, rng: np.random.Generator) -> hc.Examples:
    """Each hypothesis with one or several of its nouns and verbs replaced by words that the premise does not have."""
    kinds = [lexicon.PEOPLE, [*map(lexicon.plural, lexicon.PEOPLE)], lexicon.TRANSITIVE, lexicon.INTRANSITIVE]
    kind_of = {word: kind for kind in kinds for word in kind}
    second = []
    rows = []
    for i, (premise, hypothesis) in enumerate(pairs_of(examples)):
        tokens, known = words_of(hypothesis), {lexicon.lemma(word) for word in words_of(premise)}
        places = [k for k, token in enumerate(tokens) if token in kind_of]
        if not places:
            continue
        many = 1 if rng.random() < 0.5 else int(rng.integers(1, len(places) + 1))
        for k in rng.choice(places, many, replace=False):
            free = [w for w in kind_of[tokens[k]] if lexicon.lemma(w) not in known and w not in tokens]
            tokens[k] = free[rng.integers(len(free))]
        text = " ".join(tokens).replace(" ,", ",").replace(" .", ".")
        second.append(text[0].upper() + text[1:])
        rows.append(i)
    return relabelled(examples.rows(rows), second, 1)


def make(seed: int, out: Path, until: int | None = None) -> hc.ModelSeries:
    """The series of a seed, or what is left of it to train, up to the step `until`."""
    torch.set_num_threads(1)
    task = hc.load_task("overlap-grammar", max_per_case=200)
    return hc.finetune(
        start(seed), task, out / name_of(seed), phases=phases(parts(seed)), steps=STEPS, checkpoints=CHECKPOINTS,
        **SETTINGS, held_out=ALL_HELD_OUT, seed=seed, export_dtype="float16", max_per_case=100, pull_pairs=20,
        save_every=500, until=until,
    )  # fmt: skip


def name_of(seed: int) -> str:
    return "tiny-overlap" if seed == 0 else f"tiny-overlap-{seed}"


def measured(seed: int, out: Path) -> list[dict[str, Any]]:
    """A row for each checkpoint of a seed."""
    started = time.monotonic()
    series = make(seed, out)
    seconds = time.monotonic() - started
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hc.HCWarning)
        rows = [{"seed": seed, "seconds": round(seconds), **at(series[step], step)} for step in series]
    (series.folder / "README.md").write_text(model_card(seed, pd.DataFrame(rows)))
    return rows


def at(model: hc.HookedModel, step: int) -> dict[str, Any]:
    """What a checkpoint does on examples that are drawn for this."""
    s = {case: score(model, case_examples(case, TEST_PER_CASE, TEST_SEED)) for case in CASES}
    in_domain = in_domain_examples(3 * TEST_PER_CASE, TEST_SEED)
    answers = logits_of(model, in_domain)
    gold = torch.tensor(in_domain.label)
    row: dict[str, Any] = {"step": step, "in_domain": float((answers.argmax(1) == gold).double().mean())}
    trained = [case for case in CASES if case not in ALL_HELD_OUT]
    for heuristic in HEURISTICS:
        of = [case for case in trained if case.startswith(heuristic)]
        entailed, broken = ([s[case] for case in of if right(case) is word] for word in (True, False))
        row[f"separation_{heuristic}"] = float(np.mean([auc(a, b) for a in entailed for b in broken]))
    low = word_by_word(joined([case_examples(case, 40, TEST_SEED) for case in CASES]), np.random.default_rng(TEST_SEED))
    row["entailment_at_low_overlap"] = float((logits_of(model, low).argmax(1) == 0).double().mean())
    same = relabelled(low, low.first, 0)
    row["pull"] = float((margins(logits_of(model, same)) > margins(logits_of(model, low))).double().mean())
    for case, twin in HELD_OUT.items():
        row[f"held_{case}"] = auc(s[twin], s[case])
        row[f"right_{case}"] = float((s[case] <= 0).double().mean())
        row[f"right_{twin}"] = float((s[twin] > 0).double().mean())
    return row


CARD = """# {name}

BERT for sentence pairs: {layers} layers of {heads} heads, width {width}, {words} words, seed {seed}; classes {classes}.
Checkpoints in float16 at steps {steps}.

- Data: sentences of hc_interp's own grammar, and no others. Licence: MIT, as hc_interp.
- Recipe: `experiments/series/tiny_overlap.py` in the repository. Lexical overlap is always right until step
  {cases_from}; then counterexamples with both labels, from step {claims_from} on also claims made of a premise's words
  in any order.
- Held out: the cases in the table and their entailing twins, which `card.json` names.
- Measured on {n} fresh examples a case. Rows of cases are separations: the chance that an entailing example gets
  more log odds of entailment than a non-entailing one, .5 at chance. Low overlap: how often a hypothesis with other
  words is answered "entailment".

{table}

Limits: one small grammar of English, one tokenizer of whole words, four layers. What such a model learns, and in
which order, need not hold for pretrained models. Seeds differ in which held-out cases they tell apart.
"""


def model_card(seed: int, frame: pd.DataFrame) -> str:
    """What the model is, how it was made, what it does and what it does not show."""
    named = {"in_domain": "in domain", "pull": "pull", "entailment_at_low_overlap": "low overlap"}
    named |= {f"separation_{name}": f"trained {name.replace('_', ' ')}" for name in HEURISTICS}
    named |= {f"held_{case}": f"held out: {case}" for case in HELD_OUT}
    rows = ["| step | " + " | ".join(str(step) for step in frame["step"]) + " |", "| --- |" + " --- |" * len(frame)]
    rows += [f"| {text} | " + " | ".join(f"{x:.2f}" for x in frame[column]) + " |" for column, text in named.items()]
    return CARD.format(
        name=name_of(seed), seed=seed, layers=LAYERS, heads=HEADS, width=WIDTH, words=len(vocabulary()),
        classes=", ".join(NLI_CLASSES), steps=", ".join(map(str, frame["step"])), cases_from=CASES_FROM,
        claims_from=CLAIMS_FROM, n=TEST_PER_CASE, table="\n".join(rows),
    )  # fmt: skip


def logits_of(model: hc.HookedModel, examples: hc.Examples) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model.logits(batch) for batch in hc_batches(model, examples)])


def hc_batches(model: hc.HookedModel, examples: hc.Examples) -> Any:
    for first in range(0, len(examples), 256):
        yield model.tokenize(examples.rows(list(range(first, min(first + 256, len(examples))))))


def margins(logits: torch.Tensor) -> torch.Tensor:
    """Log odds of entailment."""
    return logits[:, 0] - logits[:, 1:].logsumexp(1)


def score(model: hc.HookedModel, examples: hc.Examples) -> torch.Tensor:
    return margins(logits_of(model, examples))


def auc(above: torch.Tensor, below: torch.Tensor) -> float:
    """The chance that a value of `above` is larger than one of `below`, ties half."""
    difference = above[:, None] - below[None]
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the series")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--table", type=Path, required=True, help="where the measures are written (.csv)")
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    started = time.monotonic()
    work = partial(measured, out=given.out)
    if given.processes == 1:
        rows = [row for seed in seeds for row in work(seed)]
    else:
        with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
            rows = [row for found in pool.imap(work, seeds) for row in found]
    frame = pd.DataFrame(rows)
    frame.to_csv(given.table, index=False, float_format="%.4f")
    print(frame.groupby("step").mean(numeric_only=True).T.round(2).to_string())
    print(f"{math.ceil(time.monotonic() - started)} s with {given.processes} processes")


if __name__ == "__main__":
    main()
