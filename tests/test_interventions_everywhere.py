"""`interventions=` in every public function: zero ablation of a head is the model whose rows of W_O for it are zero.

The twin is loaded afresh and is given no intervention, so that a pass which drops them gives other numbers.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from texts import WORDS, word_tokenizer
from tiny import LABELS, tiny_module

import hc_interp as hc
from hc_interp.errors import ResultError

# Of a layer that holds neither core nor generalizing heads: no number is of the head itself, which is 0 on one side
# and written nowhere on the other.
HEAD, CORE, READER = hc.Head(1, 1), hc.Head(0, 0), hc.Head(2, 0)
CASE = "shifted"


def texts(n: int, seed: int) -> hc.Examples:
    """Premises of six words and hypotheses of four, about half of them from the premise."""
    rng = np.random.default_rng(seed)
    first, second = [], []
    for _ in range(n):
        inside = rng.choice(WORDS, size=6, replace=False)
        outside = [word for word in WORDS if word not in inside]
        second.append(" ".join(rng.choice(inside if rng.random() < 0.5 else outside) for _ in range(4)))
        first.append(" ".join(inside))
    label = tuple(int(i) for i in rng.integers(0, 3, n))
    return hc.Examples(
        tuple(first), tuple(second), label, source=tuple(f"{seed}-{i}" for i in range(n)), classes=LABELS
    )


def turned(clean: hc.Examples) -> hc.Examples:
    """The hypotheses backwards, under another label."""
    second = tuple(" ".join(reversed(text.split())) for text in clean.second or ())
    return replace(clean, second=second, label=tuple((label + 1) % 3 for label in clean.label or ()))


def loaded(*removed: hc.Head) -> hc.HookedModel:
    """A random model in which nothing is written of what the removed heads read."""
    module = tiny_module("bert", seed=1)
    with torch.no_grad():
        for layer, head in removed:
            module.bert.encoder.layer[layer].attention.output.dense.weight[:, head * 8 : head * 8 + 8] = 0
    return hc.load(module, tokenizer=word_tokenizer(WORDS), labels=LABELS)


MODEL, TWIN = loaded(), loaded((HEAD.layer, HEAD.head))
DATA = texts(40, 0)
PAIRS = hc.ContrastPairs(texts(40, 1), turned(texts(40, 1)), texts(40, 1).label, kind="order")
TASK = hc.Task("tiny", DATA, texts(30, 2), {CASE: texts(40, 3)}, pairs={(CASE, "order"): PAIRS}, classes=LABELS)
JUDGED = replace(
    TASK, cases={CASE: texts(40, 3), "easy": texts(40, 4)}, heuristic={CASE: False, "easy": True}, heuristic_label=0
)
BATCH = MODEL.tokenize(DATA)
ITEMS = MODEL.components
HALF = hc.Subnetwork(ITEMS[::2], ITEMS)
SIX = [hc.Subnetwork([item for j, item in enumerate(ITEMS) if j % 6 != i], ITEMS) for i in range(6)]
LAST = hc.Site(2, "v", 0)
STEER = hc.Steer(hc.Site(0, "resid_pre"), torch.linspace(-1, 1, 24, dtype=torch.float64))  # the general engine's

Case = Callable[[hc.HookedModel, list[Any]], Any]


def means_of(model: hc.HookedModel, given: list[Any], kinds: tuple[str, ...] = ()) -> hc.MeanActivations:
    """Under the interventions, so that the ablated head's mean is 0 where its output is."""
    return hc.mean_activations(model, DATA, interventions=given, kinds=kinds)


def searched(model: hc.HookedModel, given: list[Any], **more: Any) -> hc.MaskSearch:
    """Of half of the components, in which the ablated head is not; and of all."""
    return hc.search_masks(model, DATA, [0.5, 0], [0], interventions=given, steps=4, batch_size=8, **more)


def sampled(model: hc.HookedModel, given: list[Any], **more: Any) -> hc.SubnetworkSample:
    settings = {"chains": 2, "rows": 16, "warm_up": 10, "sweeps": 10, "steps": 2} | more
    return hc.sample_subnetworks(model, DATA, 0.5, 1.0, interventions=given, **settings)


def extremes(model: hc.HookedModel, given: list[Any], **more: Any) -> tuple[Any, ...]:
    """Without the names of its rows in domain, as in `evaluated`."""
    settings = {"rows": 16, "rounds": 1, "steps": 2} | more
    found = hc.search_extremes(model, DATA, JUDGED, None, 0.5, 1.0, interventions=given, **settings)
    return found.to_frame(), found.control, found.equality, found.masks, found.losses


def evaluated(model: hc.HookedModel, given: list[Any]) -> tuple[Any, ...]:
    """Without the names of its rows, which tell a model under interventions from one without."""
    found = hc.evaluate(model, TASK, SIX, means_of(model, given), interventions=given)
    return found.correct, found.kl


def judged(model: hc.HookedModel, given: list[Any], method: str) -> hc.GeneralizingHeads:
    return hc.generalizing_heads(
        model, TASK, core=[CORE, HEAD], found=SIX, means=means_of(model, given), method=method, interventions=given
    )


def patched(model: hc.HookedModel, given: list[Any], **more: Any) -> tuple[Any, ...]:
    found = hc.path_effects(model, PAIRS, "heads", [READER, "output"], interventions=given, **more)
    return found, found.to_frame()


def read(model: hc.HookedModel, given: list[Any]) -> hc.Verdict:
    pairs, donors = PAIRS.by_split("test"), hc.Donors(model, [PAIRS.clean, PAIRS.corrupt])
    return hc.reads_from(
        model, pairs, core=[CORE], generalizing=[READER], means=means_of(model, given), donors=donors,
        interventions=given,
    )  # fmt: skip


def means_without_the_head(model: hc.HookedModel, given: list[Any]) -> dict[str, torch.Tensor]:
    values = {kind: value.clone() for kind, value in means_of(model, given, ("resid_post",)).values.items()}
    values["z"][HEAD.layer, HEAD.head] = 0
    return values


def trained(model: hc.HookedModel, given: list[Any]) -> list[Any]:
    """The head's weights stand still: else a row of W_O that is 0 would learn, and one that is ablated would not."""
    with TemporaryDirectory() as folder:
        series = hc.finetune(
            model, TASK, Path(folder) / "out", steps=3, batch_size=8, lr=1e-2, freeze=[HEAD], interventions=given,
            dropout=False, checkpoints=[1, 2],
        )  # fmt: skip
        losses = series.metrics.loss[series.metrics.system == "full"]
        return [losses.tolist()[1:], series[3].module.classifier.weight.tolist()]


CASES: dict[str, Case] = {
    "HookedModel.run": lambda m, b: m.run(BATCH, b, capture=[LAST, hc.Site(1, "attn_out")]),
    "HookedModel.logits": lambda m, b: m.logits(BATCH, b),
    "HookedModel.compile": lambda m, b: m.run_edits(BATCH, m.compile(BATCH, b)),
    "HookedModel.check_interventions": lambda m, b: m.logits(BATCH, m.check_interventions(b)),
    "mean_activations": means_without_the_head,
    "search_masks": lambda m, b: searched(m, b, exchanges=2),
    "sample_subnetworks": sampled,
    "search_extremes": extremes,
    "search_masks, task": lambda m, b: searched(m, b, objective="task", exchanges=0, means=0),
    "gradient_importance": lambda m, b: hc.gradient_importance(m, DATA, interventions=b),
    "gradient_importance, task": lambda m, b: hc.gradient_importance(m, DATA, objective="task", interventions=b),
    "attribution_patching": lambda m, b: hc.attribution_patching(m, DATA, interventions=b),
    "attribution_patching, q": lambda m, b: hc.attribution_patching(m, DATA, nodes="q", interventions=b),
    "attribution_patching, k": lambda m, b: hc.attribution_patching(m, DATA, nodes="k", interventions=b),
    "attribution_patching, v": lambda m, b: hc.attribution_patching(m, DATA, nodes="v", interventions=b),
    "leave_one_out": lambda m, b: hc.leave_one_out(m, DATA, interventions=b),
    "leave_one_out, task": lambda m, b: hc.leave_one_out(m, DATA, objective="task", interventions=b),
    "evaluate": evaluated,
    "faithfulness": lambda m, b: hc.faithfulness(m, DATA, HALF, means_of(m, b), interventions=b, n_subsets=2),
    "faithfulness_curve": lambda m, b: hc.faithfulness_curve(m, DATA, ITEMS, means_of(m, b), interventions=b),
    "generalizing_heads, contrast": lambda m, b: judged(m, b, "contrast"),
    "generalizing_heads, presence": lambda m, b: judged(m, b, "presence"),
    "generalizing_heads, ablation": lambda m, b: judged(m, b, "ablation"),
    "path_effects": lambda m, b: patched(m, b),
    "path_effects, all": lambda m, b: patched(m, b, route="all"),
    "path_effects, attribution": lambda m, b: patched(m, b, method="attribution"),
    "path_effects, auto": lambda m, b: patched(m, b, method="auto", top=0.2),
    "path_effects, general engine": lambda m, b: patched(m, [*b, STEER]),
    "path_effects, donors": lambda m, b: patched(m, b, corruption=hc.Donors(m, [PAIRS.clean, PAIRS.corrupt])),
    "premises": lambda m, b: hc.premises(
        m, JUDGED, [CORE, HEAD], [READER], means_of(m, b), n_sets=3, n_disjoint=1, n_donors=1, interventions=b
    ),
    "reads_from": read,
    "finetune": trained,
    "attention_profile": lambda m, b: hc.attention_profile(m, DATA, interventions=b),
    "figures.attention": lambda m, b: hc.figures.attention(m, DATA.first[0], DATA.second[0], interventions=b).data,
    "fit_probe": lambda m, b: hc.fit_probe(m, DATA, LAST, "token_overlap", interventions=b),
    "probe_map": lambda m, b: hc.probe_map(m, DATA, "token_overlap", [LAST, hc.Site(2, "resid_post")], interventions=b),
    "probe_paths": lambda m, b: hc.probe_paths(
        m, DATA, READER, senders=CORE, source=0, inputs=["v"], n_random=1, interventions=b
    ),
}  # fmt: skip


def takers() -> Iterator[str]:
    """All that is public and takes `interventions`: functions, the model's methods, functions of public modules."""
    for name in hc.__all__:
        item = getattr(hc, name)
        if isinstance(item, ModuleType):
            found = {f"{name}.{own}": getattr(item, own) for own in getattr(item, "__all__", vars(item))}
        elif inspect.isclass(item):
            found = {f"{name}.{own}": value for own, value in inspect.getmembers(item, inspect.isfunction)}
        else:
            found = {name: item}
        for path, value in found.items():
            hidden = path.split(".")[-1].startswith("_")
            if not hidden and inspect.isfunction(value) and "interventions" in inspect.signature(value).parameters:
                yield path


def test_every_public_function_has_a_case() -> None:
    assert {name.split(",")[0] for name in CASES} == set(takers())


TOLD = {"provenance", "settings", "interventions"}  # fields that say what was done


def numbers(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """All numbers and texts of a result, by where they stand."""
    if isinstance(value, torch.Tensor | np.ndarray | float | int):
        yield where, np.asarray(value, dtype=float)
    elif isinstance(value, pd.DataFrame):
        yield from numbers({str(name): value[name].tolist() for name in value}, where)
    elif isinstance(value, hc.Subnetwork):
        yield where, " ".join(map(str, value.sorted()))
    elif is_dataclass(value) and hasattr(value, "load"):
        yield from numbers({field.name: getattr(value, field.name) for field in fields(value)}, where)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if name not in TOLD:
                yield from numbers(item, f"{where}.{name}")
    elif isinstance(value, list | tuple) and value and all(isinstance(item, float | int) for item in value):
        yield where, np.asarray(value, dtype=float)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from numbers(item, f"{where}[{place}]")
    elif isinstance(value, hc.Run):
        yield from numbers({"logits": value.logits, "captured": dict(value.captured)}, where)
    else:
        yield where, str(value)


def differing(left: Any, right: Any) -> list[str]:
    """Where two results differ."""
    first, second = dict(numbers(left)), dict(numbers(right))
    if first.keys() != second.keys():
        return sorted(first.keys() ^ second.keys())
    return [where for where, value in first.items() if not _alike(value, second[where])]


def _alike(left: Any, right: Any) -> bool:
    if isinstance(left, str) or isinstance(right, str):
        return isinstance(left, str) and left == right
    return left.shape == right.shape and np.allclose(left, right, rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", CASES)
def test_zero_ablation_is_the_model_without_the_heads_rows_of_w_o(name: str) -> None:
    found, twin, plain = CASES[name](MODEL, [hc.Ablate(HEAD, 0)]), CASES[name](TWIN, []), CASES[name](MODEL, [])
    assert differing(found, twin) == []
    assert differing(found, plain) != []


RESUMED: dict[str, Case] = {
    "search_masks": lambda folder, b: searched(MODEL, b, means=0, exchanges=0, resume=folder),
    "sample_subnetworks": lambda folder, b: sampled(MODEL, b, means=0, resume=folder),
    "search_extremes": lambda folder, b: extremes(MODEL, b, means=0, resume=folder),
    "path_effects": lambda folder, b: patched(MODEL, b, resume=folder),
    "probe_map": lambda folder, b: hc.probe_map(MODEL, DATA, "token_overlap", [LAST], interventions=b, resume=folder),
    "premises": lambda folder, b: hc.premises(
        MODEL, JUDGED, [CORE, HEAD], [READER], 0, n_sets=1, n_disjoint=0, n_donors=0, interventions=b, resume=folder
    ),
}


@pytest.mark.parametrize("name", RESUMED)
def test_work_is_not_resumed_under_other_interventions(name: str, tmp_path) -> None:
    first = RESUMED[name](tmp_path, [hc.Ablate(HEAD, 0)])
    assert differing(RESUMED[name](tmp_path, [hc.Ablate(HEAD, 0)]), first) == []
    with pytest.raises(ResultError, match=r"was written by a [\w ]+ of another model"):
        RESUMED[name](tmp_path, [])


def test_every_function_that_resumes_has_a_case() -> None:
    functions = {name: getattr(hc, name) for name in hc.__all__ if inspect.isfunction(getattr(hc, name))}
    taken = {name: set(inspect.signature(value).parameters) for name, value in functions.items()}
    assert {name for name, given in taken.items() if {"resume", "interventions"} <= given} == set(RESUMED)
