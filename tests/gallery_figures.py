"""What the gallery of figures draws: made-up results and tiny models, and for each figure the line that draws it."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from attention_model import attention_model, attention_texts
from extremes_world import made_world
from made_results import MAKERS, standing_in

import hc_interp as hc
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.statistics.tests import Interval

# Figures in the order of the page: the line that draws each, and whether it needs two columns.
LINES = {
    "circuit": "hc.figures.circuit(verdict)",
    "reading": "hc.figures.reading(verdict)",
    "premises": "hc.figures.premises(premises)",
    "path_matrix": "hc.figures.path_matrix(effects)",
    "path_roles": "hc.figures.path_roles(by_role)",
    "accuracy": "hc.figures.accuracy(evaluation)",
    "accuracy_by_sparsity": "hc.figures.accuracy_by_sparsity(evaluation)",
    "search_curves": "hc.figures.search_curves(search)",
    "head_frequency": "hc.figures.head_frequency(core)",
    "good_subnetworks": "hc.figures.good_subnetworks(sample)",
    "substitutions": "hc.figures.substitutions(sample)",
    "extremes": "hc.figures.extremes(extremes)",
    "probe_scores": "hc.figures.probe_scores(probes)",
    "probe_map": "hc.figures.probe_map(found, core=core)",
    "path_probes": "hc.figures.path_probes(cuts)",
    "attention": 'hc.figures.attention(model, first, second, heads=["L0H0", "L0H2", "L1H0"])',
    "attention_profile": "hc.figures.attention_profile(profile)",
    "over_training": "hc.figures.over_training(over)",
    "effective_size": 'hc.figures.effective_size({"in domain": sizes, "out of domain": larger})',
    "calibration": "hc.figures.calibration(rates)",
}
ROLES = ("first_text", "subject", "premise_subject", "last")


def drawn(name: str) -> Any:
    """A figure of the gallery, from its line."""
    return eval(LINES[name], {"hc": hc, **_given(name)})


def _given(name: str) -> dict[str, Any]:
    """The results that a line names. What several figures share is made once."""
    run = MAKERS.run()
    match name:
        case "path_roles":
            return {"by_role": by_role()}
        case "accuracy_by_sparsity":
            return {"evaluation": by_sparsity()}
        case "substitutions":
            return {"sample": standing_in(MAKERS.sample())}
        case "good_subnetworks":
            return {"sample": MAKERS.sample()}
        case "premises":
            return {"premises": MAKERS.premises()}
        case "extremes":
            return {"extremes": extremes()}
        case "probe_map":
            return {"found": probe_map(), "core": run.core}
        case "path_probes":
            return {"cuts": path_probes()}
        case "attention" | "attention_profile":
            return attention()
        case "over_training":
            return {"over": over_training()}
        case "effective_size":
            return {"sizes": effective_sizes(0.03), "larger": effective_sizes(0.0)}
        case "calibration":
            return {"rates": rates()}
    return {"verdict": run.verdict, "effects": run.edges, "evaluation": run.evaluation, "search": run.search,
            "core": run.core, "probes": run.probes}  # fmt: skip


def by_role() -> PathEffects:
    """Made-up effects between all roles; strong ones into L2H1@subject from L0H0 to L0H5 at first_text."""
    rng = np.random.default_rng(0)
    senders = [f"L0H{head}@{role}" for head in range(6) for role in ROLES]
    receivers = [f"{name}@{role}" for name in ("L1H0", "L2H1", "L2MLP") for role in ROLES] + ["output"]
    rows = [(s, r, "in" if r == "output" or "MLP" in r else "v") for s in senders for r in receivers]
    size = np.array([s.endswith("first_text") and r in ("L2H1@subject", "L2MLP@last", "output") for s, r, _ in rows])
    effects = torch.tensor(-1.0 * size + 0.01 * rng.standard_normal((20, len(rows))))
    node = torch.tensor(-2.0 + 0.01 * rng.standard_normal((20, len(rows))))
    node[:, [r == "L2H1@last" for _, r, _ in rows]] = 0.0
    sources = tuple(map(str, range(20)))
    return PathEffects(
        tuple(rows), (True,) * len(rows), effects, node, torch.full((20,), -3.0).double(), effects**2, node**2,
        sources, sources, "direct", "logit_diff", 0.95, 0,
    )  # fmt: skip


def by_sparsity() -> hc.Evaluation:
    """Subnetworks at three sparsities."""
    evaluation = MAKERS.evaluation(n=6, n_examples=30)
    kept = []
    for place, item in enumerate(evaluation.subnetworks[1:]):
        some = sorted(item.kept, key=str)[: 38 - 10 * (place // 2)]
        kept.append(hc.Subnetwork(frozenset(some), item.universe))
    return replace(evaluation, subnetworks=(None, *kept))


@cache
def extremes() -> hc.Extremes:
    world = made_world(0)
    return hc.search_extremes(
        world.model, world.data, world.task, "heuristic", 0.5, world.epsilon, world.means, seed=0,
        rows=24, rounds=6, steps=4,
    )  # fmt: skip


def probe_at(site: hc.Site, value: float) -> hc.Probe:
    probe = MAKERS.probe(value)
    scores = {"word_accuracy": Interval(0.6, 0.5, 0.7, 50), **probe.scores}
    return replace(probe, place=(site.layer, site.kind, site.head), scores=scores)


def probe_map() -> ProbeMap:
    sites = [hc.Site(layer, "z", head) for layer in range(6) for head in range(12)]
    sites += [hc.Site.embed(), *(hc.Site(layer, "resid_post") for layer in range(6))]
    values = np.random.default_rng(0).uniform(0.55, 0.97, len(sites))
    return ProbeMap.of([probe_at(site, float(value)) for site, value in zip(sites, values, strict=True)])


def path_probes() -> PathProbes:
    clean = ProbeMap.of([probe_at(hc.Site(3, kind, 7), 0.9) for kind in "qkv"])
    target = clean.places.feature.value
    rng = np.random.default_rng(0)
    good, noise = (target + rng.normal(size=(3, len(target))) * s for s in (0.4, 1.5))
    random = np.stack([good + 0.3 * rng.normal(size=good.shape) for _ in range(3)]).astype(np.float32)
    senders = ((hc.Head(3, 7), (hc.Head(0, 1), hc.Head(1, 1))),)
    return PathProbes(replace(clean, predicted=good), noise.astype(np.float32), random, senders, (senders,) * 3, "all")


@cache
def attention() -> dict[str, Any]:
    model = attention_model()
    profile = hc.attention_profile(model, attention_texts(8))
    return {"model": model, "profile": profile, "first": "worda wordb wordc", "second": "wordc wordd"}


def over_training() -> hc.OverTraining:
    """The frequency of components in ever fewer subnetworks' cores."""
    steps = (0, 100, 450, 1000, 6500)
    return hc.OverTraining("series", steps, tuple(hc.heuristic_core(MAKERS.subnetworks(6, seed=i)) for i in range(5)))


def effective_sizes(lost: float) -> hc.EffectiveSize:
    """Over three steps, the first with nothing to lose."""
    full = {step: {"a": value} for step, value in ((100, 0.05), (200, 0.8), (300, 0.9))}
    grid = {
        seed: {
            step: {20: {"a": whole["a"]}, 50: {"a": whole["a"] - 0.01}, 70: {"a": whole["a"] - 0.05 + lost * seed}}
            for step, whole in full.items()
        }
        for seed in (0, 1)
    }
    return hc.effective_size(full, grid, ["a"])


def rates() -> pd.DataFrame:
    """How often which answer was given, on worlds whose circuit is known."""
    rows = [
        {"world": world, "core": core, "verdict": verdict, "rate": rate, "low": rate - 0.02, "high": rate + 0.02,
         "n": 50}
        for world, core in (("reads_directly", "true"), ("reads_directly", "searched"), ("does_not_read", "true"))
        for verdict, rate in zip(
            ("reads_from", "does_not_read_from", "inconclusive"),
            (0.9, 0.04, 0.06) if world == "reads_directly" else (0.02, 0.92, 0.06),
            strict=True,
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)
