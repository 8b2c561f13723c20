"""`ExactEngine`, the fast engine: the three steps for all rows of a sweep on one batch without padding."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hc_interp.components import MLP, OUTPUT, Component, Head
from hc_interp.interventions.path_steps import Positions
from hc_interp.models.forward import by_site
from hc_interp.models.site import Site
from hc_interp.patching.engine.budget import Budget
from hc_interp.patching.engine.stack import Held, Stack
from hc_interp.patching.engine.step_one import LayerChange, StepOne
from hc_interp.patching.engine.step_three import StepThree, first_layer, last_layer
from hc_interp.patching.engine.step_two import StepTwo, Through
from hc_interp.patching.general import RowValues
from hc_interp.patching.pair_state import PairState
from hc_interp.patching.rows import Members, Row, only_components

RowSender = tuple[int, int]  # the index of a row, and the index of its senders in their chunk
Key = tuple[Component, Through]  # a receiving component and its named inputs; an MLP has none
Changes = dict[Key, Float[Tensor, "sender batch pos d"]]  # of the receivers' values: step 2


@dataclass(frozen=True)
class Segment:
    """Rows of one chunk of senders that have the same active receivers and inputs.

    `changes` `[sender, batch, pos, d]` are those of the receiving components' values at all positions; each row uses
    the changes of its senders. `where` are the positions of the receivers that stand at roles.
    """

    rows: tuple[RowSender, ...]
    changes: dict[Component, Tensor]
    where: Positions

    def change(self, item: Component, senders: Sequence[int]) -> Float[Tensor, "row batch pos d"]:
        """The changes of one receiver for these senders, 0 where it does not stand."""
        change = self.changes[item][list(senders)]
        return change * self.where[item][:, :, None] if item in self.where else change


@dataclass
class ExactEngine:
    """All rows on one batch of pairs of equal length.

    Step 1 is computed for a chunk of senders at once. Step 2 reads it for all receiving heads of a layer by one
    projection. Step 3 runs in chunks of rows, from the receivers' layer on, with the last layer at the read position
    alone. README.md in this folder says why.
    """

    stack: Stack
    state: PairState
    route: str
    rows: Sequence[Row]
    budget: Budget
    _node: dict[Members, Tensor] = field(default_factory=dict)
    _clean_scores: dict[tuple[int, bool], Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        edits = by_site(self.state.paths.prefix)
        self.step_one = StepOne(self.stack, self.state.paths, edits, self.route)
        self.step_two = StepTwo(self.stack, self.state.paths, edits)
        self.step_three = StepThree(self.stack, self.state.paths, edits)

    def measure(
        self, indices: Sequence[int], *, nodes: bool = True, effects: bool = True
    ) -> Iterator[tuple[int, RowValues]]:
        """The index of each of these rows with its effect, its node effect and the two sums of its response, per pair.

        The rows come in another order than they are given in. Without `nodes` the node effects are NaN; `node_effects`
        gives them later. Without `effects` step 3 is left out, and effects are NaN.
        """
        zero = torch.zeros_like(self.state.clean_score)
        by_senders: dict[Members, list[int]] = {}
        for index in indices:
            row = self.rows[index]
            if row.active:
                by_senders.setdefault(row.senders, []).append(index)
            else:
                extent = self.state.extent(row.receivers)
                yield index, {"effects": zero, "node": zero, "explained": zero, "extent": extent}
        if nodes:
            self.node_effects(indices)
        groups = sorted(by_senders, key=lambda group: min(getattr(item, "layer", 0) for item in group))
        for start in range(0, len(groups), self.budget.senders):
            chunk = groups[start : start + self.budget.senders]
            yield from self._measure_senders(chunk, [by_senders[group] for group in chunk], effects)

    def _measure_senders(
        self, groups: Sequence[Members], indices: Sequence[list[int]], with_effects: bool
    ) -> Iterator[tuple[int, RowValues]]:
        """The rows of one chunk of senders; each row is finished as soon as step 2 of its last receiver is done."""
        n = self.stack.depth
        waiting: dict[int, dict[tuple[Members, Through], list[RowSender]]] = {}  # by the layer of the last receiver
        for sender, sender_rows in enumerate(indices):
            for index in sender_rows:
                row = self.rows[index]
                end = n if row.active == (OUTPUT,) else last_layer(only_components(row.active))
                waiting.setdefault(end, {}).setdefault((row.active, row.through), []).append((index, sender))
        changes: Changes = {}
        targets = {target for layer_rows in waiting.values() for target in layer_rows}
        mlps = {item.layer for receivers, _ in targets for item in only_components(receivers) if isinstance(item, MLP)}
        for arriving in self.step_one.run(groups, max(waiting), mlps):
            if isinstance(arriving, LayerChange):
                if arriving.layer == n:
                    yield from self._into_output(arriving, waiting.get(n, {}))
                    return
                self._run_step_two(arriving, targets, changes)
            else:
                changes[MLP(arriving.layer), ()] = arriving.change
            done = {}
            for target in list(waiting.get(arriving.layer, {})):
                if all(self._key(item, target[1]) in changes for item in only_components(target[0])):
                    done[target] = waiting[arriving.layer].pop(target)
            segments = []
            for (receivers, through), rows in done.items():
                own = {item: changes[self._key(item, through)] for item in only_components(receivers)}
                segments.append(Segment(tuple(rows), own, self.state.paths.where(receivers)))
            yield from self._finish(segments, with_effects)
            needed = {
                self._key(item, through)
                for rows in waiting.values()
                for receivers, through in rows
                for item in only_components(receivers)
            }
            for key in [key for key in changes if key not in needed]:
                del changes[key]

    @staticmethod
    def _key(item: Component, through: Through) -> Key:
        return (item, through) if isinstance(item, Head) else (item, ())

    def _run_step_two(self, arriving: LayerChange, targets: set[tuple[Members, Through]], changes: Changes) -> None:
        """Step 2 of all receiving heads of one layer; adds their changes to `changes`."""
        here = {
            (item, through)
            for receivers, through in targets
            for item in only_components(receivers)
            if isinstance(item, Head) and item.layer == arriving.layer
        }
        if not here:
            return
        heads = sorted({item.head for item, _ in here})
        throughs = sorted({through for _, through in here})
        by_through = self.step_two.changes(arriving, heads, throughs, self.budget.readers)
        for item, through in here:
            changes[item, through] = by_through[through][:, :, :, heads.index(item.head)]

    def _finish(self, segments: list[Segment], with_effects: bool) -> Iterator[tuple[int, RowValues]]:
        """Step 3 of finished rows, and the two sums of their response."""
        sums = {}
        for segment in segments:
            explained = sum(
                torch.einsum("sbpd,bpd->sb", change, self._full_change(item, segment.where))
                for item, change in segment.changes.items()
            )
            assert isinstance(explained, Tensor)
            for index, sender in segment.rows:
                sums[index] = explained[sender], self.state.extent(self.rows[index].receivers)
        undefined = torch.full_like(self.state.clean_score, float("nan"))
        effects = self._all_effects(segments) if with_effects else ((index, undefined) for index in sums)
        for index, effect in effects:
            explained, extent = sums[index]
            node = self._node.get(self.rows[index].active, torch.full_like(effect, float("nan")))
            yield index, {"effects": effect, "node": node, "explained": explained, "extent": extent}

    def _full_change(self, item: Component, where: Positions) -> Float[Tensor, "batch pos d"]:
        """A receiver's change from clean to corrupt, 0 where it does not stand."""
        change = self.state.full_change(item)
        return change * where[item][:, :, None] if item in where else change

    def _all_effects(self, segments: Sequence[Segment]) -> Iterator[tuple[int, Tensor]]:
        """Effects of rows. Those whose receivers stand only where nothing changes that the output can see are 0."""
        zero = torch.zeros_like(self.state.clean_score)
        changing = []
        for segment in segments:
            kept = segment.rows
            if segment.where:
                moves = {sender: self._moves(segment, sender) for sender in {sender for _, sender in segment.rows}}
                kept = tuple(row for row in segment.rows if moves[row[1]])
                yield from ((index, zero) for index, sender in segment.rows if not moves[sender])
            if kept:
                changing.append(replace(segment, rows=kept))
        yield from self._effects(changing)

    def _moves(self, segment: Segment, sender: int) -> bool:
        """Whether some receiver changes in some pair, in the last layer at the read position."""
        return any(
            bool(segment.change(item, [sender])[:, :, self.step_three.seen(item.layer)].any())
            for item in segment.changes
        )

    def _effects(self, segments: Sequence[Segment]) -> Iterator[tuple[int, Tensor]]:
        """Effects of rows, `budget.paths` at a time.

        Segments whose receivers are heads of one layer share a chunk. Each other segment has chunks of its own.
        """
        chunk: list[Segment] = []
        size = 0
        for segment in segments:
            heads = [item for item in segment.changes if isinstance(item, Head)]
            shared = len(heads) == len(segment.changes) and len({item.layer for item in heads}) == 1
            if not shared:
                for start in range(0, len(segment.rows), self.budget.paths):
                    yield from self._run_step_three([_cut(segment, start, self.budget.paths)])
                continue
            start = 0
            while start < len(segment.rows):
                part = _cut(segment, start, self.budget.paths - size)
                chunk.append(part)
                size, start = size + len(part.rows), start + len(part.rows)
                if size == self.budget.paths:
                    yield from self._run_step_three(chunk)
                    chunk, size = [], 0
        if chunk:
            yield from self._run_step_three(chunk)

    def _run_step_three(self, chunk: list[Segment]) -> Iterator[tuple[int, Tensor]]:
        """Step 3 of one chunk, whose segments start in one layer.

        A chunk of one segment may have receivers in later layers, which step 3 fixes.
        """
        layer = first_layer(chunk[0].changes)
        starts, changed, fixed = [], [], {}
        for segment in chunk:
            changes = {item: segment.change(item, [s for _, s in segment.rows]) for item in segment.changes}
            starts.append(self.step_three.start(layer, changes, segment.where))
            changed.append(torch.stack([(change != 0).flatten(2).any(2) for change in changes.values()]).any(0))
            if len(chunk) == 1:
                later = {item: change for item, change in changes.items() if item.layer > layer}
                values = {item: self.step_three.new_value(item, change) for item, change in later.items()}
                fixed = {item: Held(value, segment.where.get(item)) for item, value in values.items()}
        x = starts[0] if len(starts) == 1 else torch.cat(starts)
        scores = self.state.score(self.step_three.finish(layer + 1, x, fixed))
        clean = self._clean_score_from(layer, isinstance(next(iter(chunk[0].changes)), Head))
        # Where no receiver changes, the effect is exactly 0; rounding errors there are set to 0.
        effects = (scores - clean).masked_fill_(~torch.cat(changed), 0)
        indices = [index for segment in chunk for index, _ in segment.rows]
        yield from zip(indices, effects, strict=True)

    def _clean_score_from(self, layer: int, heads: bool) -> Float[Tensor, " batch"]:
        """The clean run's score, computed by the same operations as step 3, so that rounding errors cancel."""
        if (layer, heads) not in self._clean_scores:
            item = Head(layer, 0) if heads else MLP(layer)
            unchanged = torch.zeros_like(self.state.paths.clean_value(item))[None]
            x = self.step_three.start(layer, {item: unchanged}, {})
            self._clean_scores[layer, heads] = self.state.score(self.step_three.finish(layer + 1, x, {}))[0]
        return self._clean_scores[layer, heads]

    def _into_output(
        self, arriving: LayerChange, waiting: dict[tuple[Members, Through], list[RowSender]]
    ) -> Iterator[tuple[int, RowValues]]:
        """The rows with receiver `output`: their effect is that of step 1's own logits."""
        end = self.state.paths.clean[Site(self.stack.depth - 1, "resid_post")]
        before = self.state.score(self.stack.logits(end[:, self.stack.at]))
        effects = self.state.score(self.stack.logits(arriving.stream[:, :, self.stack.at])) - before
        effects = effects.masked_fill(~arriving.reached[:, :, self.stack.at], 0)
        undefined = torch.full_like(before, float("nan"))
        for rows in waiting.values():
            for index, sender in rows:
                values = {"node": self.state.total, "explained": undefined, "extent": undefined}
                yield index, {"effects": effects[sender], **values}

    def node_effects(self, indices: Sequence[int]) -> dict[int, Float[Tensor, " batch"]]:
        """The node effects of these rows, by index: step 3 with the receivers' corrupt values."""
        receivers_of = {index: self.rows[index].active for index in indices}
        unknown = []
        for receivers in dict.fromkeys(receivers_of.values()):
            known = self.state.known_node_effect(receivers)
            if known is not None:
                self._node[receivers] = known
            elif receivers not in self._node:
                unknown.append(receivers)
        by_start: dict[int, list[Segment]] = {}
        for number, receivers in enumerate(unknown):
            changes = {item: self.state.full_change(item)[None] for item in only_components(receivers)}
            segment = Segment(((number, 0),), changes, self.state.paths.where(receivers))
            by_start.setdefault(first_layer(changes), []).append(segment)
        for segments in by_start.values():
            for number, effect in self._all_effects(segments):
                self._node[unknown[number]] = effect
        return {index: self._node[receivers] for index, receivers in receivers_of.items()}

    def know_node_effects(self, effects: Mapping[Members, Float[Tensor, " batch"]]) -> None:
        """Take these node effects as measured: another engine measured them for the same rows and budget."""
        self._node |= effects


def _cut(segment: Segment, start: int, size: int) -> Segment:
    return replace(segment, rows=segment.rows[start : start + size])
