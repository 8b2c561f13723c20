"""The three methods: exact, attribution (all estimates), and auto (estimate all, settle the largest exactly)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral

import torch
from torch import Tensor

from hc_interp.components import is_upstream
from hc_interp.data.align import PairBatch
from hc_interp.errors import HCError
from hc_interp.patching.effects import empty
from hc_interp.patching.estimate.attribution import Attribution
from hc_interp.patching.estimate.selection import ExactSelection
from hc_interp.patching.general import Measured
from hc_interp.patching.shards import Kept, blocks_of
from hc_interp.patching.sweep import Sweep
from hc_interp.progress import Stage, stage

METHODS = ("exact", "attribution", "auto")
ARRAYS = ("effects", "node", "explained", "extent")


@dataclass
class Measurements:
    """Per pair and row, in the pairs' order; what was not measured is NaN. `exact` tells which rows were."""

    n_pairs: int
    n_rows: int
    arrays: dict[str, Tensor] = field(default_factory=dict)
    exact: list[bool] = field(default_factory=list)
    total: Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self.arrays = {name: empty(self.n_pairs, self.n_rows) * float("nan") for name in ARRAYS}
        self.exact = [False] * self.n_rows
        self.total = empty(self.n_pairs, 1)[:, 0] * float("nan")


def check_method(method: str, sweep: Sweep, steps: int) -> None:
    """Raise `HCError` for a method that there is not, or an estimate of what it cannot estimate or in no steps."""
    if method not in METHODS:
        raise HCError(f"method={method!r}; choose one of {', '.join(METHODS)}.")
    if not isinstance(steps, Integral) or steps < 1:
        raise HCError(f"ig_steps={steps!r} was given. Expected a whole number from 1; 1 is EAP, more are EAP-IG.")
    if method != "exact" and (sweep.route != "direct" or not sweep.fast):
        what = f"route={sweep.route!r}" if sweep.route != "direct" else "these interventions on this model"
        raise HCError(
            f"method={method!r} was asked for {what}; the first-order estimate is of direct paths, in an encoder "
            "classifier or a decoder, under no interventions but Keep, Ablate, SoftMask and Scale. Use method='exact'."
        )
    for row in sweep.rows if method != "exact" else ():
        if any(is_upstream(left, right) for left in row.active for right in row.active):
            raise HCError(
                f"method={method!r} was asked for the receivers {row.name[1]} together, of which one reads another. "
                "The later one is held in step 3, which a gradient at the earlier one does not know. Use "
                "method='exact', or receivers that are heads of one layer, or one at a time."
            )


def measure_exact(sweep: Sweep, places: Sequence[int], kept: Kept | None) -> Measurements:
    """The rows at these places, block by block; blocks in `kept` are read back, new ones are written there."""
    found = Measurements(len(sweep.encoded), len(sweep.rows))
    blocks = [*blocks_of(sweep.rows, places)]
    with stage("path patching", len(places) * len(sweep.parts)) as progress:
        for batch, part in enumerate(sweep.parts):
            index = part.index.cpu()
            state = sweep.state(part)
            engine = sweep.engine(state)
            found.total[index] = state.total.double().cpu()
            for number, block in enumerate(blocks):
                arrays = kept.read(batch, block) if kept else None
                if arrays is None:
                    arrays = _block(engine.measure(block), block, len(index), progress)
                    if kept:
                        kept.write(batch, block, arrays)
                    progress.part(f"block {number + 1} of {len(blocks)} of batch {batch + 1} of {len(sweep.parts)}")
                else:
                    progress.advance(len(block))
                for name, values in arrays.items():
                    found.arrays[name][index[:, None], torch.tensor(block)] = values
    for place in places:
        found.exact[place] = True
    return found


def _block(
    rows: Iterable[tuple[int, Measured]], places: Sequence[int], n_pairs: int, progress: Stage
) -> dict[str, Tensor]:
    arrays = {name: empty(n_pairs, len(places)) for name in ARRAYS}
    column = {place: i for i, place in enumerate(places)}
    for place, measured in rows:
        for name, values in measured.items():
            arrays[name][:, column[place]] = values.double().cpu()
        progress.advance()
    return arrays


def estimate(sweep: Sweep, parts: Sequence[PairBatch], steps: int) -> Measurements:
    """First-order effects of all rows. Rows whose receivers are not downstream are exact: 0."""
    found = Measurements(len(sweep.encoded), len(sweep.rows))
    with stage("estimating paths", len(parts)) as progress:
        for part in parts:
            state, index = sweep.state(part), part.index.cpu()
            found.total[index] = state.total.double().cpu()
            values = Attribution(
                sweep.stack_of(state.paths.batch), state, sweep.rows, steps, sweep.memory_mib
            ).measure()
            found.arrays["effects"][index] = values.double().cpu()
            progress.advance()
    return found


def measure_auto(sweep: Sweep, top: float, steps: int, seed: int) -> Measurements:
    """Estimate all rows, then measure those exactly that may be among the `top` share by |effect|."""
    active = [place for place, row in enumerate(sweep.rows) if row.active]
    selection = ExactSelection.of(sweep, top, seed)
    found = estimate(sweep, selection.parts, steps)
    if not active:
        return found
    candidates = selection.candidates(found.arrays["effects"], active)
    pilot = _some(sweep, selection.pilot, candidates, found, nodes=False)
    still = selection.survivors(found.arrays["effects"], pilot, candidates, selection.wanted(active))
    rest = _some(sweep, selection.rest, still, found)
    for part in selection.pilot:
        for place, values in sweep.exact_engine(sweep.state(part)).node_effects(still).items():
            pilot["node"][part.index.cpu(), place] = values.double().cpu()
    for place in still:
        for name in ARRAYS:
            column = pilot[name][:, place].where(~pilot[name][:, place].isnan(), rest[name][:, place])
            found.arrays[name][:, place] = column
        found.exact[place] = True
    return found


def _some(
    sweep: Sweep, parts: Sequence[PairBatch], places: Sequence[int], like: Measurements, *, nodes: bool = True
) -> dict[str, Tensor]:
    """Exact values of some rows on some pairs; NaN elsewhere."""
    found = {name: torch.full_like(values, float("nan")) for name, values in like.arrays.items()}
    with stage("settling paths", len(places) * len(parts)) as progress:
        for part in parts:
            index = part.index.cpu()
            measured = sweep.exact_engine(sweep.state(part)).measure(places, nodes=nodes)
            arrays = _block(measured, places, len(index), progress)
            for name, values in arrays.items():
                found[name][index[:, None], torch.tensor(places)] = values
    return found
