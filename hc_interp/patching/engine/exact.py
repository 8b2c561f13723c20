"""The fast exact engine: the three steps for all paths of a sweep on one batch without padding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hc_interp.components import MLP, OUTPUT, Head
from hc_interp.models.forward import by_site
from hc_interp.models.site import Site
from hc_interp.patching.engine.budget import Budget
from hc_interp.patching.engine.stack import Stack
from hc_interp.patching.engine.step_one import Arrived, StepOne
from hc_interp.patching.engine.step_three import StepThree, first_layer, last_layer
from hc_interp.patching.engine.step_two import StepTwo, Through
from hc_interp.patching.general import Measured
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Members, Row

Place = tuple[int, int]  # of a row among the rows, and of its senders among those carried together
Found = dict[tuple[Any, Through], Tensor]


@dataclass(frozen=True)
class Segment:
    """Rows with the same active receivers, whose senders are carried together, and the receivers' changes."""

    receivers: Members
    places: tuple[Place, ...]
    changes: dict[Any, Tensor]


@dataclass
class ExactEngine:
    """All paths on one batch of pairs of equal length.

    Step 1 is carried for several senders at once and read by all heads of a layer through one projection (step 2);
    step 3 runs in chunks of paths, from the receivers' layer on, the last layer at the read position alone.
    """

    stack: Stack
    state: PairState
    route: str
    rows: Sequence[Row]
    budget: Budget
    _node: dict[Members, Tensor] = field(default_factory=dict)
    _reference: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        edits = by_site(self.state.paths.prefix)
        self.step_one = StepOne(self.stack, self.state.paths, edits, self.route)
        self.step_two = StepTwo(self.stack, self.state.paths, edits)
        self.step_three = StepThree(self.stack, self.state.paths, edits)

    def measure(self, places: Sequence[int], *, nodes: bool = True) -> Iterator[tuple[int, Measured]]:
        """Each of these rows' place and its effect, node effect and the two sums of the response, per pair.

        Without `nodes` the node effects are NaN: they are of the receivers, and can be had later (`node_effects`).
        """
        zero = torch.zeros_like(self.state.clean_score)
        by_senders: dict[Members, list[int]] = {}
        for place in places:
            row = self.rows[place]
            if row.active:
                by_senders.setdefault(row.senders, []).append(place)
            else:
                extent = self.state.extent(row.receivers)
                yield place, {"effects": zero, "node": zero, "explained": zero, "extent": extent}
        if nodes:
            self.node_effects(places)
        groups = sorted(by_senders, key=lambda group: min(getattr(item, "layer", 0) for item in group))
        for start in range(0, len(groups), self.budget.senders):
            chunk = groups[start : start + self.budget.senders]
            yield from self._measure_senders(chunk, [by_senders[group] for group in chunk])

    def _measure_senders(
        self, groups: Sequence[Members], places: Sequence[list[int]]
    ) -> Iterator[tuple[int, Measured]]:
        """Rows of senders that are carried together; each row is finished once its last receiver has been read."""
        n = self.stack.depth
        waiting: dict[int, dict[tuple[Members, Through], list[Place]]] = {}
        for sender, rows in enumerate(places):
            for place in rows:
                row = self.rows[place]
                end = n if row.active == (OUTPUT,) else last_layer(row.active)
                waiting.setdefault(end, {}).setdefault((row.active, row.through), []).append((place, sender))
        found: Found = {}
        wanted = {key for groups_ in waiting.values() for key in groups_}
        mlps = {item.layer for receivers, _ in wanted for item in receivers if isinstance(item, MLP)}
        for arrived in self.step_one.run(groups, max(waiting), mlps):
            if isinstance(arrived, Arrived):
                if arrived.layer == n:
                    yield from self._into_output(arrived, waiting.get(n, {}))
                    return
                self._read(arrived, wanted, found)
            else:
                found[MLP(arrived.layer), ()] = arrived.change
            done = {}
            for key in list(waiting.get(arrived.layer, {})):
                if all(self._key(item, key[1]) in found for item in key[0]):
                    done[key] = waiting[arrived.layer].pop(key)
            segments = [
                Segment(
                    receivers,
                    tuple(rows),
                    {item: found[self._key(item, through)] for item in receivers},
                )
                for (receivers, through), rows in done.items()
            ]
            yield from self._finish(segments)
            still = {self._key(item, t) for rows in waiting.values() for rs, t in rows for item in rs}
            for key in [key for key in found if key not in still]:
                del found[key]

    @staticmethod
    def _key(item: Any, through: Through) -> tuple[Any, Through]:
        return (item, through) if isinstance(item, Head) else (item, ())

    def _read(self, arrived: Arrived, wanted: set[tuple[Members, Through]], found: Found) -> None:
        """Step 2 of all receiving heads of a layer that this chunk's rows have."""
        here = {
            (i, t) for receivers, t in wanted for i in receivers if isinstance(i, Head) and i.layer == arrived.layer
        }
        if not here:
            return
        heads = sorted({item.head for item, _ in here})
        throughs = sorted({through for _, through in here})
        changes = self.step_two.changes(arrived, heads, throughs, self.budget.readers)
        for item, through in here:
            found[item, through] = changes[through][:, :, :, heads.index(item.head)]

    def _finish(self, segments: list[Segment]) -> Iterator[tuple[int, Measured]]:
        """Steps 3 of finished rows, and their response."""
        sums = {}
        for segment in segments:
            explained = sum(
                torch.einsum("sbpd,bpd->sb", change, self.state.full_change(item))
                for item, change in segment.changes.items()
            )
            assert isinstance(explained, Tensor)
            for place, sender in segment.places:
                sums[place] = explained[sender], self.state.extent(self.rows[place].receivers)
        for place, effect in self._effects(segments):
            explained, extent = sums[place]
            node = self._node.get(self.rows[place].active, torch.full_like(effect, float("nan")))
            yield place, {"effects": effect, "node": node, "explained": explained, "extent": extent}

    def _effects(self, segments: Sequence[Segment]) -> Iterator[tuple[int, Tensor]]:
        """Effects of rows, `budget.paths` at a time; segments whose receivers are one layer's heads share a chunk."""
        chunk: list[Segment] = []
        size = 0
        for segment in segments:
            shared = (
                all(isinstance(i, Head) for i in segment.receivers) and len({i.layer for i in segment.receivers}) == 1
            )
            if not shared:
                for start in range(0, len(segment.places), self.budget.paths):
                    yield from self._run([_cut(segment, start, self.budget.paths)])
                continue
            at = 0
            while at < len(segment.places):
                part = _cut(segment, at, self.budget.paths - size)
                chunk.append(part)
                size, at = size + len(part.places), at + len(part.places)
                if size == self.budget.paths:
                    yield from self._run(chunk)
                    chunk, size = [], 0
        if chunk:
            yield from self._run(chunk)

    def _run(self, chunk: list[Segment]) -> Iterator[tuple[int, Tensor]]:
        """One chunk of step 3. Its segments start in one layer; only a segment that is alone may hold later values."""
        layer = first_layer(chunk[0].receivers)
        starts, moved, held = [], [], {}
        for segment in chunk:
            changes = {item: change[[s for _, s in segment.places]] for item, change in segment.changes.items()}
            starts.append(self.step_three.start(layer, segment.receivers, changes))
            moved.append(torch.stack([(change != 0).flatten(2).any(2) for change in changes.values()]).any(0))
            if len(chunk) == 1:
                held = {i: self.step_three.held(i, change) for i, change in changes.items() if i.layer > layer}
        x = starts[0] if len(starts) == 1 else torch.cat(starts)
        scores = self.state.score(self.step_three.finish(layer + 1, x, held))
        reference = self._clean_score_from(layer, isinstance(chunk[0].receivers[0], Head))
        # A receiver that does not change leaves the clean run as it is, whatever a kernel rounds.
        effects = (scores - reference).masked_fill_(~torch.cat(moved), 0)
        places = [place for segment in chunk for place, _ in segment.places]
        yield from zip(places, effects, strict=True)

    def _clean_score_from(self, layer: int, heads: bool) -> Tensor:
        """The clean run's score by the same operations as step 3's, so that rounding is taken from rounding."""
        if (layer, heads) not in self._reference:
            item = Head(layer, 0) if heads else MLP(layer)
            nothing = torch.zeros_like(self.state.paths.clean_value(item))[None]
            x = self.step_three.start(layer, (item,), {item: nothing})
            self._reference[layer, heads] = self.state.score(self.step_three.finish(layer + 1, x, {}))[0]
        return self._reference[layer, heads]

    def _into_output(self, arrived: Arrived, waiting: dict) -> Iterator[tuple[int, Measured]]:
        """Paths into the logits end with step 1."""
        end = self.state.paths.clean[Site(self.stack.depth - 1, "resid_post")]
        before = self.state.score(self.stack.logits(end[:, self.stack.at]))
        effects = self.state.score(self.stack.logits(arrived.stream[:, :, self.stack.at])) - before
        effects = effects.masked_fill(~arrived.reached, 0)
        nothing = torch.full_like(before, float("nan"))
        for rows in waiting.values():
            for place, sender in rows:
                measured = {"node": self.state.total, "explained": nothing, "extent": nothing}
                yield place, {"effects": effects[sender], **measured}

    def node_effects(self, places: Sequence[int]) -> dict[int, Tensor]:
        """These rows' node effects: step 3 with the receivers' corrupt values."""
        wanted = {place: self.rows[place].active for place in places}
        unknown = []
        for receivers in dict.fromkeys(wanted.values()):
            known = self.state.known_node_effect(receivers)
            if known is not None:
                self._node[receivers] = known
            elif receivers not in self._node:
                unknown.append(receivers)
        by_start: dict[int, list[Segment]] = {}
        for place, receivers in enumerate(unknown):
            changes = {item: self.state.full_change(item)[None] for item in receivers}
            segment = Segment(receivers, ((place, 0),), changes)
            by_start.setdefault(first_layer(receivers), []).append(segment)
        for segments in by_start.values():
            for place, effect in self._effects(segments):
                self._node[unknown[place]] = effect
        return {place: self._node[receivers] for place, receivers in wanted.items()}


def _cut(segment: Segment, start: int, size: int) -> Segment:
    return Segment(segment.receivers, segment.places[start : start + size], segment.changes)
