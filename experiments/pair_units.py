"""How many templates, verbs and nouns the contrast pairs of each case have: what an interval over new words rests on.

python experiments/pair_units.py                            # the grammar that comes with the package
python experiments/pair_units.py --data-dir DATA            # the pairs that the rules make from HANS
"""

import argparse
from pathlib import Path

import hc_interp as hc

UNITS = ("template", "verb", "noun")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="the folder of MNLI and HANS; without it the grammar")
    given = parser.parse_args()
    task = hc.load_task("mnli-hans", data_dir=given.data_dir) if given.data_dir else hc.load_task("overlap-grammar")
    print(f"Contrast pairs of {task.name}, of each case: pairs, templates, verbs, nouns\n")
    print("| case | order | overlap |\n| --- | --- | --- |")
    for case in task.cases or {}:
        cells = []
        for kind in ("order", "overlap"):
            if kind not in task.pair_kinds(case):
                cells.append("none")
                continue
            pairs = task.contrast_pairs(case, kind)
            units = pairs.units or {}
            levels = [len({level for row in units[unit] for level in row}) for unit in UNITS]
            cells.append(", ".join(map(str, (len(pairs), *levels))))
        print(f"| {case} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
