"""Results as a run would leave them, made up but built through the real classes, so that pictures have data."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from hc_interp.components import MLP, Head, components, is_upstream, universe
from hc_interp.evaluation.result import Evaluation
from hc_interp.evaluation.scores import ScoreRows, Scores
from hc_interp.heads.core import heuristic_core
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.design import Places
from hc_interp.probing.features import FeatureValues
from hc_interp.probing.probe import Probe
from hc_interp.reading.premise_numbers import judged
from hc_interp.reading.premise_result import MODELS, Premises, set_name
from hc_interp.reading.records import DirectionRecord, KindRecord
from hc_interp.reading.specificity import Specificity
from hc_interp.reading.verdict import Verdict
from hc_interp.runs.results import RunResults
from hc_interp.search.result import ROUNDS, MaskSearch
from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.statistics.tests import Interval
from hc_interp.subnetwork import Subnetwork

PROVENANCE = {
    "model": "0123abcd", "model_name": "tiny <test> model", "backend": "transformer_lens", "device": "cpu",
    "data": "4567ef", "settings": {"level": 0.95, "means": "MeanActivations(...)"},
    "versions": {"python": "3.11", "torch": "2.13"},
}  # fmt: skip


def path_effects(senders, receivers, *, n_pairs=40, through=("q", "k", "v"), seed=0, density=0.25, scale=0.05):
    """Every path from senders into receivers; a share `density` of them carries an effect of about `scale`."""
    rng = np.random.default_rng(seed)
    rows, strength = [], []
    for sender in components(senders):
        for receiver in components(receivers):
            for name in through if isinstance(receiver, Head) else ("in",):
                rows.append((str(sender), str(receiver), name))
                live = is_upstream(sender, receiver) and sender != receiver
                size = rng.normal(0.8, 0.8) if rng.random() < density else 0.0
                strength.append((live, size * scale))
    live = np.array([item[0] for item in strength])
    size = np.array([item[1] for item in strength])
    node = -1.5 + 0.2 * rng.normal(size=(n_pairs, 1)) + np.zeros((1, len(rows)))
    noise = rng.normal(size=(n_pairs, len(rows)))
    effects = live * (node * size + 0.01 * scale * noise)
    extent = np.ones_like(effects)
    return PathEffects(
        rows=tuple(rows),
        downstream=tuple(map(bool, live)),
        effects=torch.from_numpy(effects),
        node=torch.from_numpy(node),
        total=torch.from_numpy(-3 + 0.1 * rng.normal(size=n_pairs)),
        explained=torch.from_numpy(effects / -1.5),
        extent=torch.from_numpy(extent),
        sources=tuple(f"premise {i}" for i in range(n_pairs)),
        ids=tuple(map(str, range(n_pairs))),
        route="direct",
        metric="logit_diff",
        level=0.95,
        seed=seed,
    )


CORE = [Head(0, 3), Head(0, 7), Head(1, 1), Head(1, 4), Head(1, 10), Head(2, 2), Head(2, 7), Head(2, 11), Head(3, 6)]
GENERALIZING = [Head(3, 0), Head(4, 3), Head(4, 8), Head(5, 6), Head(5, 11)]


HANS = {
    "lexical_overlap": ("l", ["subject/object_swap", "preposition", "relative_clause", "passive", "conjunction"]),
    "subsequence": ("s", ["NP/S", "PP_on_subject", "relative_clause_on_subject", "past_participle", "NP/Z"]),
    "constituent": ("c", ["embedded_under_if", "after_if_clause", "embedded_under_verb", "disjunction", "adverb"]),
}
CASES = [f"{h}_{c}{label}_{name}" for h, (c, names) in HANS.items() for label in "en" for name in names]


def subnetworks(n=12, n_layers=6, n_heads=12, seed=0):
    rng = np.random.default_rng(seed)
    items = universe(n_layers, n_heads)
    always = set(CORE) | {MLP(0), MLP(3)}
    rest = [item for item in items if item not in always]
    return tuple(
        Subnetwork(frozenset(always | {rest[i] for i in rng.permutation(len(rest))[:28]}), items) for _ in range(n)
    )


def evaluation(n=12, n_examples=60, seed=0, cases=CASES):
    rng = np.random.default_rng(seed)
    kept = subnetworks(n)
    right = {}
    for case in ("validation", *cases):
        level = 0.85 if case == "validation" or "e_" in case[-30:] else 0.4
        level = np.clip(level + 0.25 * rng.normal(size=(n + 1, 1)) * (case != "validation"), 0.02, 0.98)
        right[case] = torch.from_numpy(rng.random((n + 1, n_examples)) < level)
    ids = {case: tuple(f"{case} {i}" for i in range(n_examples)) for case in right}
    return Evaluation(
        names=("full", *map(str, range(n))),
        subnetworks=(None, *kept),
        correct=right,
        kl=torch.from_numpy(rng.random((n + 1, n_examples)) * 0.1),
        ids=ids,
        sources=ids,
        level=0.95,
        seed=0,
        provenance=PROVENANCE,
    )


def mask_search(n=12, steps=120, seed=0):
    rng = np.random.default_rng(seed)
    kept = subnetworks(n)
    rows = []
    for run in range(n):
        for step in range(steps):
            ramp = min(1.0, step / 80)
            kl = (0.01 + 0.3 * ramp * np.exp(-step / 90)) * np.exp(0.3 * rng.normal())
            rows.append((run, step, kl, 0.5 * ramp + 0.01 * rng.normal(), 0.5 * ramp, 0.1 * step, 0.2 * step))
    return MaskSearch(
        subnetworks=kept,
        sparsities=(0.5,) * (n // 2) + (0.7,) * (n - n // 2),
        seeds=tuple(range(n)),
        log_alpha=torch.from_numpy(rng.normal(size=(n, 78))),
        history=pd.DataFrame(rows, columns=["run", "step", "kl", "expected_sparsity", "hard_sparsity", "l1", "l2"]),
        exchanges=pd.DataFrame([(0, 0, 128, 0.1, 0.08, 2)], columns=ROUNDS),
        kl_per_example=torch.from_numpy(rng.random((n, 50)) * 0.1),
        agrees=torch.from_numpy(rng.random((n, 50)) < 0.95),
        settings={"steps": steps},
        provenance=PROVENANCE,
    )


def subnetwork_sample(chains=8, draws=50, n_layers=6, n_heads=12, seed=0):
    """Of half of all components: the MLPs and three heads are in every mask, one head nearly."""
    rng = np.random.default_rng(seed)
    items = universe(n_layers, n_heads)
    weight = rng.normal(0, 1.5, len(items))
    weight[[i for i, item in enumerate(items) if isinstance(item, MLP) or item in CORE[:3]]] = 50
    weight[items.index(CORE[3])] = 6
    n_kept = len(items) // 2
    noise = rng.gumbel(size=(3, chains, draws, len(items)))
    order = np.argsort(-(weight + noise), axis=-1)[..., :n_kept]
    masks = np.zeros_like(noise, dtype=bool)
    np.put_along_axis(masks, order, True, axis=-1)
    spared = [0.3 if value == 50 else 0.08 for value in weight]
    return SubnetworkSample(
        universe=items,
        sparsity=0.5,
        epsilon=0.02,
        best=Subnetwork([item for item, kept in zip(items, masks[0, 0, 0], strict=True) if kept], items),
        best_loss=0.075,
        multiples=(0.5, 1.0, 2.0),
        masks=torch.from_numpy(masks),
        losses=torch.from_numpy(rng.uniform(0.075, 0.085, (3, chains, draws))),
        without=pd.DataFrame(
            {"component": map(str, items), "loss": spared, "repairs": [3 * (loss > 0.1) for loss in spared]}
        ),
        without_masks=torch.from_numpy(~np.eye(len(items), dtype=bool)),
        fresh=pd.DataFrame({"loss": [0.08], "fresh_loss": [0.082], "standard_error": [0.004]}),
        steps=pd.DataFrame({"bound": [0.085], "swaps": [4], "accepted": [0.3], "exchanged": [0.2]}),
    )  # fmt: skip


def standing_in(sample):
    """The sample with two pairs: L0H0 or L1H1 is in a mask, never both, and L1H1 is never without L2H2."""
    place = [sample.universe.index(Head(layer, layer)) for layer in range(3)]
    others = [i for i in range(len(sample.universe)) if i not in place]
    masks, n_kept = torch.zeros_like(sample.masks), int(sample.masks[0, 0, 0].sum())
    rng = np.random.default_rng(0)
    for chain in range(masks.shape[1]):
        for draw in range(masks.shape[2]):
            kept = place[:1] if (chain + draw) % 2 else place[1:]
            masks[:, chain, draw, [*kept, *rng.choice(others, n_kept - len(kept), replace=False).tolist()]] = True
    return replace(sample, masks=masks)


def interval(value, half=0.03, n=64):
    return Interval(value, value - half, value + half, n)


def specific(s=0.6, r_g=0.5, seed=0):
    rng = np.random.default_rng(seed)
    heads = tuple(Head(4, i) for i in range(10))
    is_g = np.array([head in GENERALIZING for head in heads])
    response = np.where(is_g, r_g, r_g * (1 - s)) + 0.05 * rng.normal(size=len(heads))
    return Specificity(
        D=interval(s * r_g),
        S=interval(s, 0.1),
        R_G=interval(r_g),
        R_O=interval(r_g * (1 - s)),
        p_D=0.01,
        labellings=120,
        covered=0.9,
        left_out={},
        heads=heads,
        response=response,
        extent=rng.random(len(heads)),
        is_G=is_g,
    )


def direction_record(t, seed=0, why=""):
    rng = np.random.default_rng(seed)
    pairs = {name: rng.normal(size=64) for name in ("node", "total")}
    arms = {"means": interval(t), "zero": interval(0.8 * t, 0.1), "donors": interval(0.9 * t, 0.06)}
    return DirectionRecord(
        why=why,
        routes={"all": interval(t), "mlps": interval(0.7 * t), "direct": interval(0.3 * t, 0.02)},
        p=0.005,
        n_labellings=199,
        exhaustive=False,
        null=rng.normal(0.03, 0.02, size=199),
        size_controls=rng.normal(0.05, 0.03, size=60),
        size_limit=0.11,
        size_ratio=0.7,
        important=(Head(2, 0), Head(2, 1)),
        important_T=0.8 * t,
        specificity={route: specific(seed=seed) for route in ("all", "mlps", "direct")},
        node_effect=interval(-1.5, 0.2),
        sender_change=0.4,
        necessity=arms,
        sufficiency=arms,
        effects={route: rng.normal(size=64) for route in ("all", "mlps", "direct")},
        **pairs,
        sources=tuple(f"premise {i}" for i in range(64)),
        ids=tuple(map(str, range(64))),
        dropped=2,
        units={"source": 64, "verb": 16},
        few={"template": 1},
    )


def kind_record(kind, t, seed=0, why=""):
    directions = {"as_is": direction_record(t, seed, why), "reversed": direction_record(1.2 * t, seed + 1, why)}
    return KindRecord(kind, directions, "reads_specifically", "specific")


def verdict(edges, **changes):
    found = {
        "answer": "inconclusive", "reason": "premises not checked", "reading": "reads_specifically",
        "reading_reason": "specific", "kinds": ("order",), "premises": None,
        "records": {"order": kind_record("order", 0.42), "overlap": kind_record("overlap", 0.2, 1)},
        "p_holm": {"order": 0.01, "overlap": 0.01}, "edges": edges, "edges_kind": "order", "core": tuple(CORE),
        "generalizing": tuple(GENERALIZING), "relay": (), "unread": (),
        "settings": {"margin": 0.05, "delta": 0.3, "alpha": 0.05, "level": 0.95, "metric": "logit_diff"},
        "provenance": PROVENANCE,
    }  # fmt: skip
    return Verdict(**{**found, **changes})


def probe(auc, control=0.62, seed=0, feature="token_overlap"):
    rng = np.random.default_rng(seed)
    scores = {"accuracy": interval(auc - 0.05), "auc": interval(auc), "word_auc": interval(0.66)}
    scores |= {"control_auc": interval(control), "shuffled_auc": interval(0.5), "selectivity": interval(auc - control)}
    whole = np.arange(50)
    values = FeatureValues(feature, "token", "binary", whole, whole, rng.integers(0, 2, 50) * 1.0, ("word",) * 50)
    return Probe(
        place=(3, "v", 7), scores=scores, weights=torch.from_numpy(rng.normal(size=32)), intercept=0.1, penalty=1.0,
        predicted=rng.normal(size=50), places=Places(values, whole, whole % 5, tuple(map(str, whole))), seed=0,
        level=0.95, provenance=PROVENANCE,
    )  # fmt: skip


def scores(names, n=8, seed=0, overlap=True):
    """Scores of systems on two cases, their pairs and in domain; systems separate the cases by different amounts."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0, 2, (len(names), 1))
    gold = np.arange(6 * n) % 2 == 0

    def rows(name, shift, n, gold, pairs=False):
        levels = {"source": np.arange(n, dtype=np.int32)[:, None] + 1000 * len(name)}
        s, other = (rng.normal(size=(len(names), n)) + shift * k for k in (1, 0))
        return ScoreRows(s, gold, levels, tuple(f"{name} {i}" for i in range(n)), other if pairs else None)

    blocks = {"in domain": rows("in domain", 3 * gold, len(gold), gold)}
    blocks |= {"case easy": rows("easy", size, n, np.full(n, True)), "case hard": rows("hard", 0, n, np.full(n, False))}
    blocks |= {"order hard": rows("order", size, 2 * n, np.full(2 * n, True), pairs=True)}
    if overlap:
        blocks |= {"overlap hard": rows("overlap", 1, 2 * n, np.full(2 * n, False), pairs=True)}
    return Scores(tuple(names), {"word <overlap>": (("easy",), ("hard",))}, blocks, 0.95, seed)


def premises(overlap=True, n=25):
    """Premises whose systems have random scores, with the answers that the rules give to them."""
    pools = {kind: universe(6, 12, mlps=False)[place:] for kind, place in (("within layers", 0), ("disjoint", 30))}
    sets = {kind: tuple(tuple(pool[i : i + 3]) for i in range(n)) for kind, pool in pools.items()}
    with_sets = [set_name(change, kind, i) for kind in sets for i in range(n) for change in ("loss", "gain")]
    on_all, on_few = scores(MODELS, 20, overlap=overlap), scores([*MODELS, *with_sets], seed=1, overlap=overlap)
    found = judged(on_all, on_few, None, "word <overlap>", sets, True)
    return Premises(
        heuristic="word <overlap>", by=found.by, **found.answers, reasons=found.reasons, numbers=found.numbers,
        core=tuple(CORE), generalizing=tuple(GENERALIZING), sets=sets, scores=on_all, set_scores=on_few,
        notes=("a note",), settings={"n_sets": n}, provenance=PROVENANCE,
    )  # fmt: skip


def generalizing_heads():
    rng = np.random.default_rng(0)
    rows = [
        {"head": str(head), "layer": head.layer, "node_effect": rng.normal(), "p": rng.random(), "q": rng.random()}
        | {"passes": head in GENERALIZING, "upstream_core": 3}
        for head in universe(6, 12, mlps=False)
        if head not in CORE
    ]
    return GeneralizingHeads(
        heads=tuple(GENERALIZING), relay=(), core=tuple(CORE), method="contrast", cases=tuple(CASES[:2]),
        select_sources=("a", "b"), table=pd.DataFrame(rows), provenance=PROVENANCE,
    )  # fmt: skip


@cache
def parts_of_a_run():
    """Made once: their intervals are bootstrapped when first asked for."""
    edges = path_effects(CORE, GENERALIZING)
    return {
        "manifest": {"question": "Do they?", "settings": {"demo": True, "pairs": 64, "seed": 0}, "seconds": 72.5},
        "search": mask_search(), "evaluation": evaluation(), "core": heuristic_core(subnetworks()),
        "generalizing": generalizing_heads(), "edges": edges, "verdict": verdict(edges),
        "probes": {"L3H7 v, clean": probe(0.88), "L3H7 v, core paths cut": probe(0.71, seed=1)},
    }  # fmt: skip


def run_results(**changes):
    return RunResults(**{**parts_of_a_run(), **changes})


MAKERS = SimpleNamespace(
    edges=path_effects, subnetworks=subnetworks, evaluation=evaluation, search=mask_search, record=kind_record,
    verdict=verdict, probe=probe, premises=premises, generalizing=generalizing_heads, run=run_results,
    core=heuristic_core, cases=CASES, sample=subnetwork_sample,
)  # fmt: skip
