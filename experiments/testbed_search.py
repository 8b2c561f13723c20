"""Does mask search find circuits that are known? Searches on worlds of `hc.testbeds`, at the right size.

    python experiments/testbed_search.py --worlds 20 [--exchanges 16] [--inside 1]

Two searches a world, each with a seed of its own: as many components as the core has, on in-domain data, where the
heuristic alone is right; and as many as the whole circuit has, on the case that breaks the heuristic and `--inside`
times as many of the others. A search is right if it keeps the core, or every component of the circuit, and no other. By
default it is the short one without swaps that the calibration makes. (The exchangeable world's weak edges come from
seven more heads, each of which carries next to nothing: they are not counted as its circuit.)
"""

import argparse

import torch
from calibration import KINDS, SEARCH, build
from calibration_worlds import BUILT, SEARCHED
from plain_hooks import use_plain_hooks

import hc_interp as hc
from hc_interp.metrics import kl_divergence
from hc_interp.statistics.tests import clopper_pearson
from hc_interp.testbeds.world import World

FIRST_SEED = 30_000
SEARCHABLE = [name for name, kind in KINDS.items() if {BUILT, SEARCHED} <= {*kind.arms}]


def missed(kind: str, seed: int, exchanges: int, inside: float) -> dict[str, tuple[str, bool]]:
    """For the core and for the whole circuit: what the search left out, with a plus what it took instead, and whether
    that mask's KL on all of the data is below that of what was built.
    """
    world = build(kind, seed)
    use_plain_hooks(world.model)
    train, swap = (world.model.tokenize(part) for part in (world.task.train, world.task.cases["swap"]))
    both = [train.rows(range(round(inside * len(swap)))), swap]
    means = hc.mean_activations(world.model, train)
    found = {}
    named = {*world.core, *world.generalizing}
    circuit = [item for item in world.circuit if item in named or isinstance(item, hc.MLP)]
    for name, wanted, data in (("core", world.core, [train]), ("circuit", circuit, both)):
        share = 1 - len(wanted) / len(world.model.components)
        search = hc.search_masks(
            world.model, data, share, means=means, **(SEARCH | {"seeds": [seed], "exchanges": exchanges})
        )
        (mask,), built = search.subnetworks, hc.Subnetwork(wanted, world.model.components)
        lost, taken = (sorted(map(str, part.kept)) for part in (built - mask, mask - built))
        found[name] = (
            " ".join([*lost, *(f"+{item}" for item in taken)]),
            kl(world, mask, means, data) < kl(world, built, means, data),
        )
    return found


def kl(world: World, mask: hc.Subnetwork, means: hc.MeanActivations, data: list[hc.Batch]) -> float:
    """Sum over the data."""
    keep = hc.Keep(mask, means)
    return sum(float(kl_divergence(world.model.logits(part), world.model.logits(part, keep)).sum()) for part in data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=SEARCHABLE, default=SEARCHABLE)
    parser.add_argument("--exchanges", type=int, default=SEARCH["exchanges"], help="rounds of swaps after training")
    parser.add_argument("--inside", type=float, default=1.0, help="in-domain examples for each of the other case")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| world | size of | right | 95 % interval | others whose KL is below the built one's | out, + instead |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind in given.kinds:
        rows = [missed(kind, FIRST_SEED + i, given.exchanges, given.inside) for i in range(given.worlds)]
        for name in ("core", "circuit"):
            wrong = [row[name] for row in rows if row[name][0]]
            rate = clopper_pearson(len(rows) - len(wrong), len(rows))
            ends = f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
            lower = f"{sum(below for _, below in wrong)} of {len(wrong)}"
            changes = "; ".join(change for change, _ in wrong)
            print(
                f"| {kind} | {name} | {len(rows) - len(wrong)} of {len(rows)} | {ends} | {lower} | {changes} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
