"""The general engine: path patching on any backend, model and intervention, two passes for each path."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import OUTPUT
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Members, Row

Measured = dict[str, Float[Tensor, " batch"]]


@dataclass
class GeneralEngine:
    """All paths on one batch of pairs. What several paths share (step 1, node effects) is computed once."""

    state: PairState
    route: str
    rows: Sequence[Row]
    _arrived: tuple[Members, Any] | None = None
    _node: dict[Members, Tensor] = field(default_factory=dict)

    def measure(self, places: Sequence[int], *, nodes: bool = True) -> Iterator[tuple[int, Measured]]:
        """Each of these rows' place and its effect, node effect and the two sums of the response, per pair.

        Without `nodes` the node effects are NaN: they are of the receivers, and can be had later (`node_effects`).
        """
        for place in places:
            yield place, self._row(self.rows[place], nodes)

    def node_effects(self, places: Sequence[int]) -> dict[int, Float[Tensor, " batch"]]:
        """These rows' node effects."""
        return {place: self.node_effect(self.rows[place].active) for place in places}

    def _row(self, row: Row, nodes: bool) -> Measured:
        state, paths = self.state, self.state.paths
        zero = torch.zeros_like(state.clean_score)
        node = self.node_effect(row.active) if nodes else zero * float("nan")
        extent = state.extent(row.receivers)
        if not row.active:
            return {"effects": zero, "node": node, "explained": zero, "extent": extent}
        arrival = self._arrive(row.senders)
        if row.receivers == (OUTPUT,):
            effect = state.score(arrival.logits) - state.clean_score
            nothing = zero * float("nan")
            return {"effects": effect, "node": state.total, "explained": nothing, "extent": nothing}
        values = paths.step_two(arrival, row.active, row.through)
        changes = {item: value - paths.clean_value(item) for item, value in values.items()}
        explained = sum((state.dot(change, state.full_change(item)) for item, change in changes.items()), zero)
        effect = state.score(paths.step_three(values).logits) - state.clean_score
        return {"effects": effect, "node": node, "explained": explained, "extent": extent}

    def node_effect(self, receivers: Members) -> Float[Tensor, " batch"]:
        """Effect of setting all these receivers to their corrupt values at once; 0 for none."""
        if receivers not in self._node:
            known = self.state.known_node_effect(receivers)
            if known is None:
                run = self.state.paths.step_three(self.state.paths.corrupt_values(receivers))
                known = self.state.score(run.logits) - self.state.clean_score
            self._node[receivers] = known
        return self._node[receivers]

    def _arrive(self, senders: Members) -> Any:
        """Step 1 of these senders, for all receivers that any row pairs them with; kept while rows ask for it."""
        if self._arrived is None or self._arrived[0] != senders:
            receivers = dict.fromkeys(item for row in self.rows if row.senders == senders for item in row.active)
            self._arrived = senders, self.state.paths.step_one(senders, tuple(receivers), self.route)
        return self._arrived[1]
