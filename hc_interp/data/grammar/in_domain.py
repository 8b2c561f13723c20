"""In-domain NLI examples with three labels, in which word overlap correlates with entailment without implying it.

A premise describes a scene (somebody is doing something somewhere) or a deed (somebody did something to somebody). For
each of the three labels there are several kinds of hypotheses, whose label follows from what the words imply and
exclude. Both sentences describe the same situation, as in SNLI: "the poet" is the same person in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from hc_interp.data.examples import Examples
from hc_interp.data.grammar.in_domain_words import (
    ACTIVITIES,
    ADJECTIVE_SCALES,
    DEEDS,
    DETAILS,
    LINKS,
    LOCATION_PHRASES,
    SUBJECTS,
    TIMES,
    UNSUPPORTED,
    WHEREABOUTS,
    AdjectiveScale,
)
from hc_interp.data.tables import NLI_CLASSES
from hc_interp.errors import DataError

_TRIES = 2_000
HypothesisKinds = list[
    list[str]
]  # hypotheses by kind; a kind is drawn first, so that its probability does not depend on the number of its hypotheses


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Situation:
    """A premise, and the hypotheses for each of the three labels in order."""

    premise: str
    hypotheses: tuple[HypothesisKinds, HypothesisKinds, HypothesisKinds]


class Dice:
    """Random choices from one seeded generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def pick(self, choices: Sequence[Choice]) -> Choice:
        return choices[int(self.rng.integers(len(choices)))]

    def several(self, choices: Sequence[Choice], number: int) -> list[Choice]:
        return [choices[i] for i in self.rng.choice(len(choices), size=number, replace=False)]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)


def in_domain_examples(n: int, seed: int) -> Examples:
    """`n` distinct examples, drawn by `seed`, with labels 0 (entailment), 1 (neutral), 2 (contradiction) in turn.

    Each group of three consecutive examples has the same premise, which is their `source`. Ids are
    `in_domain:<seed>:<number>`; a larger `n` only adds examples. Raises `DataError` for n < 1 and if fewer than `n`
    distinct examples are found. High accuracy does not show that a model uses word order: the words alone determine the
    label of most examples.
    """
    if n < 1:
        raise DataError(f"in_domain_examples was asked for n={n} examples; expected 1 or more.")
    dice = Dice(np.random.default_rng([seed, 1_000]))
    rows: list[tuple[str, str]] = []
    seen: set[tuple[str, str]] = set()
    tries = 0
    while len(rows) < n:
        situation = scene(dice) if dice.chance(0.6) else deed(dice)
        triple = [(situation.premise, dice.pick(dice.pick(kinds))) for kinds in situation.hypotheses]
        tries += 1
        if tries > _TRIES:
            raise DataError(
                f"The grammar found {len(rows)} distinct in-domain examples and {_TRIES} draws brought no further one; "
                f"{n} were asked for. Ask for fewer."
            )
        if seen.isdisjoint(triple):
            seen.update(triple)
            rows += triple
            tries = 0
    rows = rows[:n]
    return Examples(
        first=tuple(_sentence(premise) for premise, _ in rows),
        second=tuple(_sentence(hypothesis) for _, hypothesis in rows),
        label=tuple(i % 3 for i in range(n)),
        id=tuple(f"in_domain:{seed}:{i}" for i in range(n)),
        groups=((0,), (1,), (2,)),
        classes=NLI_CLASSES,
    )


def scene(dice: Dice) -> Situation:
    """A situation in which somebody is doing something, with or without a location."""
    noun, activity = dice.pick(list(SUBJECTS)), dice.pick(ACTIVITIES)
    scale, other = _two_scales(dice)
    kind, doing = SUBJECTS[noun], activity.doing
    side = activity.where if activity.where != "both" else dice.pick(("in", "out"))
    place = dice.pick(LOCATION_PHRASES[side])
    opposite = "out" if side == "in" else "in"  # "water" is outdoors
    described, placed = dice.chance(0.6), dice.chance(0.7)
    who, long = f"the {noun}", f"the {scale.word} {noun}" if described else f"the {noun}"
    premise = f"{long} is {doing} {place}" if placed else f"{long} is {doing}"
    entailed: HypothesisKinds = [
        [f"{who} {follows}" for follows in activity.implied],
        [f"{_a(kind)} is {doing}", *(f"{_a(kind)} {follows}" for follows in activity.implied)],
    ]
    neutral: HypothesisKinds = [
        [f"{who} {thing}" for thing in UNSUPPORTED],
        [f"{who} is {doing} {detail}" for detail in DETAILS],
        [f"{who} is {other.word}", f"the {other.word} {noun} is {doing}", f"{who} is {other.same}"],
    ]
    contradicted: HypothesisKinds = [
        [f"{who} is not {doing}", f"{long} is not {doing}"],
        [f"{who} {excluded}" for excluded in activity.excluded],
        [f"nobody is {doing}", f"no {kind} is {doing}", f"not one {kind} is {doing}"],
    ]
    if described or placed:
        entailed += 2 * [[text for text in (f"{who} is {doing}", f"{long} is {doing}") if text != premise]]
    if described:
        entailed += _same(f"{who} is", scale)
        contradicted += [[f"{who} is {scale.opposite}", f"{who} is not {scale.word}"]]
        if placed:
            entailed += [[f"{who} is {doing} {place}"]]
    if placed:
        entailed += [[f"{who} {at}" for at in WHEREABOUTS[side]], [f"there is {_a(noun)} {place}", f"{who} is {place}"]]
        away = [f"{who} {at}" for at in WHEREABOUTS[opposite]]
        contradicted += [away, [f"{who} is {dice.pick(LOCATION_PHRASES[opposite])}", f"{who} is not {place}"]]
        contradicted += [[f"there is no {noun} {place}", f"nobody is {doing} {place}", f"no {kind} is {place}"]]
    else:
        neutral += [[f"{who} is {doing} {spot}" for spot in LOCATION_PHRASES[side]]]
    return Situation(premise, (entailed, neutral, contradicted))


def deed(dice: Dice) -> Situation:
    """A situation in which somebody did something to somebody."""
    agent, patient, third = dice.several(list(SUBJECTS), 3)
    act, (scale, other) = dice.pick(DEEDS), _two_scales(dice)
    described, dated, instead = dice.chance(0.6), dice.chance(0.6), dice.chance(0.1)
    doer, done = f"the {agent}", f"the {patient}"
    long = f"the {scale.word} {agent}" if described else doer
    premise = f"{long}, not the {third}, {act.past} {done}" if instead else f"{long} {act.past} {done}"
    if dated:
        premise += f" {dice.pick(TIMES)}"
    entailed: HypothesisKinds = [
        [f"{done} was {act.past} by {doer}", f"{done} was {act.past}"],
        [f"{doer} {act.restated} {done}", f"{doer} {act.restated} somebody"],
        [
            f"somebody {act.past} {done}",
            f"{doer} {act.past} {_a(SUBJECTS[patient])}",
            f"somebody {act.restated} {done}",
        ],
    ]
    neutral: HypothesisKinds = [
        [f"{doer} {thing}" for thing in UNSUPPORTED] + [f"{done} {thing}" for thing in UNSUPPORTED],
        [f"{doer} {act.past} {done} {detail}" for detail in DETAILS],
        [f"{doer} and {done} {link}" for link in LINKS],
        [f"{doer} was {other.word}", f"{done} was {other.same}", f"{doer} {act.past} the {other.word} {patient}"],
    ]
    contradicted: HypothesisKinds = [
        [f"{doer} did not {act.base} {done}", f"{doer} never {act.past} {done}"],
        [f"{done} was not {act.past} by {doer}", f"{done} was {act.past} by nobody", f"{done} was never {act.past}"],
        [f"nobody {act.past} {done}", f"{doer} {act.past} nobody", f"nobody {act.restated} {done}"],
        [f"{doer} {act.restated} no one at all", f"not a single person {act.restated} {done}"],
        [f"no one has ever {act.past} anybody here", f"not one person was {act.past} by anyone"],
    ]
    if instead:  # rare: the premise has all words of this contradiction
        contradicted += [[f"the {third} {act.past} {done}"]]
    if described or dated or instead:
        entailed += 2 * [[f"{doer} {act.past} {done}"]]
    if described:
        entailed += _same(f"{doer} was", scale)
        contradicted += [[f"{doer} was {scale.opposite}", f"{doer} was not {scale.word}"]]
    return Situation(premise, (entailed, neutral, contradicted))


def _two_scales(dice: Dice) -> tuple[AdjectiveScale, AdjectiveScale]:
    """The adjective of the premise, and one that is not its opposite."""
    while True:
        one, other = dice.several(ADJECTIVE_SCALES, 2)
        if one.opposite != other.word:
            return one, other


def _same(who_is: str, scale: AdjectiveScale) -> HypothesisKinds:
    return [[f"{who_is} {scale.same}", f"{who_is} not {scale.opposite}", f"{who_is} {scale.word}"]]


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
