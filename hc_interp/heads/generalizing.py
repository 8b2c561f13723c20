"""`hc.generalizing_heads`: the heads outside the core that carry generalization, by one kind of evidence or another."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from hc_interp.components import Head, HeadNames
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.evaluation.evaluate import Subnetworks
from hc_interp.heads import by_ablation, by_contrast, by_presence
from hc_interp.heads.contrast_rule import NOT_CHECKED
from hc_interp.heads.defaults import CONTRAST_KINDS
from hc_interp.heads.evidence import EvidenceRequest, method_named, named_kinds
from hc_interp.heads.sets import Heads, all_heads, head_set, n_upstream, split_relay
from hc_interp.interventions.means import MeanActivations
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.records.provenance import provenance
from hc_interp.records.result import Result
from hc_interp.torch_modes import own_torch_modes

FILES = (by_contrast, by_presence, by_ablation)  # each registers its kind of evidence when it is imported


@dataclass(frozen=True, eq=False)
class GeneralizingHeads(Result):
    """Heads outside the core that pass the test of `method`: `heads` with a core head upstream, `relay` without one.

    `select_sources` are the sources of the data that chose these heads. `reads_from` refuses pairs of these sources.
    `table` has the evidence of every candidate. With `unscreened`, heads found by contrast may carry the answer alone.
    A head that passes carries generalization on this data. It need not be
    the only one, and the evidence does not show which heads it reads from.
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

    @property
    def unscreened(self) -> bool:
        """Whether heads pass of which contrast could not check that they carry more than the answer."""
        column = "more_than_overlap"
        return column in self.table and bool((self.table["passes"] & (self.table[column] == NOT_CHECKED)).any())

    def beside(self, *others: "GeneralizingHeads") -> pd.DataFrame:
        """This evidence and that of `others`, by other methods, in one table with a row per head outside the core.

        The columns are `head layer upstream_core`, each method's columns with its name as a prefix (`contrast_share`,
        `ablation_excess`, ...), and `passed_by`, the number of methods that the head passes. Methods answer different
        questions on different data, so their q values cannot be multiplied. Raises `HCError` for different cores or a
        method given twice.
        """
        results = (self, *others)
        methods = [result.method for result in results]
        n_cores = len({result.core for result in results})
        if n_cores > 1 or len(set(methods)) < len(methods):
            raise HCError(
                f"Evidence by {', '.join(methods)} was given, of {n_cores} cores. Expected different methods on one "
                "core: generalizing_heads(..., core=core, method=...)."
            )
        shared = ["head", "layer", "upstream_core"]
        tables = [result.table.set_index(shared).add_prefix(f"{result.method}_") for result in results]
        frame = pd.concat(tables, axis=1)
        passed = frame[[f"{method}_passes" for method in methods]].sum(axis=1).astype(int)
        return frame.assign(passed_by=passed).reset_index()

    def __repr__(self) -> str:
        return (
            f"GeneralizingHeads({len(self.heads)} of {len(self.table)} candidates by {self.method}: "
            f"{', '.join(map(str, self.heads)) or 'none'}; relay: {', '.join(map(str, self.relay)) or 'none'}"
            f"{'; unscreened' if self.unscreened else ''})"
        )


@own_torch_modes
def generalizing_heads(
    model: HookedModel,
    task: Task,
    *,
    core: HeadNames,
    found: Subnetworks | None = None,
    means: MeanActivations | None = None,
    cases: str | Sequence[str] | None = None,
    method: str = "contrast",
    kinds: str | Sequence[str] = CONTRAST_KINDS,
    margin: float = 0.01,
    alpha: float = 0.05,
    max_pairs: int = 512,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 64,
    seed: int = 0,
) -> GeneralizingHeads:
    """Find the heads outside `core` that carry generalization.

    Only sources of the "select" split are used, so that `reads_from` can be run on the "test" split. A head passes when
    its q (Benjamini-Hochberg over heads) is at most `alpha` and its effect is at least `margin`. The methods are:

    - `"contrast"`: the effect is the head's node effect as a share of the total effect. The node effect is the change
      of the metric when the head's `z` is set to corrupt in a clean run; the total effect is the change from the clean
      to the corrupt run. At most `max_pairs` pairs of these `kinds` (a list, or one text: "order,own") are used, pooled
      over all cases that have such pairs, as they are and reversed: a head must pass in both directions. The test flips
      the signs of whole sources.
      The share must also be larger than on `"overlap"` pairs from `task.heuristic_label` to another label, of the same
      heuristics: there a word was replaced, so a head that only carries the answer has as large a share. Without such
      pairs this is not checked, and the result is `unscreened`. No head passes where the model gets both sides of fewer
      than 10 % of the pairs right. `hc_interp/heads/contrast_rule.py` has the rule and the columns.
    - `"presence"` (needs `found` and `means`): the effect is the accuracy on `cases` of the subnetworks `found` that
      keep the head, minus the accuracy of those that do not, among subnetworks of one size. The test permutes
      accuracies, one-sided.
    - `"ablation"` (needs `means`): the effect is the accuracy that ablating the head costs on `cases`, minus the
      accuracy that it costs on `task.validation`. The test permutes sources, one-sided.

    `cases` are all of the task's by default. For presence and ablation choose cases that the heuristic gets wrong: on
    other cases a head that generalizes does not raise the accuracy. `max_pairs` also limits their examples. Raises
    `HCError` for a method or argument that does not fit, `DataError` for a task without the data that the method needs.
    """
    gather = method_named(method)
    if not 0 < alpha < 1 or not 0 <= margin < 1 or max_pairs < 1:
        raise HCError(
            f"margin={margin!r}, alpha={alpha!r} and max_pairs={max_pairs!r} were given. Expected margin from 0 and "
            "alpha above 0, both below 1 (5 % is 0.05), and at least one pair."
        )
    cases = [cases] if isinstance(cases, str) else cases
    kinds = named_kinds(kinds)
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
    table = _with_positions(evidence.table, candidates, core_heads)
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


def _with_positions(table: pd.DataFrame, candidates: Heads, core: Heads) -> pd.DataFrame:
    """The table with the name and layer of each candidate, and its number of core heads upstream."""
    table = table.reset_index(drop=True)
    table.insert(0, "head", [str(head) for head in candidates])
    table.insert(1, "layer", [head.layer for head in candidates])
    return table.assign(upstream_core=[n_upstream(head, core) for head in candidates])
