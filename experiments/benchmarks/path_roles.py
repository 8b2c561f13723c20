"""A sweep by roles against the sweep without: the cost of a pair of roles, exact and estimated.

    python experiments/benchmarks/path_roles.py [--data DIR] [--threads 2] [--pairs 32]
        [--roles cls second_text]
    python experiments/benchmarks/path_roles.py --random-gpt2 --pairs 8

Every head into every later head, once at all positions together and once between the roles: with r roles r * r paths
for each. Both are timed in turn, `--repeats` times, by the process's own time, so that what else the machine does slows
neither. The cost of a pair of roles is the time of the sweep by roles, divided by the number of pairs of roles and by
the time of the sweep without; at most 1.5 is the aim. The estimate's own costs are given too. Without --data (a folder
with the task's files) the pairs are those of the grammar that comes with the package. The random GPT-2 has pairs of
random tokens, whose roles are thirds of the text.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch
from attribution import random_gpt2
from path_patching import load

import hc_interp as hc

THIRDS = ("begin", "middle", "end")


def with_thirds(pairs: hc.ContrastPairs) -> hc.ContrastPairs:
    """The pairs of batches, whose positions are split into three roles."""
    assert isinstance(pairs.clean, hc.Batch)
    rows, length = pairs.clean.input_ids.shape
    third = (torch.arange(length) * len(THIRDS) // length).expand(rows, -1)
    return replace(pairs, clean=replace(pairs.clean, roles={name: third == i for i, name in enumerate(THIRDS)}))


def seconds(sweep) -> float:
    begun = time.process_time()
    sweep()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--roles", nargs="+", default=["cls", "first_text", "second_text", "sep"])
    parser.add_argument("--random-gpt2", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, pairs, senders, receivers = random_gpt2(options) if options.random_gpt2 else load(options)
    if options.random_gpt2:
        pairs, options.roles = with_thirds(pairs), list(THIRDS)
    n = len(options.roles) ** 2
    for method in ("exact", "attribution"):
        plain, by_role = [], []
        for _ in range(options.repeats):
            plain.append(seconds(lambda m=method: hc.path_effects(model, pairs, senders, receivers, method=m)))
            at = {"method": method, "positions": options.roles}
            by_role.append(seconds(lambda at=at: hc.path_effects(model, pairs, senders, receivers, **at)))
        ratios = [roles / (n * once) for once, roles in zip(plain, by_role, strict=True)]
        print(
            f"{model.name}, {method}: {len(senders)} x {len(receivers)} heads, {len(pairs)} pairs, {n} pairs of roles; "
            f"without roles {statistics.median(plain):.2f} s, with {statistics.median(by_role):.2f} s; a pair of roles "
            f"costs {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of the sweep without"
        )


if __name__ == "__main__":
    main()
