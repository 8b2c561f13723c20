"""The table of docs/families.md is what the families say, class by class."""

import importlib
from pathlib import Path

from tiny import tiny_module

from hc_interp.models.families import FAMILIES
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.sweep import is_fast

PAGE = (Path(__file__).parents[2] / "docs/families.md").read_text()
HEADER = (
    "| family | classes | attention | norms and order of a layer | backends | paths |\n"
    "| --- | --- | --- | --- | --- | --- |\n"
)
FOLDER = "hc_interp.models.families"


def files():
    """The modules of the package's families, in the order of the table of classes."""
    folder = Path(importlib.import_module(FOLDER).__file__).parent
    named = {path.stem: importlib.import_module(f"{FOLDER}.{path.stem}") for path in folder.glob("[a-z]*.py")}
    with_classes = [module for module in named.values() if hasattr(module, "CLASSES")]
    order = list(FAMILIES)
    return sorted(with_classes, key=lambda module: order.index(next(iter(module.CLASSES))))


def attention(geometry):
    family, rules = geometry.family, geometry.rules
    said = ["earlier positions" if family.causal else "all positions"]
    said += ["window"] * any(rule.window is not None for rule in rules)
    rotated = [rule.angles for rule in rules]
    said += ["rotation" if all(rotated) else "rotation in some layers"] * any(rotated)
    said += ["products with distances"] * (family.distances is not None)
    said += ["bias by distance"] * (rules[0].bias is not None)
    said += ["shared keys"] * geometry.grouped
    said += ["q and k normed" + " together" * rules[0].joint_norms] * (family.q_norm is not None)
    said += ["bounded scores"] * (family.score_cap is not None)
    said += ["one projection"] * (family.joint is not None)
    return ", ".join(said)


def order(geometry):
    family = geometry.family
    if not family.pre_norm:
        said = "norms of the sums"
    else:
        before = ["before"] * (family.norm_1 is not None)
        said = "norms " + " and ".join([*before, *["after"] * (family.attn_norm is not None)])
    said += ", one module for many layers" * (family.modules is not None)
    by_config = f" if `{family.parallel}`" if isinstance(family.parallel, str) else ""
    return said + (f", side by side{by_config}" if geometry.parallel else "")


def row(file):
    name = " ".join(file.__doc__.split()).split(")")[0] + ")"
    models = {}
    for kind, family in file.CLASSES.items():
        labels, read_at = ["a", "b", "c"], 1 if family.readout == "token" else None
        labels = None if family.readout == "vocabulary" else labels
        models[kind] = HookedModel(tiny_module(kind), labels=labels, read_at=read_at)
    geometry = next(iter(models.values())).geometry
    fast = ["fast" if is_fast(model, []) else "general" for model in models.values()]
    adapted = all(family.adapter is not None for family in file.CLASSES.values())
    cells = [
        name,
        "<br>".join(f"`{kind}`" for kind in file.CLASSES),
        attention(geometry),
        order(geometry),
        "both" if adapted else "nnsight",
        "<br>".join(fast) if len(set(fast)) > 1 else fast[0],
    ]
    return "| " + " | ".join(cells) + " |\n"


def test_the_table_is_what_the_families_say() -> None:
    table = HEADER + "".join(map(row, files()))
    assert table in PAGE, f"docs/families.md should have this table:\n{table}"
