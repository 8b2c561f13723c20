"""The reference: the public names of the package by room, and the fields of saved results."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The rooms of the reference, in the order of an experiment, with the heading of each.
SECTIONS = {
    "models": "Models",
    "components": "Components",
    "subnetwork": "Components",
    "data": "Data",
    "interventions": "Interventions",
    "search": "Search",
    "patching": "Path patching",
    "probing": "Probing",
    "evaluation": "Evaluation",
    "attention": "Attention",
    "heads": "Core and generalizing heads",
    "extremes": "The good subnetworks that generalize least and most",
    "reading": "Premises and verdict",
    "training": "Training",
    "dynamics": "Over training",
    "experiment": "A whole run",
    "runs": "A whole run",
    "spread": "Several workers",
    "figures": "Figures and reports",
    "reports": "Figures and reports",
    "testbeds": "Test beds",
    "records": "Results and files",
    "metrics": "Metrics",
    "errors": "Errors",
}

# Arguments that mean the same in every function. Docstrings name them only where there is more to say.
SHARED = {
    "model": "a `HookedModel`, as `hc.load` gives it.",
    "interventions": "one or a list, applied first in every pass: everything is measured in the model under them.",
    "batch_size": "examples in a pass. It sets time and memory; numbers change by rounding at most.",
    "metric": '"logit_diff", "prob_diff", or a function `(logits, rows) -> [batch]`.',
    "feature": "a name of `hc.features.FEATURES`, a `Feature`, or values, one for each example or for each word.",
    "memory_gib": "what may be kept in memory, in gibibytes.",
    "seed": "draws whatever is random in the call; the same seed gives the same result.",
    "level": "the confidence level of intervals, .95 for 95 %.",
    "width": '"single" or "double": the width of a figure for one or two columns of a paper, 3.3 or 6.9 inches.',
    "path": "a file, as text or `pathlib.Path`.",
}


def public_names() -> dict[str, list[str]]:
    """The public names of `hc_interp/__init__.pyi` by section of the reference, each with the path of its module."""
    tree = ast.parse((ROOT / "hc_interp/__init__.pyi").read_text(encoding="utf-8"))
    sections: dict[str, list[str]] = {heading: [] for heading in SECTIONS.values()}
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom):
            continue
        for alias in node.names:
            path = ".".join(["hc_interp", *filter(None, [node.module]), alias.name])
            sections[SECTIONS[path.split(".")[1]]].append(path)
    return sections


def reference() -> str:
    """The page of all public names: a heading for each room, and the docstring of each name."""
    text = ["# Public names", "Everything that `import hc_interp as hc` gives, from its docstrings."]
    text += [
        "## Arguments that mean the same everywhere",
        "\n".join(f"- `{name}`: {what}" for name, what in SHARED.items()),
    ]
    for heading, paths in public_names().items():
        text.append(f"## {heading}")
        for path in sorted(paths, key=lambda path: path.rsplit(".", 1)[1].lower()):
            name = f"hc.{path.rsplit('.', 1)[1]}"
            text.append(f'::: {path}\n    options: {{ heading: "{name}", toc_label: "{name}" }}')
    return "\n\n".join(text) + "\n"


def result_classes() -> list[tuple[str, ast.ClassDef]]:
    """The dataclass of every public kind of result, with the path of its name, in the order of these paths."""
    classes = []
    for path in sorted(path for paths in public_names().values() for path in paths):
        *module, name = path.split(".")
        file = ROOT.joinpath(*module).with_suffix(".py")
        tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.Module([], [])
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == name and "Result" in map(ast.unparse, node.bases):
                classes.append((path, node))
    return classes


def saved_fields() -> str:
    """A table of the fields of every public kind of result, as its dataclass declares them."""
    rows = ["| kind | fields |", "| --- | --- |"]
    for path, node in result_classes():
        fields = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]
        names = ", ".join(f"`{field.id}`" for field in fields if isinstance(field, ast.Name))
        rows.append(f"| [`{node.name}`](reference.md#{path}) | {names} |")
    return "\n".join(rows)


def result_tables() -> str:
    """A table of what a row of `to_frame()` is, for every public kind of result: the first lines of its docstring."""
    rows = ["| kind | its table |", "| --- | --- |"]
    for path, node in result_classes():
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name == "to_frame":
                said = " ".join(str(ast.get_docstring(item)).split("\n\n")[0].split())
                rows.append(f"| [`{node.name}`](../reference.md#{path}) | {said} |")
    return "\n".join(rows)
