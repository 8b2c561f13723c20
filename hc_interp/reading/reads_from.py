"""`hc.reads_from`: a test of whether the generalizing heads read from the heuristic core, which can also answer no."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hc_interp.components import HeadNames
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.errors import ComponentError, DataError, HCError, HCWarning
from hc_interp.heads.sets import Heads, head_set, split_relay
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import MeanActivations
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.sources import check_source
from hc_interp.metrics import Metric
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.precision import dtype_name, warn_below_float32
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.path_effects import path_effects
from hc_interp.reading.decision import (
    AS_IS,
    REVERSED,
    Decision,
    Directions,
    Found,
    Reading,
    Rule,
    answer,
    decide,
)
from hc_interp.reading.defaults import DELTA, MARGIN, PERMUTATIONS
from hc_interp.reading.one_direction import (
    MIN_NODE_EFFECT,
    MIN_SENDER_CHANGE,
    MIN_SOURCES,
    PERCENTILE,
    DirectionTest,
)
from hc_interp.reading.premises import Premises
from hc_interp.reading.premises import premises as check_premises
from hc_interp.reading.records import DirectionRecord, KindRecord
from hc_interp.reading.verdict import Verdict
from hc_interp.records.provenance import provenance
from hc_interp.statistics.samples import check_level
from hc_interp.torch_modes import own_torch_modes


@own_torch_modes
def reads_from(
    model: HookedModel,
    pairs: ContrastPairs | Mapping[str, ContrastPairs],
    *,
    core: HeadNames,
    generalizing: HeadNames,
    task: Task | None = None,
    premises: Premises | None = None,
    heuristic: str | None = None,
    means: MeanActivations | None = None,
    donors: Donors | None = None,
    routes: Sequence[str] = ("all", "direct", "mlps"),
    n_permutations: int = PERMUTATIONS,
    n_size_controls: int = 39,
    margin: float = MARGIN,
    delta: float = DELTA,
    alpha: float = 0.05,
    level: float = 0.95,
    metric: str | Metric = "logit_diff",
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> Verdict:
    """Test whether the generalizing heads read from the core, and more than other heads of their layers do.

    `pairs` are test pairs of one kind, or a dict of kinds. `core` and `generalizing` are results or lists of heads.
    With `task` (and `means`) the premises of the claim are checked by `hc.premises`: that the model generalizes, that
    the core alone follows the heuristic, and that the other heads carry generalization. `premises` are these, already
    checked. `heuristic` names which of the task's heuristics they are about (by default that of the pairs' case).
    Without both the answer is "inconclusive", and the reading stands beside it.

    Every number is taken on the pairs as they are and reversed, because a direction is a choice that nobody made. A
    head's `z` is its output before the output projection, |dz| the distance between its corrupt and its clean `z`.

    - *T* is a ratio of two sums over pairs. Its numerator is the change of the metric, against the clean run, when all
      core heads are patched into all generalizing heads. Its denominator, the *node effect*, is the change when the
      generalizing heads' `z` are set to their corrupt values. T on route "all" decides; the other
      `routes`, "direct" and "mlps", locate it.
    - *Null of T*: the core is relabelled within each layer among all heads that are not generalizing. All labellings
      are used when there are at most `n_permutations`, otherwise that many others, drawn at random.
    - *Size controls*: up to `n_size_controls` sets of other heads that match the core head by head in layer and |dz|. T
      must exceed their 95th percentile. The T of a set with less |dz| than the core is scaled up first. They are a
      rough guard where the core has the largest heads of its layers (`size_ratio` below 1). A layer with fewer other
      heads than core heads allows no control, and T is then never shown.
    - *D* and *S* (`reading.specificity`): the mean response of the generalizing heads to the core, R(G), less that of
      the other heads of their layers, R(O); and D / R(G), the share of the response that others do not have. p of D
      permutes who is called generalizing within layers. T and its p alone never say that reading is special: any
      important set of heads has a high T. `important_T`, of the heads with the largest node effects, shows it.
    - A kind is informative if in both directions its pairs come from at least 10 sources, the core's sum |dz| is at
      least 1 % of its sum |z|, and the absolute node effect is at least 1 % of the mean absolute metric of clean runs.
    - Necessity and sufficiency are taken under means, zero and donors of both sides (`necessity.shares_under`), and
      reported.
    - Intervals at `level` count sources and every unit of `pairs.units` as dependent (`statistics.units`).

    `decision.decide` gives the reading by `margin` (a share of the node effect), `delta` (a share of R(G)) and `alpha`:

    - "reads_specifically": T is shown (significant, above the size controls, its interval above the margin), p of D is
      at most alpha, and the intervals of S and R(G) are above `delta` and above the margin. Any kind may show it, so
      S's interval is widened for the number of kinds (`Specificity.S_over_kinds`).
    - "shared_trunk": T is shown, R(O)'s interval is above the margin and S's whole interval, widened in the same way,
      is below `delta`.
    - "specificity_open": T is shown, else.
    - "does_not_read_from": T's whole interval is inside the margin.
    - "inconclusive": anything else.

    `decision.answer` gives the answer: "premise_fails" if a premise does; "shared_trunk" or "does_not_read_from" as the
    reading is; "reads_from" if all premises hold and the reading is specific; else "inconclusive".

    Core heads after the last generalizing head, and generalizing heads without a core head upstream, take no part in
    the paths (the latter stay among the labellings, and count as generalizing heads in the premises). Raises
    `DataError` for pairs that chose the generalizing heads (split "select", or a common source), `ComponentError` for
    heads that are both core and generalizing or not the model's, `AlignmentError` for unaligned pairs, `HCError` for
    other arguments.

    What the verdict does not show: how training made the model so, and anything about other words, templates, metrics
    or corruptions than these pairs have.
    """
    _check_arguments(routes, n_permutations, n_size_controls, margin, delta, alpha, level)
    kinds = _kinds_of(pairs)
    _refuse_selection_pairs(kinds, generalizing)
    roles = HeadRoles.of(model, core, generalizing)
    warn_below_float32(model.dtype, model.name, "reads_from")
    for source in (means, donors):
        if source is not None:
            check_source(source, model)
    before = model.check_interventions(interventions)
    checked = premises
    if checked is None and task is not None:
        checked = check_premises(
            model, task, core, generalizing, _needed(means),
            heuristic=heuristic or _heuristic_of(task, kinds), interventions=before, level=level,
            batch_size=batch_size, seed=seed,
        )  # fmt: skip
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", "custom")
    settings = {
        "margin": margin, "delta": delta, "alpha": alpha, "level": level, "routes": tuple(routes), "metric": name,
        "n_permutations": n_permutations, "n_size_controls": n_size_controls, "size_percentile": PERCENTILE,
        "min_sender_change": MIN_SENDER_CHANGE, "min_node_effect": MIN_NODE_EFFECT, "min_sources": MIN_SOURCES,
        "batch_size": batch_size, "seed": seed,
    }  # fmt: skip
    source_of = provenance(
        model,
        "+".join(part.fingerprint() for part in kinds.values()),
        **settings,
        interventions=before,
    )
    common = {**roles.fields, "settings": settings, "provenance": source_of, "dtype": dtype_name(model.dtype)}
    common["premises"] = checked
    words = None if checked is None else checked.answers
    if not roles.generalizing or not roles.core:
        reason = "no core upstream" if roles.relay else "no generalizing heads"
        no_numbers: dict[str, Any] = {"kinds": (), "records": {}, "p_holm": {}, "edges": None, "edges_kind": ""}
        return Verdict(**_answered("inconclusive", reason, words), notes=roles.notes, **no_numbers, **common)
    test = DirectionTest(
        model, len(kinds), roles.core, roles.unread, roles.generalizing, means, donors, tuple(dict.fromkeys(routes)),
        n_permutations, n_size_controls, margin, level, metric, tuple(before), batch_size, seed,
    )  # fmt: skip
    measured = {kind: _directions(test, part, kind) for kind, part in kinds.items()}
    decision = decide(_evidence(measured), Rule(margin, delta, alpha))
    records = {kind: _kind_record(kind, found, decision) for kind, found in measured.items()}
    # Edges are measured on a kind that supports the reading, else on an informative kind, else on the first.
    edges_kind = [*decision.kinds, *(kind for kind, record in records.items() if not record.why), *records][0]
    return Verdict(
        **_answered(decision.reading, decision.reason, words),
        kinds=decision.kinds,
        records=records,
        p_holm=decision.p_holm,
        edges=_edges(test, kinds[edges_kind]),
        edges_kind=edges_kind,
        notes=(*roles.notes, *(f"{kind}: {note}" for kind, record in records.items() for note in record.notes)),
        **common,
    )


def _directions(test: DirectionTest, pairs: ContrastPairs, kind: str) -> dict[str, DirectionRecord]:
    """The record of each direction; only "as_is" where the corrupt side has no labels, so that nothing is reversed."""
    found = {AS_IS: test.record(pairs, f"{kind}, as they are")}
    if pairs.reversible:
        found[REVERSED] = test.record(pairs.reversed(), f"{kind}, reversed")
    return found


def _evidence(measured: Mapping[str, Mapping[str, DirectionRecord]]) -> dict[str, Directions]:
    return {kind: {name: part.evidence for name, part in found.items()} for kind, found in measured.items()}


def _kind_record(kind: str, found: dict[str, DirectionRecord], decision: Decision) -> KindRecord:
    own = decision.by_kind.get(kind, Found("inconclusive", "uninformative"))
    return KindRecord(kind, found, own.reading, own.reason)


def _answered(reading: Reading, reason: str, premises: Mapping[str, str] | None) -> dict[str, Any]:
    """The fields of a verdict for the reading and for the answer."""
    word, why = answer(reading, reason, premises)
    return {"answer": word, "reason": why, "reading": reading, "reading_reason": reason}


def _needed(means: MeanActivations | None) -> MeanActivations:
    if means is None:
        raise HCError(
            "task= was given without means=, so the premises cannot be checked: nothing says what removed heads give "
            "instead. Pass means=hc.mean_activations(model, task.train), or leave task= out."
        )
    return means


def _heuristic_of(task: Task, kinds: Mapping[str, ContrastPairs]) -> str | None:
    """The task's heuristic to whose cases the pairs belong, by their ids; None where the ids do not tell."""
    ids = {name for part in kinds.values() for name in part.ids or ()}
    for heuristic, cases in task.heuristics.items():
        if any(ids & set(task.case(case).id) for part in cases for case in part):
            return heuristic
    return None


@dataclass(frozen=True)
class HeadRoles:
    """The heads of the test by role: `core` sends and `generalizing` receives.

    `relay` are generalizing heads without a core head upstream, `unread` core heads after the last generalizing head.
    Neither take part in the test.
    """

    core: Heads
    generalizing: Heads
    relay: Heads
    unread: Heads
    notes: tuple[str, ...]

    @classmethod
    def of(cls, model: HookedModel, core: HeadNames, generalizing: HeadNames) -> "HeadRoles":
        core_heads, receiving = head_set(model, core, "core"), head_set(model, generalizing, "generalizing")
        if common := sorted(set(core_heads) & set(receiving)):
            raise ComponentError(
                f"{', '.join(map(str, common))}: both core and generalizing. Generalizing heads are heads outside the "
                "core; take each out of one of the two."
            )
        readers, relay = split_relay(receiving, core_heads)
        earlier_relay = head_set(model, getattr(generalizing, "relay", ()), "generalizing.relay")
        last = max((head.layer for head in readers), default=0)
        notes = [f"generalizing heads: {note}" for note in getattr(generalizing, "notes", ())]
        if getattr(generalizing, "select_sources", None) is None:
            notes.append("the generalizing heads are a plain list: whether these pairs chose them is not known")
        read = tuple(head for head in core_heads if head.layer < last)
        unread = tuple(head for head in core_heads if head not in read)
        return cls(read, readers, tuple(sorted({*relay, *earlier_relay})), unread, tuple(notes))

    @property
    def fields(self) -> dict[str, Heads]:
        return {"core": self.core, "generalizing": self.generalizing, "relay": self.relay, "unread": self.unread}


def _check_arguments(
    routes: Sequence[str],
    n_permutations: int,
    n_size_controls: int,
    margin: float,
    delta: float,
    alpha: float,
    level: float,
) -> None:
    if isinstance(routes, str) or "all" not in routes or set(routes) - set(ROUTES):
        raise HCError(
            f"routes={routes!r} was given. Expected a tuple of some of {', '.join(ROUTES)}, 'all' among them, because "
            "it decides; leave routes= out for all three."
        )
    for name, value in (("n_permutations", n_permutations), ("n_size_controls", n_size_controls)):
        if isinstance(value, bool) or value != int(value) or value < 1:
            raise HCError(f"{name}={value!r} was given. Expected a whole number from 1; 199 and 39 are the defaults.")
    if not all(0 < share < 1 for share in (margin, delta, alpha)):
        raise HCError(
            f"margin={margin!r}, delta={delta!r} and alpha={alpha!r} were given. Expected shares between 0 and 1; 5 % "
            "is 0.05."
        )
    check_level(level)


def _kinds_of(pairs: ContrastPairs | Mapping[str, ContrastPairs]) -> dict[str, ContrastPairs]:
    """Pairs by kind. A single `ContrastPairs` is named by its own kind, or "given" where it has none."""
    kinds = {pairs.kind or "given": pairs} if isinstance(pairs, ContrastPairs) else pairs
    if not isinstance(kinds, Mapping) or not kinds or not all(isinstance(p, ContrastPairs) for p in kinds.values()):
        raise DataError(
            f"pairs were given as {type(pairs).__name__} {'' if pairs else '(empty)'}. Expected ContrastPairs or a "
            "dict of kind: ContrastPairs, like {'order': task.contrast_pairs(case, 'order', split='test')}."
        )
    return {str(kind): part for kind, part in kinds.items()}


def _refuse_selection_pairs(kinds: Mapping[str, ContrastPairs], generalizing: HeadNames) -> None:
    select_sources: Iterable[str] | None = getattr(generalizing, "select_sources", None)
    for kind, part in kinds.items():
        if part.split == "select":
            raise DataError(
                f"The {kind} pairs are of the 'select' split, which is there to choose heads; a test on them would "
                "find what was chosen. Pass task.contrast_pairs(case, kind, split='test')."
            )
        if common := set(select_sources or ()) & set(part.sources):
            raise DataError(
                f"{len(common)} of the {len(set(part.sources))} sources of the {kind} pairs chose the generalizing "
                f"heads (first: {min(common)!r}); a test on them would find what was chosen. Pass pairs of other "
                "sources: task.contrast_pairs(case, kind, split='test')."
            )


def _edges(test: DirectionTest, pairs: ContrastPairs) -> PathEffects:
    """The path effect of each core head on each generalizing head through each of q, k, v, for a circuit diagram."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HCWarning)  # `reads_from` has warned of low precision already
        return path_effects(
            test.model, pairs, test.core, test.receivers, "each", route="direct", metric=test.metric,
            interventions=test.interventions, batch_size=test.batch_size, level=test.level, seed=test.seed,
        )  # fmt: skip
