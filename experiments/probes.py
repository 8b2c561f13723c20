"""Where word overlap can be read in zoo:minilm-nli, what cutting the core's paths does, and who attends to copies.

    python experiments/probes.py map --data-dir DATA --out runs/probes         # every head and layer, 5,000 pairs
    python experiments/probes.py paths --data-dir DATA --out runs/probes       # the key experiment at one head
    python experiments/probes.py attention --data-dir DATA --out runs/probes   # the table of heads

Each leaves its result (.json), its figure (.png, .html) and prints the table of experiments/results/probes.md.
"""

import argparse
import time
from pathlib import Path

import pandas as pd

import hc_interp as hc
from hc_interp.data.overlap import concatenate, overlap_mix, regroup

MODEL = "zoo:minilm-nli"
# What an earlier run of six searches found.
CORE = (
    "L0H5", "L1H1", "L1H2", "L1H6", "L2H0", "L2H3", "L2H4", "L2H9", "L2H10", "L3H2", "L3H3", "L3H5", "L3H9", "L5H1",
    "L5H8", "L5H10",
)  # fmt: skip
EXAMPLE = ("The doctors near the lawyer advised the actor.", "The actor advised the doctors.")
RECEIVER = "L4H1"  # the generalizing head of largest node effect there


def pairs(data_dir: str, n: int) -> hc.Examples:
    """`n` pairs in which overlap says nothing of the label: equal numbers of each label in three strata."""
    task = hc.load_task("mnli-hans", data_dir=data_dir)
    assert task.validation is not None
    assert task.cases is not None
    hans = concatenate(list(task.cases.values()))
    assert hans.groups is not None
    return overlap_mix(regroup(task.validation, hans.groups), hans, per_cell=-(-n // 6)).sample(n)


def run_map(model: hc.HookedModel, args: argparse.Namespace) -> None:
    heads = [hc.Site(layer, "z", head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    streams = [hc.Site.embed(), *(hc.Site(layer, "resid_post") for layer in range(model.n_layers))]
    data = pairs(args.data_dir, args.pairs or 5000)
    start, cpu = time.perf_counter(), time.process_time()
    found = hc.probe_map(model, data, "token_overlap", [*heads, *streams], max_tokens=None, untrained=args.untrained)
    print(f"{len(found)} sites, {len(data)} pairs, {len(found.places)} places: "
          f"{time.perf_counter() - start:.0f} s, {time.process_time() - cpu:.0f} s of CPU\n")  # fmt: skip
    found.save(args.out / "probe-map.json")
    frame = found.to_frame()
    columns = ["site", "auc", "auc_low", "auc_high", "word_auc", "untrained_auc", "control_auc"]
    columns += ["shuffled_auc", "selectivity"]
    columns = [name for name in columns if name in frame]
    is_core = frame["site"].str.removesuffix(".z").isin(CORE)
    print(_markdown(frame[frame["head"].isna()][columns]) + "\n")
    ranked = frame[frame["head"].notna()].sort_values("auc", ascending=False)
    print(_markdown(ranked[columns].head(8)) + "\n")
    heads_only = frame[frame["head"].notna()].assign(core=is_core)
    print(_markdown(heads_only.groupby(["layer", "core"])["auc"].agg(["mean", "min", "max", "count"]).reset_index()))
    _draw(hc.figures.probe_map(found, core=CORE), args.out / "probe-map")


def run_paths(model: hc.HookedModel, args: argparse.Namespace) -> None:
    data = pairs(args.data_dir, args.pairs or 1000)
    means = hc.mean_activations(model, hc.load_task("mnli-hans", data_dir=args.data_dir).train.sample(1000))
    start = time.perf_counter()
    found = hc.probe_paths(model, data, RECEIVER, "token_overlap", senders=CORE, source=means, n_random=args.draws)
    print(f"{len(data)} pairs, {len(found.clean.places)} places: {time.perf_counter() - start:.0f} s\n")
    found.save(args.out / "probe-paths.json")
    frame = found.to_frame()
    print(_markdown(frame[["site", "metric", "quantity", "value", "low", "high"]]))
    for site in found.sites:
        print(site, "random draws", found.random_range(site))
    _draw(hc.figures.path_probes(found), args.out / "probe-paths")


def run_attention(model: hc.HookedModel, args: argparse.Namespace) -> None:
    data = pairs(args.data_dir, args.pairs or 1000)
    start = time.perf_counter()
    found = hc.attention_profile(model, data)
    print(f"{len(data)} pairs: {time.perf_counter() - start:.0f} s\n")
    found.save(args.out / "attention.json")
    table = found.table(CORE)
    print(_markdown(table.head(12)) + "\n")
    print({name: round(found.base_rate(name), 4) for name in ("same_word", "separators", "cls", "previous", "next")})
    print(table.groupby("core")[["same_word", "separators", "cls", "previous", "next", "order"]].mean().round(3))
    print(table.groupby("core")["repeats"].agg(["sum", "count"]))
    _draw(hc.figures.attention_profile(found, core=CORE), args.out / "attention-profile")
    _draw(hc.figures.attention(model, *EXAMPLE, heads=found.strongest(n=4)), args.out / "attention-example")
    print(hc.figures.attention(model, *EXAMPLE).write(args.out / "attention-all-heads.html"))


def _markdown(frame: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "| --- " * len(frame.columns) + "|"]
    for row in frame.itertuples(index=False):
        said = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
        lines.append("| " + " | ".join(said) + " |")
    return "\n".join(lines)


def _draw(figure: hc.figures.Figure, stem: Path) -> None:
    for suffix in (".png", ".html"):
        print(figure.write(stem.with_suffix(suffix)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["map", "paths", "attention"])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/probes"))
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--draws", type=int, default=5, help="paths: how often other heads are drawn")
    parser.add_argument("--untrained", action="store_true", help="map: the same sites with fresh random weights too")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    {"map": run_map, "paths": run_paths, "attention": run_attention}[args.what](hc.load(MODEL), args)


if __name__ == "__main__":
    main()
