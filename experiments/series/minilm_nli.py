"""Makes the series minilm-nli: MiniLM on natural data alone until it follows the heuristics, then with counterexamples.

    python experiments/series/minilm_nli.py --data-dir DATA --out series/minilm-nli --table measures.csv   # resumable

Phase 1: MultiNLI, SNLI and Wikipedia NLI. Phase 2: also HANS training examples of the cases that are not in `HELD_OUT`,
with both labels. LoRA, so that a checkpoint is small; dropout off. DATA is a folder as `hc.load_task("mnli-hans")`
reads it, with `hans/train.parquet`, `snli/` and `wiki_nli_train.parquet` besides. Named before training: separation on
four held-out pairs of at least .75, MNLI of at least .70. A heuristic phase counts if hypotheses with other words are
answered "entailment" in at most 30 %.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import hc_interp as hc
from hc_interp.data.tables import NLI_CLASSES
from hc_interp.models.bases import base_folder
from hc_interp.models.zoo_cards import ZOO

HELD_OUT = {  # non-entailing case -> its entailing twin
    "lexical_overlap_ln_preposition": "lexical_overlap_le_around_prepositional_phrase",
    "lexical_overlap_ln_conjunction": "lexical_overlap_le_conjunction",
    "subsequence_sn_relative_clause_on_subject": "subsequence_se_relative_clause_on_obj",
    "subsequence_sn_PP_on_subject": "subsequence_se_PP_on_obj",
    "constituent_cn_after_if_clause": "constituent_ce_after_since_clause",
    "constituent_cn_disjunction": "constituent_ce_conjunction",
}
ALL_HELD_OUT = (*HELD_OUT, *HELD_OUT.values())
HANS_FROM, STEPS = 1500, 5000
CHECKPOINTS = (0, 60, 120, 300, 700, 1500, 1750, 2200, 3000, 4000, 5000)
SETTINGS: dict[str, Any] = {"batch_size": 32, "lr": 1e-3, "weight_decay": 0.01, "warm_up": 0.04, "dropout": False}
LORA = 16
LONGEST = 96  # tokens
PER_CASE = 200


def start(seed: int) -> hc.HookedModel:
    """MiniLM with a new classifier."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    torch.manual_seed(seed)
    folder = base_folder(ZOO["minilm-nli"].card["base"])
    names = dict(enumerate(NLI_CLASSES))
    module = BertForSequenceClassification.from_pretrained(
        folder, num_labels=len(names), id2label=names, label2id={name: i for i, name in names.items()}
    )
    return hc.load(module, tokenizer=AutoTokenizer.from_pretrained(folder), labels=NLI_CLASSES)


def natural(data: Path, name: str, model: hc.HookedModel) -> hc.Examples:
    """Sentence pairs with the three classes, without those that are too long."""
    frame = pd.concat([pd.read_parquet(path) for path in sorted(data.glob(name))], ignore_index=True)
    frame = frame[frame["label"].isin(range(len(NLI_CLASSES)))]
    found = hc.Examples(
        tuple(frame["premise"]), tuple(frame["hypothesis"]), tuple(frame["label"].astype(int)), classes=NLI_CLASSES
    )
    lengths = [len(ids) for ids in model.tokenizer(list(found.first), list(found.second or ()))["input_ids"]]
    return found.rows([i for i, length in enumerate(lengths) if length <= LONGEST])


def hans(data: Path) -> hc.Examples:
    """HANS training examples of the cases that are not held out: entailment, or one of the other two classes."""
    frame = pd.read_parquet(data / "hans" / "train.parquet")
    case = frame["heuristic"] + "_" + frame["subcase"]
    frame = frame[~case.isin(ALL_HELD_OUT)]
    return hc.Examples(
        tuple(frame["premise"]), tuple(frame["hypothesis"]), tuple(frame["label"].astype(int)),
        groups=((0,), (1, 2)), classes=NLI_CLASSES,
    )  # fmt: skip


def phases(data: Path, model: hc.HookedModel) -> list[tuple[int, dict[hc.Examples, float]]]:
    mnli, snli = natural(data, "mnli/train_sample*.parquet", model), natural(data, "snli/*.parquet", model)
    wiki = natural(data, "wiki_nli_train.parquet", model)
    return [
        (0, {mnli: 0.45, snli: 0.35, wiki: 0.2}),
        (HANS_FROM, {mnli: 0.35, snli: 0.25, wiki: 0.15, hans(data): 0.25}),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the series")
    parser.add_argument("--table", type=Path, required=True, help="where the measures are written (.csv)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--until", type=int, help="stop after this step; called again, it goes on")
    given = parser.parse_args()
    model = start(given.seed)
    task = hc.load_task("mnli-hans", given.data_dir, max_per_case=PER_CASE)
    series = hc.finetune(
        model, task, given.out, phases=phases(given.data_dir, model), steps=STEPS, checkpoints=CHECKPOINTS, lora=LORA,
        **SETTINGS, held_out=ALL_HELD_OUT, seed=given.seed, max_per_case=PER_CASE, save_every=100, until=given.until,
    )  # fmt: skip
    series.metrics.to_csv(given.table, index=False, float_format="%.4f")
    print(series.metrics.T.to_string(float_format=lambda value: f"{value:.2f}"))


if __name__ == "__main__":
    main()
