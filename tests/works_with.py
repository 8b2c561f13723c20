"""The tables of docs/works_with.md: what works for which models, and which intervention goes into which function.

Each cell is tried: the call is made on a tiny random model, and either works or is refused with an error of the
package. Any other error ends the program. `python tests/works_with.py` writes the tables into the page, or those that
are named: `models`, `interventions`, `sources`.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from test_interventions_everywhere import CASES, DATA, HEAD, ITEMS, MODEL, PAIRS, STEER
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.models.families import FAMILIES
from hc_interp.models.hooked import HookedModel
from hc_interp.patching.sweep import is_fast

EXACT = ("path_effects", "path_effects, all", "path_effects, donors")
PAGE = Path(__file__).parents[1] / "docs/works_with.md"
FOLDER = "hc_interp.models.families"
SENDERS, RECEIVERS = [hc.Head(0, 0), hc.Head(0, 1)], ["L1H0", "L2H1"]
KINDS = {
    "classifier": "a classifier of texts",
    "last": "a classifier of texts",
    "token": "a token classifier",
    "vocabulary": "a language model",
    "masked": "a masked language model",
}


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *map(list, rows)]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def works(call: Callable[[], Any]) -> bool:
    """Whether a call is made: an error of the package is a refusal."""
    try:
        call()
    except hc.HCError:
        return False
    return True


def yes(call: Callable[[], Any]) -> str:
    return "yes" if works(call) else "no"


# Models


@dataclass(frozen=True)
class Tried:
    """A tiny model, how it was wrapped, a batch, and aligned pairs."""

    model: HookedModel
    wrapped: Mapping[str, Any]
    batch: hc.Batch
    pairs: hc.ContrastPairs

    @classmethod
    def of(cls, architecture: str) -> "Tried":
        readout = FAMILIES[architecture].readout
        labels, read_at = None if readout == "vocabulary" else LABELS, 1 if readout == "token" else None
        wrapped = {"labels": labels, "read_at": read_at}
        model = HookedModel(tiny_module(architecture), **wrapped)
        sides = [side(tiny_batch(4, 8), seed, answers=labels is None) for seed in (1, 2)]
        return cls(model, wrapped, sides[0], hc.ContrastPairs(*sides, gold=None if labels is None else sides[0].labels))

    def paths(self, **more: Any) -> hc.PathEffects:
        return hc.path_effects(self.model, self.pairs, SENDERS, **{"receivers": RECEIVERS} | more)

    def edges(self) -> torch.Tensor:
        return self.model.logits(self.batch, hc.PatchEdges(SENDERS, RECEIVERS, source=self.means))

    @property
    def means(self) -> hc.MeanActivations:
        return hc.mean_activations(self.model, self.batch, positional=False)

    def applied(self) -> str:
        """What a plain module can hold in place of the components that are left out."""
        subnetwork = hc.Subnetwork(self.model.components[1:], self.model.components)
        if works(lambda: subnetwork.apply(self.model, self.means)):
            return "means or 0"
        return "0" if works(lambda: subnetwork.apply(self.model, 0)) else "no"

    def on(self, backend: str) -> bool:
        def run() -> torch.Tensor:
            return HookedModel(self.model.module, **self.wrapped, backend=backend).logits(self.batch)

        return works(run)

    def backends(self) -> str:
        names = {"TransformerLens": "transformer_lens", "nnsight": "nnsight"}
        return ", ".join(name for name, backend in names.items() if self.on(backend))


def side(like: hc.Batch, seed: int, *, answers: bool) -> hc.Batch:
    """Other tokens in the layout of a batch, scored by labels or by one answer and one foil a row."""
    tokens = tiny_batch(4, 8, seed).input_ids.clamp(min=5)
    real = like.attention_mask.bool()
    given = {"answer": torch.tensor([[6]] * 4), "foil": torch.tensor([[7]] * 4)}
    scored = given if answers else {"labels": torch.tensor([0, 1, 2, 0])}
    return hc.Batch(
        torch.where(real, tokens, like.input_ids), like.attention_mask, like.token_type_ids, ids=like.ids, **scored
    )


OF_MODELS: dict[str, Callable[[Tried], str]] = {
    "backends": Tried.backends,
    "exact paths": lambda tried: engine(tried.model) if works(tried.paths) else "no",
    "estimates": lambda tried: yes(lambda: tried.paths(receivers=["L2H1"], method="attribution")),
    "joint paths": lambda tried: yes(lambda: tried.paths(joint=True)),
    "`PatchEdges`": lambda tried: yes(tried.edges),
    "roles": lambda tried: yes(lambda: tried.paths(receivers=["L1H0@last"], positions=None)),
    "`Subnetwork.apply`": Tried.applied,
    "`resid_mid`": lambda tried: yes(lambda: tried.model.run(tried.batch, capture=[hc.Site(1, "resid_mid")])),
}


def families() -> dict[str, Mapping[str, Any]]:
    """The classes of each family by its name, in the order of the table of classes."""
    folder = Path(str(importlib.import_module(FOLDER).__file__)).parent
    modules = [importlib.import_module(f"{FOLDER}.{path.stem}") for path in folder.glob("[a-z]*.py")]
    named = {str(module.__doc__).split(" (")[0]: module.CLASSES for module in modules if hasattr(module, "CLASSES")}
    order = list(FAMILIES)
    return dict(sorted(named.items(), key=lambda item: order.index(next(iter(item[1])))))


def kind_of(architecture: str) -> str:
    family = FAMILIES[architecture]
    return KINDS["masked" if family.readout == "vocabulary" and not family.causal else family.readout]


@cache
def cells_of(architecture: str) -> tuple[str, ...]:
    """What works for the tiny model of a class, in the order of `OF_MODELS`."""
    tried = Tried.of(architecture)
    return tuple(cell(tried) for cell in OF_MODELS.values())


def models_table() -> str:
    """A row for each kind of model and the families for which the same works."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for kind in dict.fromkeys(KINDS.values()):
        for name, classes in families().items():
            for architecture in classes:
                if kind_of(architecture) == kind:
                    rows.setdefault((kind, *cells_of(architecture)), []).append(name)
    header = ["kind of model", "families", *OF_MODELS]
    return table(header, ([kind, "; ".join(names), *cells] for (kind, *cells), names in rows.items()))


# Interventions


@cache
def given() -> dict[str, hc.Intervention]:
    """One of each intervention. They can stand in one list, on the model of `CASES`."""
    means = hc.mean_activations(MODEL, DATA)
    donors = hc.Donors(MODEL, [DATA, PAIRS.clean, PAIRS.corrupt])
    probe = hc.fit_probe(MODEL, DATA, hc.Site(1, "resid_mid"), "token_overlap")
    mask = torch.linspace(0.5, 1, len(ITEMS), dtype=torch.float64)
    return {
        "Keep": hc.Keep(hc.Subnetwork([item for item in ITEMS if item != HEAD], ITEMS), means),
        "Ablate": hc.Ablate(hc.Head(1, 0), 0),
        "SoftMask": hc.SoftMask(mask, means),
        "Scale": hc.Scale(hc.Head(1, 2), 0.5),
        "Patch": hc.Patch(hc.MLP(1), donors),
        "PatchPath": hc.PatchPath(["L0H1"], [HEAD], source=means),
        "PatchEdges": hc.PatchEdges(["L0H1"], ["L1H0"], source=means),
        "Steer": STEER,
        "Edit": hc.Edit(hc.Site(1, "z", 1), lambda value: value * 0.5),
        "Erase": hc.Erase(probe),
    }


def at_a_role() -> hc.Intervention:
    return hc.Ablate(HEAD.at("first_text"), 0)


@cache
def interventions_row(case: str) -> tuple[str, ...]:
    """Which interventions a function takes. All at once first, which shows it of each."""
    call, items = CASES[case], [*given().values(), at_a_role()]
    if works(lambda: call(MODEL, items)):
        answers = ["yes"] * len(items)
    else:
        answers = [yes(lambda item=item: call(MODEL, [item])) for item in items]
    if case in EXACT:
        return tuple(
            engine(MODEL, item) if answer == "yes" else answer for answer, item in zip(answers, items, strict=True)
        )
    return tuple(answers)


def engine(model: HookedModel, *given: hc.Intervention) -> str:
    """The engine that measures paths of a model under interventions."""
    return "fast" if is_fast(model, given) else "general"


def entry_points(rows: Mapping[str, tuple[str, ...]]) -> Iterator[list[str]]:
    """A row for all functions that take everything, and one for each other that differs."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for case, answers in rows.items():
        groups.setdefault(answers, []).append(case)
    for answers, cases in groups.items():
        named = dict.fromkeys(label(case) for case in cases)
        yield [", ".join(named), *answers]


def label(case: str) -> str:
    """How the table names a case: the function, and of path effects the method."""
    name, _, variant = case.partition(", ")
    if name == "path_effects" and variant in ("attribution", "auto"):
        return f'`path_effects(method="{variant}")`'
    return f"`{name}`"


def cases() -> list[str]:
    """The cases of the table. One more has an intervention of its own, and shows nothing here."""
    return [case for case in CASES if case != "path_effects, general engine"]


def interventions_table() -> str:
    rows = {case: interventions_row(case) for case in cases()}
    return table(["function", *(f"`{name}`" for name in given()), "at a role"], entry_points(rows))


# Sources


def sources() -> dict[str, Any]:
    """What a value can be replaced by: each by how the table names it."""
    value = MODEL.run(clean_rows(), capture=SITE).captured[SITE]
    return {
        "means": hc.mean_activations(MODEL, DATA),
        "means by position": hc.mean_activations(MODEL, PAIRS.clean, positional=True),
        "`0`": 0,
        "`hc.Donors`": hc.Donors(MODEL, [DATA, PAIRS.clean, PAIRS.corrupt]),
        "`hc.ContrastPairs`": PAIRS,
        "a tensor": value,
    }


SITE = hc.Site(1, "z", HEAD.head)
BY_SOURCE: dict[str, Callable[[Any], hc.Intervention]] = {
    "`Keep`": lambda source: hc.Keep(hc.Subnetwork(ITEMS[1:], ITEMS), source),
    "`Ablate`": lambda source: hc.Ablate(HEAD, source),
    "`SoftMask`": lambda source: hc.SoftMask(torch.full((len(ITEMS),), 0.5, dtype=torch.float64), source),
    "`Patch`, a component": lambda source: hc.Patch(HEAD, source),
    "`Patch`, a site": lambda source: hc.Patch(SITE, source),
    "`PatchPath`": lambda source: hc.PatchPath(["L0H1"], [HEAD], source=source),
    "`PatchEdges`": lambda source: hc.PatchEdges(["L0H1"], [HEAD], source=source),
}


def clean_rows() -> hc.Batch:
    """The first rows of the pairs' clean side."""
    return hc.encode_pairs(MODEL, PAIRS.rows(range(4))).batches[0].clean


def sources_table() -> str:
    """Whether each source is taken by each intervention: on any data, rows of the pairs, or a batch of this shape."""

    def cell(name: str, source: Any, make: Callable[[Any], hc.Intervention]) -> str:
        if works(lambda: MODEL.logits(MODEL.tokenize(DATA.rows(range(5))), make(source))):
            return "yes"
        limit = "a batch of its shape" if isinstance(source, torch.Tensor) else "rows of the pairs"
        return limit if works(lambda: MODEL.logits(clean_rows(), make(source))) else "no"

    rows = ([name, *(cell(name, source, make) for make in BY_SOURCE.values())] for name, source in sources().items())
    return table(["source", *BY_SOURCE], rows)


TABLES: dict[str, Callable[[], str]] = {
    "models": models_table,
    "interventions": interventions_table,
    "sources": sources_table,
}


def marked(name: str, text: str) -> str:
    return f"<!-- {name} -->\n\n{text}\n<!-- end of {name} -->"


def committed(name: str) -> str:
    """The table that the page has between the marks of this name."""
    start, end = marked(name, "|").split("|")
    return PAGE.read_text(encoding="utf-8").split(start)[1].split(end)[0]


def committed_rows(name: str) -> list[list[str]]:
    """The cells of that table, row by row, without its header."""
    return [line.strip("| ").split(" | ") for line in committed(name).splitlines()[2:]]


def main(names: Sequence[str]) -> None:
    warnings.simplefilter("ignore", hc.HCWarning)
    for name in names or TABLES:
        before, after = committed(name), TABLES[name]()
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(text.replace(marked(name, before), marked(name, after)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
