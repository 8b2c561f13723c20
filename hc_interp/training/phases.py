"""Phases of training: which examples each batch is drawn from, and the draws as a function of seed and step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
from jaxtyping import Int

from hc_interp.data.examples import Examples
from hc_interp.errors import TrainingError

TOLERANCE = 1e-6  # by which the sum of a phase's shares may differ from 1
_FORM = "phases=[(0, {examples: 1.0}), (2000, {examples: 0.97, others: 0.03})]"


@dataclass(frozen=True, eq=False)
class Phase:
    """From step `first_step` on, each example of a batch is drawn from `parts[i]` with probability `shares[i]`."""

    first_step: int
    parts: tuple[Examples, ...]
    shares: tuple[float, ...]

    def record(self) -> dict[str, Any]:
        """The phase in a card: the fingerprint, number of examples and share of each part."""
        data = [
            {"data": part.fingerprint(), "examples": len(part), "share": share}
            for part, share in zip(self.parts, self.shares, strict=True)
        ]
        return {"first_step": self.first_step, "parts": data}


def as_phases(phases: Any, steps: int) -> tuple[Phase, ...]:
    """The phases that a user gave as `[(first_step, {examples: share, ...}), ...]`.

    A mixture is also a list of pairs (examples, share), or one `Examples`. Raises `TrainingError` unless the first
    phase begins at step 0, first steps ascend and are below `steps`, and the shares of each phase are positive and sum
    to 1.
    """
    if isinstance(phases, Examples | Mapping | str) or not isinstance(phases, Iterable):
        raise TrainingError(f"phases={phases!r} was given. Expected pairs of a step and a mixture, like {_FORM}.")
    read = tuple(map(_phase, phases))
    firsts = [phase.first_step for phase in read]
    if not read or firsts[0] != 0 or firsts != sorted(set(firsts)) or firsts[-1] >= steps:
        raise TrainingError(
            f"The phases begin at steps {firsts}. Expected the first at 0, each later than the one before, and all "
            f"below steps={steps}: {_FORM}."
        )
    return read


def _phase(item: Any) -> Phase:
    first, mixture = _pair(item, "phases hold")
    if isinstance(mixture, Examples):
        mixture = {mixture: 1.0}
    pairs = [*mixture.items()] if isinstance(mixture, Mapping) else [_pair(part, "A phase mixes") for part in mixture]
    if isinstance(first, bool) or not isinstance(first, Integral):
        raise TrainingError(f"A phase begins at step {first!r}. Expected a whole number from 0: {_FORM}.")
    for part, share in pairs:
        if not isinstance(part, Examples) or not len(part) or part.label is None:
            raise TrainingError(
                f"The phase from step {first} draws from {part!r}. Expected hc.Examples with labels, at least one: "
                "a split of a task, like task.train, or hc.Examples(first, second, label=[...])."
            )
        if isinstance(share, bool) or not isinstance(share, Real) or not float(share) > 0:
            raise TrainingError(
                f"The phase from step {first} gives {part!r} the share {share!r}. Expected a positive number; leave "
                "out examples that are not to be drawn."
            )
    shares = tuple(float(share) for _, share in pairs)
    if abs(sum(shares) - 1) > TOLERANCE:
        raise TrainingError(
            f"The shares of the phase from step {first} are {list(shares)}, which sum to {sum(shares):g}. Expected a "
            "sum of 1, since each is the share of all examples drawn: 3 % beside a corpus is "
            "{corpus: 0.97, examples: 0.03}."
        )
    return Phase(int(first), tuple(part for part, _ in pairs), shares)


def _pair(item: Any, where: str) -> tuple[Any, Any]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        raise TrainingError(f"{where} {item!r}. Expected pairs, like {_FORM}.")
    return item[0], item[1]


def distinct_parts(phases: Sequence[Phase]) -> list[Examples]:
    """The examples of all phases, each object once, in the order in which they first stand."""
    return list({id(part): part for phase in phases for part in phase.parts}.values())


def draw(phases: Sequence[Phase], steps: int, batch_size: int, seed: int) -> Int[np.ndarray, "step batch"]:
    """The rows of each step's batch, numbered over all of `distinct_parts(phases)`.

    Which part an example comes from is drawn by the shares of the phase. Within a part each example is drawn once
    before any is drawn again, in an order of its own for each pass. The draws of a step do not depend on `steps`.
    """
    parts = distinct_parts(phases)
    number = {id(part): index for index, part in enumerate(parts)}
    chosen = np.empty((steps, batch_size), dtype=np.int64)
    ends = [*(phase.first_step for phase in phases[1:]), steps]
    for index, (phase, end) in enumerate(zip(phases, ends, strict=True)):
        uniform = np.random.default_rng([seed, 0, index]).random((end - phase.first_step, batch_size))
        local = np.searchsorted(np.cumsum(phase.shares)[:-1], uniform, side="right")
        chosen[phase.first_step : end] = np.array([number[id(part)] for part in phase.parts])[local]
    rows = np.empty_like(chosen)
    starts = np.cumsum([0, *map(len, parts)])
    for index, part in enumerate(parts):
        here = chosen == index
        rows[here] = starts[index] + _passes(len(part), int(here.sum()), np.random.default_rng([seed, 1, index]))
    return rows


def _passes(n: int, count: int, rng: np.random.Generator) -> Int[np.ndarray, " count"]:
    """The first `count` of endless passes over `n` examples, each in a new random order."""
    passes = [rng.permutation(n) for _ in range(-(-count // n))]
    return np.concatenate(passes)[:count] if passes else np.empty(0, dtype=np.int64)
