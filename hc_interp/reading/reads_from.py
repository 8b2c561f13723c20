"""`hc.reads_from`: a test of whether the generalizing heads read from the heuristic core, which can also answer no."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hc_interp.components import HeadNames
from hc_interp.data.contrast import ContrastPairs
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
from hc_interp.reading.decision import Decision, decide
from hc_interp.reading.defaults import MARGIN, PERMUTATIONS
from hc_interp.reading.one_kind import MIN_NODE_EFFECT, MIN_SENDER_CHANGE, MIN_SOURCES, PERCENTILE, KindTest
from hc_interp.reading.verdict import KindRecord, Verdict
from hc_interp.records.provenance import provenance
from hc_interp.statistics.samples import check_level
from hc_interp.torch_modes import own_torch_modes

ROUTE_IN_WORDS = {"direct": "direct", "mlps": "through MLPs", "all": "through other heads"}  # shortest first


@own_torch_modes
def reads_from(
    model: HookedModel,
    pairs: ContrastPairs | Mapping[str, ContrastPairs],
    *,
    core: HeadNames,
    generalizing: HeadNames,
    means: MeanActivations | None = None,
    donors: Donors | None = None,
    routes: Sequence[str] = ("all", "direct", "mlps"),
    n_permutations: int = PERMUTATIONS,
    n_size_controls: int = 39,
    margin: float = MARGIN,
    alpha: float = 0.05,
    level: float = 0.95,
    metric: str | Metric = "logit_diff",
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> Verdict:
    """Test whether the output of the generalizing heads depends on what the core heads send.

    `pairs` are test pairs of one kind, or a dict of kinds. `core` and `generalizing` are results or lists of heads.
    A head's `z` is its output before the output projection, |dz| the distance between its corrupt and its clean `z`.

    The statistic T is a ratio of two sums over pairs. Its numerator is the change of the metric, against the clean run,
    when all core heads are patched into all generalizing heads. Its denominator, the *node effect*, is the change when
    the generalizing heads' `z` are set to their corrupt values. T = 1: all that the generalizing heads contribute to
    the change comes from the core; T = 0: none of it does. T on route "all" decides. T on "direct" and "mlps" only
    locates the effect.

    - Null: the core is relabelled within each layer among all heads that are not generalizing. All labellings are used
      when there are fewer than `n_permutations`, otherwise that many random ones. Null and controls are measured on
      route "all".
    - Size controls: up to `n_size_controls` sets of other heads that match the core head by head in layer and |dz|. T
      must exceed their 95th percentile. The T of a set with less |dz| than the core is scaled up first. The controls
      guard against a core that was chosen for its size. They are a rough guard where the core has the largest heads of
      its layers (`size_ratio` below 1). A layer with fewer other heads than core heads allows no control, and the
      answer is then never reads_from.
    - A kind is informative if its pairs come from at least 10 sources (the units of the bootstrap), the core's sum |dz|
      is at least 1 % of its sum |z|, and the absolute node effect is at least 0.05 in the metric.
    - Necessity and sufficiency are taken under means, zero and donors of both sides (`necessity.shares_under`). Where
      two of these replacements give necessity opposite signs, the answer stays open.
    - Specificity, T into other heads that are neither core nor generalizing, is reported and does not decide.
    - Generalizing heads without a core head upstream stay among the labellings. If relabelled cores with such heads
      reach T, p is large and the answer stays open ("significance"). `edges` do not show these heads: `path_effects`
      does.
    - `decision.decide` answers by `margin` (a share of the node effect) and `alpha`. Intervals at `level` are expanded
      percentile bootstraps over sources.

    Core heads after the last generalizing head, and generalizing heads without a core head upstream, take no part. The
    verdict is inconclusive if no generalizing head is left. Raises `DataError` for pairs that chose the generalizing
    heads (split "select", or a common source), `ComponentError` for heads that are both core and generalizing or not
    the model's, `AlignmentError` for unaligned pairs, `HCError` for other arguments.

    What the verdict does not show: a core of important heads has a high T whatever it computes. The test does not check
    that the model generalizes, that the core follows the heuristic, or that the other heads carry generalization.
    """
    _check_arguments(routes, n_permutations, n_size_controls, margin, alpha, level)
    kinds = _kinds_of(pairs)
    _refuse_selection_pairs(kinds, generalizing)
    roles = HeadRoles.of(model, core, generalizing)
    warn_below_float32(model.dtype, model.name, "reads_from")
    for source in (means, donors):
        if source is not None:
            check_source(source, model)
    before = model.check_interventions(interventions)
    name = metric if isinstance(metric, str) else getattr(metric, "__name__", "custom")
    settings = {
        "margin": margin, "alpha": alpha, "level": level, "routes": tuple(routes), "metric": name,
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
    if not roles.generalizing or not roles.core:
        reason = "no core upstream" if roles.relay else "no generalizing heads"
        no_numbers: dict[str, Any] = {"records": {}, "p_holm": {}, "edges": None, "edges_kind": "", "via": ""}
        return Verdict(answer="inconclusive", reason=reason, kinds=(), notes=roles.notes, **no_numbers, **common)
    test = KindTest(
        model, roles.core, roles.unread, roles.generalizing, means, donors, tuple(dict.fromkeys(routes)),
        n_permutations, n_size_controls, level, metric, tuple(before), batch_size, seed,
    )  # fmt: skip
    records = {kind: test.record(kind, part) for kind, part in kinds.items()}
    decision = decide([record.evidence for record in records.values()], margin=margin, alpha=alpha)
    # Edges are measured on a kind that showed the reading, else on an informative kind, else on the first.
    edges_kind = [*decision.kinds, *(kind for kind, record in records.items() if not record.why), *records][0]
    return Verdict(
        answer=decision.answer,
        reason=decision.reason,
        kinds=decision.kinds,
        via=_via(decision, records, margin),
        records=records,
        p_holm=decision.p_holm,
        edges=_edges(test, kinds[edges_kind]),
        edges_kind=edges_kind,
        notes=(*roles.notes, *(f"{kind}: {note}" for kind, record in records.items() for note in record.notes)),
        **common,
    )


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
    routes: Sequence[str], n_permutations: int, n_size_controls: int, margin: float, alpha: float, level: float
) -> None:
    if isinstance(routes, str) or "all" not in routes or set(routes) - set(ROUTES):
        raise HCError(
            f"routes={routes!r} was given. Expected a tuple of some of {', '.join(ROUTES)}, 'all' among them, because "
            "it decides; leave routes= out for all three."
        )
    for name, value in (("n_permutations", n_permutations), ("n_size_controls", n_size_controls)):
        if isinstance(value, bool) or value != int(value) or value < 1:
            raise HCError(f"{name}={value!r} was given. Expected a whole number from 1; 199 and 39 are the defaults.")
    if not 0 < alpha < 1 or not 0 < margin < 1:
        raise HCError(
            f"margin={margin!r} and alpha={alpha!r} were given. Expected shares between 0 and 1; 5 % is 0.05."
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


def _via(decision: Decision, records: Mapping[str, KindRecord], margin: float) -> str:
    """The shortest route on which a kind that showed the reading has its whole interval above the margin, in words.

    It is "" unless the answer is reads_from, and where a shorter route was not measured.
    """
    for route, name in ROUTE_IN_WORDS.items():
        intervals = [records[kind].routes.get(route) for kind in decision.kinds]
        if decision.answer != "reads_from" or None in intervals:
            return ""
        if any(interval is not None and interval.low > margin for interval in intervals):
            return name
    return ""


def _edges(test: KindTest, pairs: ContrastPairs) -> PathEffects:
    """The path effect of each core head on each generalizing head through each of q, k, v, for a circuit diagram."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HCWarning)  # `reads_from` has warned of low precision already
        return path_effects(
            test.model, pairs, test.core, test.receivers, "each", route="direct", metric=test.metric,
            interventions=test.interventions, batch_size=test.batch_size, level=test.level, seed=test.seed,
        )  # fmt: skip
