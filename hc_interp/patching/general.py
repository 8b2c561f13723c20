"""The general engine: path patching for any backend, model and intervention, with two passes for each path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import OUTPUT
from hc_interp.interventions.path_steps import StepOneValues
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Members, Row

RowValues = dict[str, Float[Tensor, " batch"]]  # of one row: "effects", "node", "explained" and "extent"


@dataclass
class GeneralEngine:
    """All rows on one batch of pairs, by the definition in `interventions/path_steps.py`.

    Step 1 is run once for all consecutive rows with the same senders, and each node effect is measured once.
    """

    state: PairState
    route: str
    rows: Sequence[Row]
    _step_one: tuple[Members, StepOneValues] | None = None
    _node: dict[Members, Tensor] = field(default_factory=dict)

    def measure(
        self, indices: Sequence[int], *, nodes: bool = True, effects: bool = True
    ) -> Iterator[tuple[int, RowValues]]:
        """The index of each of these rows with its effect, its node effect and the two sums of its response, per pair.

        Without `nodes` the node effects are NaN; `node_effects` gives them later. Without `effects` step 3 is left out,
        and effects are NaN.
        """
        for index in indices:
            yield index, self._measure_row(self.rows[index], nodes, effects)

    def node_effects(self, indices: Sequence[int]) -> dict[int, Float[Tensor, " batch"]]:
        """The node effects of these rows, by index."""
        return {index: self.node_effect(self.rows[index].active) for index in indices}

    def _measure_row(self, row: Row, nodes: bool, effects: bool) -> RowValues:
        state, paths = self.state, self.state.paths
        zero = torch.zeros_like(state.clean_score)
        node = self.node_effect(row.active) if nodes else zero * float("nan")
        extent = state.extent(row.receivers)
        if not row.active:
            return {"effects": zero, "node": node, "explained": zero, "extent": extent}
        step_one = self._run_step_one(row.senders)
        if row.receivers == (OUTPUT,):
            effect = state.score(step_one.logits) - state.clean_score
            undefined = zero * float("nan")
            return {"effects": effect, "node": state.total, "explained": undefined, "extent": undefined}
        values, where = paths.step_two(step_one, row.active, row.through), paths.where(row.active)
        explained = zero
        for item, value in values.items():
            change = value - paths.clean_value(item)
            explained = explained + state.dot(change, state.full_change(item), where.get(item))
        effect = zero * float("nan")
        if effects:
            effect = state.score(paths.step_three(values, where).logits) - state.clean_score
        return {"effects": effect, "node": node, "explained": explained, "extent": extent}

    def node_effect(self, receivers: Members) -> Float[Tensor, " batch"]:
        """The effect of setting all these receivers to corrupt at once, where they stand; 0 without receivers."""
        if receivers not in self._node:
            known = self.state.known_node_effect(receivers)
            if known is None:
                paths = self.state.paths
                run = paths.step_three(paths.corrupt_values(receivers), paths.where(receivers))
                known = self.state.score(run.logits) - self.state.clean_score
            self._node[receivers] = known
        return self._node[receivers]

    def _run_step_one(self, senders: Members) -> StepOneValues:
        """Step 1 of these senders for all receivers that any row pairs them with; kept until other senders come."""
        if self._step_one is None or self._step_one[0] != senders:
            receivers = dict.fromkeys(item for row in self.rows if row.senders == senders for item in row.active)
            self._step_one = senders, self.state.paths.step_one(senders, tuple(receivers), self.route)
        return self._step_one[1]
