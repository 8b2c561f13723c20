"""Does mask search find circuits that are known? Searches on worlds of `hc.testbeds`, at the right size.

    python experiments/testbed_search.py --worlds 20 [--exchanges 16]

Two searches a world, each with a seed of its own: as many components as the core has, on in-domain data, where the
heuristic alone is right; and as many as the whole circuit has, with the case that breaks the heuristic in the data. A
search is right if it keeps the core, or every component of the circuit, and nothing else. By default it is the short
one without trades that the calibration makes. (The exchangeable world's
weak edges come from seven more heads, each of which carries next to nothing: they are not counted as its circuit.)
"""

import argparse

import torch
from calibration import KINDS, SEARCH, build
from plain_hooks import use_plain_hooks

import hc_interp as hc
from hc_interp.analysis.statistics import clopper_pearson

FIRST_SEED = 30_000


def missed(kind: str, seed: int, exchanges: int) -> dict[str, tuple[str, ...]]:
    """For the core and for the whole circuit: what the search left out, and with a plus what it took instead."""
    world = build(kind, seed)
    use_plain_hooks(world.model)
    train, swap = (world.model.tokenize(part) for part in (world.task.train, world.task.cases["swap"]))
    means = hc.mean_activations(world.model, train)
    found = {}
    named = {*world.core, *world.generalizing}
    circuit = [item for item in world.circuit if item in named or isinstance(item, hc.MLP)]
    for name, wanted, data in (("core", world.core, [train]), ("circuit", circuit, [train, swap])):
        share = 1 - len(wanted) / len(world.model.components)
        search = hc.search_masks(
            world.model, data, share, means=means, **(SEARCH | {"seeds": [seed], "exchanges": exchanges})
        )
        kept = set(search.subnetworks[0].kept)
        lost, taken = sorted(map(str, set(wanted) - kept)), sorted(map(str, kept - set(wanted)))
        found[name] = (*lost, *(f"+{item}" for item in taken))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=20, help="of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--exchanges", type=int, default=SEARCH["exchanges"], help="rounds of trades after training")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| world | size of | right | 95 % interval | wrong: left out, + taken instead |")
    print("| --- | --- | --- | --- | --- |")
    for kind in given.kinds:
        rows = [missed(kind, FIRST_SEED + i, given.exchanges) for i in range(given.worlds)]
        for name in ("core", "circuit"):
            wrong = [" ".join(row[name]) for row in rows if row[name]]
            rate = clopper_pearson(len(rows) - len(wrong), len(rows))
            ends = f"[{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
            line = f"| {kind} | {name} | {len(rows) - len(wrong)} of {len(rows)} | {ends} | {'; '.join(wrong)} |"
            print(line, flush=True)


if __name__ == "__main__":
    main()
