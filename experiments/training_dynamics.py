"""Does the model need its heuristic core to learn to generalize? Training under interventions.

    python experiments/training_dynamics.py --series series --out dynamics --seeds 20   # goes on when called again
    python experiments/training_dynamics.py --tables   # of what is there, and a figure
    python experiments/training_dynamics.py --check    # measures rows of seed 0 again

From the last heuristic checkpoint of tiny-overlap (`series/tiny_overlap.py`) training goes on for `STEPS`
updates, in arms that differ by an intervention that stands in every pass. Within a seed all arms have the same
weights, batches and a fresh optimizer; dropout is off. The core are the heads that all searched masks of the start
keep.

    a   free
    b   the core's weights stand still
    c   core -> q, k, v of all other heads at the start's means (`PatchEdges`); core -> MLPs and output as they are
    c+  as c, and core -> MLPs too, since an MLP can hand on what heads no longer read
    c0  the core's heads at their means (for description)
    d   as c for a set of other heads with as many in each layer, 3 draws
    e   as c for a set of other heads whose cut raises the in-domain loss at the start as much as c's does, within
        20 % or .01 nats, 3 draws
    f   c's model without the cut at the end; and a's model with c's cut at the end (no further training)

Written down before the first run. g(x) is the mean separation on the held-out pairs of cases at the end of arm x, less
that of the start; L(x) = (mean g(a) - mean g(x)) / mean g(a) over seeds, with the bootstrap interval over seeds.

- "Generalization needs to read the core" (heuristic core): the 95 % lower bounds of L(c) and of L(c) - L(e) are above
  .25.
- "It does not" (competing subnetworks): the 90 % interval of L(c) lies inside +-.2.
- Anything else is open. So it is if c is not clean: under the cut, before any training, the in-domain AUC - .5 must be
  at least .9 of the uncut start's.

g is also read at an arm's last checkpoint whose in-domain AUC is within .01 of a's last (an arm without one is read at
its end, and counted). Before the first run this said "first checkpoint": but the start has that AUC in most seeds.
Seeds in which a gains less than .1 stay in and are counted. What b shows is only whether the core's weights must
change.
"""

import argparse
import copy
import itertools
import multiprocessing
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from dynamics_tables import DRAWS, STEPS, figure, report, rows_of
from safetensors.torch import load_file

import hc_interp as hc
from hc_interp.models.trainable import TrainableModel

sys.path.insert(0, str(Path(__file__).parent / "series"))
import tiny_overlap as recipe

ROWS = Path(__file__).with_suffix("")  # of all arms so far
SHIFT = 150  # the third phase of the recipe begins after as many updates
CHECKPOINTS = (0, 150, 300, 600, 1200, 2400, 3600, 4800)
DECAY_TO = 0.3  # of the learning rate: at its end the recipe's own is still there
PER_CASE, N_CLAIMS, N_IN_DOMAIN = 2000, 60_000, 8000  # what the arms draw from
CORE_SPARSITY, CORE_SEEDS, CORE_STEPS = 0.5, 4, 150
CANDIDATES = 300  # sets of which those are taken as e that raise the loss as c does
WITHIN, NEAR = 0.2, 0.01  # of the rise of c, or nats where that is small
AGAIN = 0.002  # by which rows may differ from one machine to another
N_TEST, N_TRAINED, TEST_SEED = 200, 60, 910_000  # examples of held-out and of trained cases; in domain 3 N_TEST
N_MEANS = 512


def arms(start: hc.HookedModel, seed: int) -> dict[str, dict[str, Any]]:
    """What each arm gives `hc.finetune`, with what is known of it before training."""
    task, means = task_and_means(start, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hc.HCWarning)
        found = hc.search_masks(start, task.train, CORE_SPARSITY, CORE_SEEDS, means, steps=CORE_STEPS)
        core = hc.heuristic_core(found).heads
    others = [item for item in start.components if isinstance(item, hc.Head) and item not in core]
    cut = partial(reads_cut, start, means)
    loss = partial(in_domain_loss, start, task.train.sample(300, seed + 1))
    whole, rise = loss(()), loss(cut(core)) - loss(())
    rng = np.random.default_rng([seed, 7])
    matched = [drawn for _ in range(DRAWS) if (drawn := in_the_same_layers(core, others, rng))]
    as_hard = sorted(
        ((loss(cut(drawn)) - whole, drawn) for drawn in candidates(others, start.n_layers - 1, rng)),
        key=lambda pair: abs(pair[0] - rise),
    )[:DRAWS]
    given: dict[str, dict[str, Any]] = {
        "a": {}, "b": {"freeze": list(core)}, "c": {"interventions": cut(core)},
        "c+": {"interventions": cut(core, and_mlps=True)},
        "c0": {"interventions": [hc.Ablate(head, means) for head in core]},
    }  # fmt: skip
    given |= {f"d{i}": {"interventions": cut(drawn)} for i, drawn in enumerate(matched)}
    given |= {f"e{i}": {"interventions": cut(drawn)} for i, (_, drawn) in enumerate(as_hard)}
    about = {name: {"heads": " ".join(map(str, core))} for name in given}
    about |= {f"d{i}": {"heads": " ".join(map(str, drawn))} for i, drawn in enumerate(matched)}
    about |= {f"e{i}": {"heads": " ".join(map(str, drawn))} for i, (_, drawn) in enumerate(as_hard)}
    for name in given:
        above = loss(given[name].get("interventions", ())) - whole
        unmatched = name.startswith("e") and abs(above - rise) > max(WITHIN * abs(rise), NEAR)
        about[name] |= {"rise": above, "unmatched": unmatched}
    return {name: {"given": options, "about": about[name]} for name, options in given.items()}


def task_and_means(start: hc.HookedModel, seed: int) -> tuple[hc.Task, hc.MeanActivations]:
    task = hc.load_task("overlap-grammar", max_per_case=50)
    return task, hc.mean_activations(start, task.train.sample(N_MEANS, seed))


def reads_cut(
    start: hc.HookedModel, means: hc.MeanActivations, senders: Sequence[hc.Head], and_mlps: bool = False
) -> list[hc.Intervention]:
    """What all other heads (and MLPs) read from the senders is at its means."""
    first = min(head.layer for head in senders)
    heads = [item for item in start.components if isinstance(item, hc.Head)]
    reads = [head for head in heads if head not in senders and head.layer > first]
    mlps = [hc.MLP(layer) for layer in range(first, start.n_layers)] if and_mlps else []
    return [hc.PatchEdges(senders, [*reads, *mlps], source=means)]


def in_the_same_layers(
    core: Sequence[hc.Head], others: Sequence[hc.Head], rng: np.random.Generator
) -> list[hc.Head] | None:
    """As many other heads in each layer as the core has, or as many as there are; None if it has no others."""
    drawn: list[hc.Head] = []
    for layer in sorted({head.layer for head in core}):
        free = [head for head in others if head.layer == layer]
        many = min(len(free), sum(head.layer == layer for head in core))
        drawn += [free[i] for i in rng.choice(len(free), many, replace=False)]
    return sorted(drawn) or None


def candidates(others: Sequence[hc.Head], last: int, rng: np.random.Generator) -> Iterator[list[hc.Head]]:
    """Random sets of other heads below the last layer, of all sizes."""
    free = [head for head in others if head.layer < last]
    for _ in range(CANDIDATES):
        many = int(rng.integers(1, len(free) + 1))
        yield sorted(free[i] for i in rng.choice(len(free), many, replace=False))


@torch.no_grad()
def in_domain_loss(model: hc.HookedModel, examples: hc.Examples, interventions: Any) -> float:
    logits = torch.cat([model.logits(batch, interventions) for batch in recipe.hc_batches(model, examples)])
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(examples.label)))


def continuation(seed: int) -> list[tuple[int, Any]]:
    """The recipe's second and third phase."""
    part = recipe.parts(seed, per_case=PER_CASE, n_claims=N_CLAIMS, n_in_domain=N_IN_DOMAIN)
    _, second, third = recipe.phases(part)
    return [(0, second[1]), (SHIFT, third[1])]


def start_of(seed: int, folder: Path) -> hc.HookedModel:
    """The last heuristic checkpoint: of the series in the folder, or trained until there."""
    path = folder / recipe.name_of(seed)
    found = (path / "card.json").exists() and recipe.CASES_FROM in hc.load_series(path)
    series = hc.load_series(path) if found else recipe.make(seed, folder, until=recipe.CASES_FROM)
    return series[recipe.CASES_FROM]


def run_seed(seed: int, folder: Path, out: Path, only: Sequence[str] = ()) -> None:
    """All arms of a seed that have no rows yet. Each arm's rows are a file, which appears whole or not at all."""
    torch.set_num_threads(1)
    start = start_of(seed, folder)
    task = hc.Task("none", train=hc.load_task("overlap-grammar").train)  # checkpoints are measured here, not there
    mixture = continuation(seed)
    all_arms = arms(start, seed)
    data = TestData(start)
    for name, arm in all_arms.items():
        table = out / f"seed-{seed}-{name}.csv"
        if table.exists() or (only and name not in only):
            continue
        began = time.monotonic()
        trained = hc.finetune(
            start, task, out / f"seed-{seed}-{name}", phases=mixture, steps=STEPS, checkpoints=CHECKPOINTS,
            **recipe.SETTINGS, decay_to=DECAY_TO, seed=seed, save_every=500, **arm["given"],
        )  # fmt: skip
        seconds = time.monotonic() - began
        stands = arm["given"].get("interventions", ())
        rows = [{"system": "trained", "step": step, **data.measure(trained[step], stands)} for step in trained]
        if stands:
            rows.append({"system": "without the cut", "step": STEPS, **data.measure(trained[STEPS], ())})
        if name == "a":
            late = all_arms["c"]["given"]["interventions"]
            rows.append({"system": "with c's cut", "step": STEPS, **data.measure(trained[STEPS], late)})
        about = {"seed": seed, "arm": name, **arm["about"], "seconds": round(seconds)}
        temporary = table.with_suffix(".part")
        pd.DataFrame([{**about, **row} for row in rows]).to_csv(temporary, index=False, float_format="%.5f")
        temporary.rename(table)


class TestData:
    """Examples drawn for the measures, and the start, whose means are the values of the cuts."""

    def __init__(self, start: hc.HookedModel) -> None:
        self.start = start
        many = {case: N_TEST if case in recipe.ALL_HELD_OUT else N_TRAINED for case in recipe.CASES}
        self.cases = {case: recipe.case_examples(case, n, TEST_SEED) for case, n in many.items()}
        self.in_domain = recipe.in_domain_examples(3 * N_TEST, TEST_SEED)

    def measure(self, model: hc.HookedModel, interventions: Any) -> dict[str, float]:
        """In-domain accuracy and AUC, and the separation on trained cases and on each held-out pair.

        The model is read as the start is, so that the start's means are a source for it.
        """
        read = TrainableModel(self.start, model.module)
        s = {case: self._margins(read, part, interventions) for case, part in self.cases.items()}
        logits = self._logits(read, self.in_domain, interventions)
        gold, margin = torch.tensor(self.in_domain.label), recipe.margins(logits)
        held = {f"held_{case}": recipe.auc(s[twin], s[case]) for case, twin in recipe.HELD_OUT.items()}
        trained = [case for case in recipe.CASES if case not in recipe.ALL_HELD_OUT]
        separations = [
            recipe.auc(s[a], s[b])
            for a, b in itertools.product(trained, trained)
            if recipe.right(a) and not recipe.right(b) and heuristic_of(a) == heuristic_of(b)
        ]
        return {
            "in_domain": float((logits.argmax(1) == gold).double().mean()),
            "in_domain_auc": recipe.auc(margin[gold == 0], margin[gold != 0]),
            "held_out": float(np.mean([*held.values()])),
            "trained": float(np.mean(separations)),
            **held,
        }

    @torch.no_grad()
    def _logits(self, model: hc.HookedModel, examples: hc.Examples, interventions: Any) -> torch.Tensor:
        return torch.cat([model.logits(batch, interventions) for batch in recipe.hc_batches(model, examples)])

    def _margins(self, model: hc.HookedModel, examples: hc.Examples, interventions: Any) -> torch.Tensor:
        return recipe.margins(self._logits(model, examples, interventions))


def heuristic_of(case: str) -> str:
    known = recipe.case_of(case)
    assert known is not None
    return known.heuristic


def check(out: Path) -> None:
    """Measure the first and the last row of arms a and c of seed 0 again, from shipped weights, and compare."""
    torch.set_num_threads(1)
    rows = rows_of(out).query("seed == 0 and system == 'trained' and arm in ('a', 'c')")
    start = hc.load_series("zoo:tiny-overlap")[recipe.CASES_FROM]
    _, means = task_and_means(start, 0)
    data = TestData(start)
    for (arm, step), found in rows.groupby(["arm", "step"]):
        if step not in (0, STEPS):
            continue
        row = found.iloc[0]
        senders = [hc.Head(*map(int, name[1:].split("H"))) for name in row["heads"].split()]
        module = copy.deepcopy(start.module)
        if step:
            module.load_state_dict(load_file(out / f"seed-0-{arm}.safetensors"))
        stands = reads_cut(start, means, senders) if arm == "c" else ()
        again = data.measure(TrainableModel(start, module), stands)
        apart = max(abs(row[name] - value) for name, value in again.items())
        print(f"seed 0, arm {arm}, step {step}: {len(again)} numbers, largest difference {apart:.5f}")
        if apart > AGAIN:
            sys.exit(f"expected at most {AGAIN}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=Path, help="folder of the series of all seeds")
    parser.add_argument("--out", type=Path, default=ROWS, help="folder of rows; the committed ones if not given")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--arms", nargs="*", default=(), help="run these only, for example: a c e0 e1 e2")
    parser.add_argument("--tables", action="store_true", help="train nothing")
    parser.add_argument("--check", action="store_true", help="measure some rows again and compare")
    given = parser.parse_args()
    if given.check:
        check(given.out)
        return
    if not given.tables:
        if given.out == ROWS or given.series is None:
            parser.error("to train, give --series and an --out of your own; copy the committed rows there to go on")
        given.out.mkdir(parents=True, exist_ok=True)
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        work = partial(run_seed, folder=given.series, out=given.out, only=given.arms)
        with multiprocessing.get_context("spawn").Pool(given.processes) as pool:
            pool.map(work, seeds, chunksize=1)
    rows = rows_of(given.out)
    print("\n".join(report(rows)))
    print(figure(rows).write(given.out / "training-dynamics.png"))


if __name__ == "__main__":
    main()
