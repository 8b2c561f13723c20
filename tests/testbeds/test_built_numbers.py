"""What worlds say of themselves, by direct measurement without noise: responses, S, accuracies and premises."""

import importlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import hc_interp as hc
from hc_interp.components import Head
from hc_interp.errors import HCError
from hc_interp.testbeds import World

worlds = hc.testbeds
STILL = 0.01  # of the generalizing heads' change: a head that changes less is no comparison
MAKERS: dict[str, Callable[[], World]] = {
    **{f"core through {t}": lambda t=t: worlds.heuristic_core(3, t) for t in ("v", "k")},
    "core through q": lambda: worlds.heuristic_core(3, "q", live_decoys=2),
    "core through two hops": lambda: worlds.heuristic_core(3, "two hops", live_decoys=None),
    "competing": lambda: worlds.competing_subnetworks(3, live_decoys=1),
    "mixed": lambda: worlds.mixed(3),
    "exchangeable": lambda: worlds.exchangeable(9, leak=0.2),
    "null": lambda: worlds.null(3),
    "trunk": lambda: worlds.trunk(3),
    "half trunk": lambda: worlds.half_trunk(3),
    "graded": lambda: worlds.graded(3, S=0.45, R_G=0.2),
    "graded, one other head": lambda: worlds.graded(3, S=0.3, R_G=0.5, others=1),
    "graded, relays": lambda: worlds.graded(3, S=0.7, R_G=0.95, relays=True),
    "constant answer": lambda: worlds.constant_answer(3),
    "chance core": lambda: worlds.chance_core(3),
    "answer carriers": lambda: worlds.answer_carriers(3),
    "redundant heads": lambda: worlds.redundant_heads(3),
    "generalizing core": lambda: worlds.generalizing_core(3),
    "moved threshold": lambda: worlds.moved_threshold(3),
}
BUILT = {  # R(G) and S as the descriptions say
    "core through v": (1, 1),
    "core through k": (1, 1),
    "competing": (0, math.nan),
    "trunk": (1, 0),
    "half trunk": (1, 0.5),
    "graded": (0.2, 0.45),
    "graded, one other head": (0.5, 0.3),
    "graded, relays": (0.95, 0.7),
    "chance core": (1, 1),
    "answer carriers": (1, 1),
    "redundant heads": (1, 1),
    "generalizing core": (1, 1),
    "moved threshold": (1, 1),
}
FIRST_PREMISES = ["teacher admired tutor again", "teacher saw singer late"]
ALIKE = ("core through k", "core through two hops", "mixed", "half trunk")  # their premises are those of others


@pytest.fixture(scope="module", params=MAKERS)
def named(request) -> tuple[str, World]:
    """A world and its name. It runs by plain hooks, which are faster on models as small as these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[2] / "experiments")
        use_plain_hooks = importlib.import_module("plain_hooks").use_plain_hooks
    world = MAKERS[request.param]()
    use_plain_hooks(world.model)
    return request.param, world


def measured(world: World, kind: str, n: int) -> tuple[float, float]:
    """R(G) and S by patching all core heads at once into each head, on route "all"."""
    pairs = world.pairs[kind].sample(n)
    layers = sorted({head.layer for head in world.generalizing if head.layer > 0})
    heads = [Head(layer, i) for layer in layers for i in range(world.model.n_heads)]
    heads = [head for head in heads if head not in world.core]
    frame = hc.path_effects(world.model, pairs, [world.core], heads, route="all").to_frame()
    response = dict(zip(heads, frame["response"], strict=True))
    sites = [hc.Site(layer, "z") for layer in layers]
    clean, corrupt = (world.model.run(world.model.tokenize(side), capture=sites).captured for side in pairs.sides)
    change = {s.layer: (clean[s] - corrupt[s]).square().sum((0, 1, 3)).tolist() for s in sites}
    top_g = top_o = whole = 0.0
    for layer in layers:
        g, others = ([h for h in heads if h.layer == layer and (h in world.generalizing) == is_g] for is_g in (1, 0))
        extent = {head: change[layer][head.head] for head in (*g, *others)}
        weight = sum(extent[head] for head in g)
        moving = [head for head in others if extent[head] >= STILL * weight / len(g)]
        if not moving:
            continue
        top_g += weight * sum(response[head] for head in g) / len(g)
        top_o += weight * sum(response[head] for head in moving) / len(moving)
        whole += weight
    return top_g / whole, 1 - top_o / top_g if abs(top_g) > 1e-3 * whole else math.nan


def test_responses_are_the_built_ones(named) -> None:
    name, world = named
    if name not in ("null", "constant answer"):
        assert set(world.reading) == ({"order"} if name == "core through k" else {"order", "overlap"})
    for kind, built in world.reading.items():
        r_g, s = measured(world, kind, 48 if name == "exchangeable" else 8)
        assert (r_g, s) == pytest.approx(
            (built.R_G, built.S), abs=0.01 if name == "exchangeable" else 0.004, nan_ok=True
        ), kind
        if name in BUILT and (kind == "order" or "core through" not in name):
            assert pytest.approx(BUILT[name], nan_ok=True) == (built.R_G, built.S), kind


def auc(high: np.ndarray, low: np.ndarray) -> float:
    return float(((high[:, None] > low) + 0.5 * (high[:, None] == low)).mean())


def facts(world: World, interventions=()) -> dict[str, float]:
    """The parts of the premises in one system, from one pass over all texts."""
    task, validation = world.task, world.task.validation.sample(40)
    order, overlap = (task.contrast_pairs("swap", kind).sample(16) for kind in ("order", "overlap"))
    parts = [validation, *(task.cases[case].sample(16) for case in ("same", "swap")), *order.sides, *overlap.sides]
    texts = [[text for part in parts for text in getattr(part, side)] for side in ("first", "second")]
    logits = world.model.logits(world.model.tokenize(*texts), interventions).detach().double()
    s = (logits[:, 0] - logits[:, 1]).round(decimals=5).numpy()  # rounding does not order equal values
    inside, same, swap, swapped, ordered, whole, broken = np.split(s, np.cumsum([len(part) for part in parts])[:-1])
    entailed = np.array(validation.label) == 0
    gap = inside[entailed].mean() - inside[~entailed].mean()
    signal = (ordered - swapped).mean() / gap if abs(gap) > 1e-3 else 0.0
    pull = float(((whole > broken) + 0.5 * (whole == broken)).mean())
    found = {"auc": auc(inside[entailed], inside[~entailed]), "signal": float(signal), "pull": pull}
    return found | {"same": float((same > 0).mean()), "swap": float((swap < 0).mean())}


def systems(world: World) -> dict[str, dict[str, float]]:
    universe = world.model.components
    means = hc.mean_activations(world.model, world.task.train, batch_size=256)
    core = [*world.core, *(item for item in universe if isinstance(item, hc.MLP))]
    return {
        "full": facts(world),
        "core": facts(world, [hc.Keep(hc.Subnetwork(core, universe), means)]),
        "core and heads": facts(world, [hc.Keep(hc.Subnetwork([*core, *world.generalizing], universe), means)]),
        "without heads": facts(world, [hc.Ablate(world.generalizing, with_=means)] if world.generalizing else []),
    }


def test_premises_are_the_built_ones(named) -> None:
    name, world = named
    if name in ALIKE:
        return
    found = systems(world)
    full, core = found["full"], found["core"]
    generalizes = full["signal"] > 0.4
    assert world.premises["model_generalizes"] == ("holds" if generalizes else "fails")
    if generalizes:
        assert (full["same"], full["swap"], full["auc"]) == (1, 1, 1)
    heuristic = core["auc"] == 1 and core["pull"] == 1 and core["signal"] <= max(full["signal"], 0) / 3 + 1e-3
    assert world.premises["core_is_heuristic"] == ("holds" if heuristic else "fails")
    if not generalizes:
        assert world.premises["heads_generalize"] == "fails"
        return
    loss = 1 - found["without heads"]["signal"] / full["signal"]
    gain = (found["core and heads"]["signal"] - core["signal"]) / full["signal"]
    shown = (loss > 0.15, gain > 0.15)
    if name == "graded, relays":
        assert shown == (True, False)
        assert world.premises["heads_generalize"] == "open"
    else:
        assert world.premises["heads_generalize"] == ("holds" if all(shown) else "fails")
    if name == "redundant heads":
        assert shown == (False, True)
        assert abs(loss) < 0.03
    if name == "answer carriers":
        assert shown == (False, False)
        assert abs(loss) < 0.05
    if name == "chance core":
        assert (core["auc"], core["pull"]) == (0.5, 0.5)
    if name == "generalizing core":
        assert core["signal"] / full["signal"] == pytest.approx(0.6, abs=0.1)
    if name == "moved threshold":
        assert (core["same"], core["swap"]) == (0, 1)  # raw accuracy looks as if the core were right on the swaps
    elif heuristic and "carriers" not in name:
        assert (core["same"], core["swap"]) == (1, 0)


def test_a_constant_answer_is_constant_also_with_noise() -> None:
    world = worlds.constant_answer(1, noise=0.02)
    logits = world.model.logits(world.model.tokenize(world.task.train.sample(16)))
    assert torch.equal(logits, logits[:1].expand_as(logits))


def test_live_decoys_all_change_and_as_many_as_asked_read_the_core() -> None:
    world = worlds.competing_subnetworks(2, live_decoys=2)
    decoys = [head for head in world.decoys if head.layer == 2]
    for pairs in world.pairs.values():
        frame = hc.path_effects(world.model, pairs.sample(12), [world.core], decoys, route="all").to_frame()
        assert sorted(frame["response"].round(2)) == [0, 0, 0, 0, 1, 1]


def test_cases_and_pairs_of_the_task() -> None:
    task = worlds.heuristic_core(1).task
    assert task.heuristics == {"heuristic": (("same",), ("swap",))}
    assert task.heuristic_label == 0
    assert set(task.cases["same"].label) == {0}
    assert set(task.cases["swap"].label) == {1}
    broken = task.contrast_pairs("swap", "overlap")
    assert isinstance(broken.clean, hc.Examples)
    assert isinstance(broken.corrupt, hc.Examples)
    assert {*broken.clean.label, *broken.corrupt.label} == {1}
    for premise, clean, corrupt in zip(broken.clean.first, broken.clean.second, broken.corrupt.second, strict=True):
        assert clean.split() == [premise.split()[i] for i in (2, 1, 0)]
        replaced = [new for old, new in zip(clean.split(), corrupt.split(), strict=True) if old != new]
        assert len(replaced) == 1
        assert replaced[0] not in premise.split()


def test_the_pairs_of_a_seed_stay() -> None:
    """Published numbers rest on them."""
    pairs = worlds.heuristic_core(1).pairs
    assert [part.clean.first[0] for part in pairs.values()] == FIRST_PREMISES


def test_a_random_bert_has_no_circuit_and_answers_both_ways() -> None:
    one, again = (worlds.random_bert(1) for _ in range(2))
    assert one.model.fingerprint == again.model.fingerprint
    assert (one.core, one.generalizing, one.truth, dict(one.premises), dict(one.reading)) == ((), (), (), {}, {})
    assert len(one.decoys) == one.model.n_layers * one.model.n_heads
    logits = one.model.logits(one.model.tokenize(one.task.train))
    assert float((logits[:, 0] > logits[:, 1]).double().mean()) == pytest.approx(0.5, abs=0.01)
    assert len(one.population("order", 5, 0)) == 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: worlds.graded(S=1.2),
        lambda: worlds.graded(R_G=0.0),
        lambda: worlds.graded(others=0),
        lambda: worlds.trunk(others=7),
        lambda: worlds.mixed(live_decoys=11),
        lambda: worlds.answer_carriers(carried=1.0),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(HCError, match="given"):
        make()
