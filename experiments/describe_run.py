"""The tables of experiments/results/whole_run.md from a run's folder.

python experiments/describe_run.py runs/first
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

import hc_interp as hc

SWAP = "lexical_overlap_ln_subject/object_swap"
PREMISE_COLUMNS = ("separation", "pull", "in_domain_auc", "order_sensitivity")


def main(folder: Path) -> None:
    evaluation = hc.Evaluation.load(folder / "evaluation.json")
    search = hc.MaskSearch.load(folder / "search.json")
    core = hc.HeuristicCore.load(folder / "core.json")
    generalizing = hc.GeneralizingHeads.load(folder / "generalizing.json")
    premises = hc.Premises.load(folder / "premises.json")
    verdict = hc.Verdict.load(folder / "verdict.json")
    print(verdict.sentence() + "\n")
    print(markdown(accuracies(evaluation, search)) + "\n")
    print(markdown(separations(evaluation)) + "\n")
    print("\n".join(shifts(evaluation)) + "\n")
    print(f"Core ({len(core.heads)} heads, {len(core.mlps)} MLPs): {', '.join(map(str, core.heads))}.\n")
    print(repr(core) + "\n")
    print(f"Generalizing ({len(generalizing.heads)}): {', '.join(map(str, generalizing.heads))}.\n")
    print(premises.sentence() + "\n")
    print(markdown(systems(premises)) + "\n")
    print(markdown(verdict.numbers()) + "\n")
    for path in sorted(folder.glob("probe-*.json")):
        print("-", path.stem.removeprefix("probe-"), repr(hc.Probe.load(path)))


def markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "| --- " * len(frame.columns) + "|"]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in frame.itertuples(index=False)])


def accuracies(evaluation: hc.Evaluation, search: hc.MaskSearch) -> pd.DataFrame:
    """KL, accuracy in domain, and the mean accuracy over the cases of each heuristic and label."""
    wide = evaluation.by_heuristic().pivot(index="subnetwork", columns=["heuristic", "label"], values="accuracy")
    table = evaluation.to_frame().set_index("subnetwork")
    held_out = dict(zip(evaluation.names[1:], search.kl.tolist(), strict=True))  # the first row is the full model's
    found = pd.DataFrame({"": table.index, "KL": [f"{held_out.get(name, 0.0):.3f}" for name in table.index]})
    found["in domain"] = [f"{value:.3f}" for value in table["validation"]]
    for heuristic, label in wide.columns:
        about = f"{heuristic.replace('_', ' ')}, {label}"
        found[about] = [f"{value:.3f}" for value in wide.loc[table.index, (heuristic, label)]]
    return found


def separations(evaluation: hc.Evaluation) -> pd.DataFrame:
    """The separation of each heuristic with its interval."""
    frame = evaluation.scores()
    frame["said"] = [said(row) for row in frame.to_dict("records")]
    wide = frame.pivot(index="subnetwork", columns="heuristic", values="said").loc[list(evaluation.names)]
    return wide.rename(columns=lambda name: name.replace("_", " ")).rename_axis(index="").reset_index()


def said(row: dict[str, float], name: str = "separation") -> str:
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def shifts(evaluation: hc.Evaluation) -> list[str]:
    """For each heuristic, how much of the spread over subnetworks is a threshold that moved."""
    wide = evaluation.by_heuristic().pivot(index="subnetwork", columns=["heuristic", "label"], values="accuracy")
    scores, found = evaluation.scores(), []
    found_by = [name for name in wide.index if name != evaluation.names[0]]
    for heuristic in dict.fromkeys(wide.columns.get_level_values(0)):
        right, wrong = (wide.loc[found_by, (heuristic, label)] for label in ("entailment", "non-entailment"))
        about = scores[scores["heuristic"] == heuristic].set_index("subnetwork").loc[found_by]
        apart, recentred = about["separation"], about["recentred_wrong"]
        correlation = np.corrcoef(right, wrong)[0, 1]
        found.append(
            f"- {heuristic}: entailment and non-entailment accuracy are correlated at {correlation:.2f} over "
            f"{len(found_by)} subnetworks (non-entailment {wrong.min():.3f} to {wrong.max():.3f}); separation "
            f"{apart.min():.3f} to {apart.max():.3f}, rank correlation with non-entailment accuracy "
            f"{spearmanr(wrong, apart)[0]:.2f}; non-entailment at a threshold re-centred in domain "
            f"{recentred.min():.3f} to {recentred.max():.3f}."
        )
    swap = evaluation.to_frame().set_index("subnetwork").loc[found_by, SWAP]
    return [*found, f"- {SWAP}: {swap.min():.3f} to {swap.max():.3f}."]


def systems(premises: hc.Premises) -> pd.DataFrame:
    """The four systems of the premises."""
    frame = premises.to_frame()
    frame = frame[frame["kind"] == "model"]
    found = pd.DataFrame({"": frame["system"].str.replace("_", " ")})
    for name in PREMISE_COLUMNS:
        found[name.replace("_", " ")] = [said(row, name) for row in frame.to_dict("records")]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
