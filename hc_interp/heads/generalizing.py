"""`hc.generalizing_heads`: the heads outside the core that carry generalization, by one kind of evidence or another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hc_interp.components import Head
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.heads import by_ablation, by_contrast, by_presence
from hc_interp.heads.defaults import KINDS
from hc_interp.heads.evidence import EvidenceRequest, method_named
from hc_interp.heads.sets import Heads, all_heads, head_set, n_upstream, split_relay
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.records.provenance import provenance
from hc_interp.records.result import Result
from hc_interp.torch_modes import own_torch_modes

FILES = (by_contrast, by_presence, by_ablation)  # each registers its kind of evidence when it is imported


@dataclass(frozen=True, eq=False)
class GeneralizingHeads(Result):
    """Heads outside the core that pass: `heads` with a core head upstream, `relay` without one.

    `select_sources` are the sources of the data that chose them: `reads_from` refuses pairs of these. `table` holds the
    evidence of every candidate. That a head passes says that it carries the difference on this data, not that it alone
    does, nor where it gets it from.
    """

    heads: tuple[Head, ...]
    relay: tuple[Head, ...]
    core: tuple[Head, ...]
    method: str
    cases: tuple[str, ...]
    select_sources: tuple[str, ...]
    table: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """A row per head outside the core: `head layer`, the method's columns, `p q passes upstream_core`."""
        return self.table.copy()

    def beside(self, *others: "GeneralizingHeads") -> pd.DataFrame:
        """This evidence and that of other methods, side by side: a row per head outside the core.

        `head layer upstream_core`, each method's columns under its name (`contrast_share`, `ablation_excess`, ...), and
        `passed_by`, how many of them it passes. Methods answer different questions, on different data: a head that all
        pass is not surer by a factor that their q values would give. Raises `HCError` for other cores or a method
        given twice.
        """
        given = (self, *others)
        methods = [found.method for found in given]
        n_cores = len({found.core for found in given})
        if n_cores > 1 or len(set(methods)) < len(methods):
            raise HCError(
                f"Evidence by {', '.join(methods)} was given, of {n_cores} cores. Expected different methods on one "
                "core: generalizing_heads(..., core=core, method=...)."
            )
        places = ["head", "layer", "upstream_core"]
        tables = [found.table.set_index(places).add_prefix(f"{found.method}_") for found in given]
        frame = pd.concat(tables, axis=1)
        passed = frame[[f"{method}_passes" for method in methods]].sum(axis=1).astype(int)
        return frame.assign(passed_by=passed).reset_index()

    def __repr__(self) -> str:
        return (
            f"GeneralizingHeads({len(self.heads)} of {len(self.table)} candidates by {self.method}: "
            f"{', '.join(map(str, self.heads)) or 'none'}; relay: {', '.join(map(str, self.relay)) or 'none'})"
        )


@own_torch_modes
def generalizing_heads(
    model: HookedModel,
    task: Task,
    *,
    core: Any,
    found: Any = None,
    means: MeanActivations | None = None,
    cases: Sequence[str] | None = None,
    method: str = "contrast",
    kinds: Sequence[str] = KINDS,
    margin: float = 0.01,
    alpha: float = 0.05,
    max_pairs: int = 512,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> GeneralizingHeads:
    """Find the heads outside `core` that carry generalization.

    Only sources of the "select" split are looked at, so that the "test" split is left for `reads_from`. A head passes
    when its q (Benjamini-Hochberg over heads) is at most `alpha` and its effect reaches `margin`.

    - `"contrast"`: the head's node effect (its `z` set to corrupt in a clean run) on at most `max_pairs` pairs of these
      `kinds`, of all cases that have them, pooled; sign-flip test over sources; of the sign of the total effect and at
      least `margin` of it. None passes where the model gets both sides of fewer than 10 % of these pairs right (at
      floor).
    - `"presence"`: over the subnetworks of `found`, the correlation of the head's presence with their accuracy on
      `cases` (needs `means`), among those of one size; one-sided permutation test; those with it are better by at least
      `margin`.
    - `"ablation"`: ablating it (needs `means`) costs more accuracy on `cases` than on `task.validation`, by at least
      `margin`; one-sided permutation test over sources.

    `cases` default to all of the task's. For presence and ablation choose those that the heuristic gets wrong: on the
    others a head that generalizes has nothing to show. Raises `HCError` for a method or argument that does not fit,
    `DataError` for a task without the data that the method needs.
    """
    gather = method_named(method)
    if not 0 < alpha < 1 or not 0 <= margin < 1 or max_pairs < 1:
        raise HCError(
            f"margin={margin!r}, alpha={alpha!r} and max_pairs={max_pairs!r} were given. Expected margin from 0 and "
            "alpha above 0, both below 1 (5 % is 0.05), and at least one pair."
        )
    cases = [cases] if isinstance(cases, str) else cases
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    before = model.check_interventions(interventions)
    core_heads = head_set(model, core, "core")
    candidates = tuple(head for head in all_heads(model) if head not in core_heads)
    evidence = gather(
        EvidenceRequest(
            model,
            task,
            candidates,
            cases=cases,
            kinds=kinds,
            found=found,
            means=means,
            margin=margin,
            alpha=alpha,
            max_examples=max_pairs,
            interventions=before,
            batch_size=batch_size,
            seed=seed,
        )
    )
    table = _with_places(evidence.table, candidates, core_heads)
    passing = tuple(head for head, passes in zip(candidates, table["passes"], strict=True) if passes)
    heads, relay = split_relay(passing, core_heads)
    settings = {"method": method, "margin": margin, "alpha": alpha, "max_pairs": max_pairs, "seed": seed}
    settings |= {"kinds": kinds} if method == "contrast" else {}
    return GeneralizingHeads(
        heads=heads,
        relay=relay,
        core=core_heads,
        method=method,
        cases=evidence.cases,
        select_sources=evidence.sources,
        table=table,
        settings=settings,
        notes=evidence.notes,
        provenance=provenance(model, task.name, **settings, cases=evidence.cases, interventions=before),
    )


def _with_places(table: pd.DataFrame, candidates: Heads, core: Heads) -> pd.DataFrame:
    table = table.reset_index(drop=True)
    table.insert(0, "head", [str(head) for head in candidates])
    table.insert(1, "layer", [head.layer for head in candidates])
    return table.assign(upstream_core=[n_upstream(head, core) for head in candidates])
