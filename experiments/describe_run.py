"""The tables of experiments/README.md from a run's folder.

python experiments/describe_run.py runs/first
"""

import sys
from pathlib import Path

import hc_interp as hc


def main(folder: Path) -> None:
    evaluation = hc.Evaluation.load(folder / "evaluation.json")
    search = hc.MaskSearch.load(folder / "search.json")
    core = hc.HeuristicCore.load(folder / "core.json")
    generalizing = hc.GeneralizingHeads.load(folder / "generalizing.json")
    verdict = hc.Verdict.load(folder / "verdict.json")
    print(verdict.sentence() + "\n")
    print(_accuracies(evaluation, search) + "\n")
    print(f"Core ({len(core.heads)} heads, {len(core.mlps)} MLPs): {', '.join(map(str, core.heads))}.\n")
    print(f"Generalizing ({len(generalizing.heads)}): {', '.join(map(str, generalizing.heads))}.\n")
    print(_verdict(verdict) + "\n")
    for path in sorted(folder.glob("probe-*.json")):
        print("-", path.stem.removeprefix("probe-"), repr(hc.Probe.load(path)))


def _accuracies(evaluation: hc.Evaluation, search: hc.MaskSearch) -> str:
    wide = evaluation.by_heuristic().pivot(index="subnetwork", columns=["heuristic", "label"], values="accuracy")
    table = evaluation.to_frame().set_index("subnetwork")
    held_out = dict(zip(map(str, range(len(search.kl))), search.kl.tolist(), strict=True))
    head = [f"{h.replace('_', ' ')}, {label}" for h, label in wide.columns]
    lines = ["| | KL | in domain | " + " | ".join(head) + " |", "| --- " * (len(head) + 3) + "|"]
    for name in table.index:
        kl = f"{held_out[name]:.3f}" if name in held_out else "0"
        cells = [f"{wide.loc[name, column]:.3f}" for column in wide.columns]
        lines.append(f"| {name} | {kl} | {table.loc[name, 'validation']:.3f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _verdict(verdict: hc.Verdict) -> str:
    lines = ["| pairs | route | T | 95 % interval | p | size limit | other heads |", "| --- " * 7 + "|"]
    for row in verdict.to_frame().to_dict("records"):
        whole = row["route"] == "all"
        rest = [f"{row['p']:.3f}", f"{row['size_limit']:.3f}", f"{row['specificity']:.3f}"] if whole else ["", "", ""]
        interval = f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(f"| {row['kind']} | {row['route']} | {row['T']:.3f} | {interval} | {' | '.join(rest)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
