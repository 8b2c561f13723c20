"""Indirect object identification: "When Mary and John went to the store, John gave a drink to" goes on with " Mary".

The question and the corruptions are those of Wang et al. 2022 (arXiv 2211.00593). Templates and words are our own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.prompts.reader import PromptReader
from hc_interp.data.spans import filled
from hc_interp.data.tables import PROMPT_TASKS
from hc_interp.data.task import Task
from hc_interp.errors import DataError

NAMES = (
    "Mary", "John", "Anna", "Paul", "Emma", "Mark", "Alice", "Peter", "Laura", "David", "Sarah", "James", "Julia",
    "Simon", "Grace", "Frank", "Helen", "Henry", "Clara", "Oscar", "Rose", "George", "Ruth", "Thomas", "Kate",
    "Daniel", "Lucy", "Martin", "Jane", "Robert", "Amy", "Adam", "Eva", "Jack", "Ella", "Sam", "Maria", "Tom",
    "Nina", "Max", "Lisa", "Ben", "Susan", "Andrew", "Rachel", "Kevin", "Karen", "Brian", "Linda", "Steven",
    "Diana", "Jason", "Carol", "Eric", "Alan", "Joan", "Scott", "Amanda", "Ryan",
)  # fmt: skip
PLACES = ("store", "school", "park", "garden", "office", "station", "market", "library")
THINGS = ("drink", "book", "letter", "ring", "key", "ball", "bag", "map")
TEMPLATES = (
    "When {first} and {second} went to the {place}, {subject} gave a {thing} to",
    "After {first} and {second} arrived at the {place}, {subject} handed a {thing} to",
    "Then {first} and {second} had a long talk at the {place}, and {subject} passed a {thing} to",
    "While {first} and {second} were working at the {place}, {subject} offered a {thing} to",
    "Once {first} and {second} had left the {place}, {subject} sent a {thing} to",
    "Because {first} and {second} met at the {place}, {subject} brought a {thing} to",
)
FIELDS = ("first", "second", "subject", "place", "thing")  # of a template
CASES = tuple(PROMPT_TASKS["ioi"])  # the order of the names: the indirect object (A) comes first, or the subject (B)
KINDS = PROMPT_TASKS["ioi"][CASES[0]]
ROLES = ("io", "s1", "s2")  # the indirect object's name, and both mentions of the subject's
FEWEST = 6  # names of one token; a prompt and its unrelated names take five
N_TRAIN, N_VALIDATION, N_CASE = 1000, 300, 300


@dataclass(frozen=True)
class Wording:
    """The names and the templates that prompts may have."""

    names: Sequence[str]
    templates: Sequence[str]

    @classmethod
    def of(cls, reader: PromptReader, names: Sequence[str], templates: Sequence[str]) -> "Wording":
        """The names that are one token. Raises `DataError` for fewer than six and for a template without its fields."""
        for argument, texts in (("names", names), ("templates", templates)):
            if isinstance(texts, str) or not texts or not all(isinstance(text, str) for text in texts):
                raise DataError(f"{argument}={texts!r} was given for the task 'ioi'. Expected a list of texts.")
        for template in templates:
            _check_template(template)
        known = [name.strip() for name in reader.one_token("When", [f" {name.strip()}" for name in names])]
        if len(known) < FEWEST:
            raise DataError(
                f"The tokenizer has {len(known)} of {len(names)} names as one token ({', '.join(known)}); the task "
                f"'ioi' needs {FEWEST}. Name others, load_task('ioi', names=[...], ...), use a tokenizer of a larger "
                "vocabulary, or build hc.Examples of your own (docs/how_to/language_models.md)."
            )
        return cls(known, templates)


def _check_template(template: str) -> None:
    """Raise `DataError` for a template without both names and the subject, in this order, each after a space."""
    places = []
    try:
        text, mentions = filled(template, **dict.fromkeys(FIELDS, "X"))
        places = [mentions[name] for name in FIELDS[:3]]
        spaced = all(start and text[start - 1] == " " for mention in places for start, _ in mention)
        fits = all(len(mention) == 1 for mention in places) and spaced and sorted(places) == places
        fits = fits and text == text.rstrip()
    except (KeyError, ValueError, IndexError):
        fits = False
    if not fits:
        raise DataError(
            f"The template {template!r} was given for the task 'ioi'. Expected one each of {{first}}, {{second}} and "
            "then {subject}, each after a space, and no space at the end; {place} and {thing} may stand in it. For "
            f"one: {TEMPLATES[0]!r}."
        )


def ioi(
    tokenizer: object,
    seed: int,
    max_per_case: int | None,
    names: Sequence[str] = NAMES,
    templates: Sequence[str] = TEMPLATES,
) -> Task:
    """The task; `tokenizer` is a model or a tokenizer, and `names` and `templates` are those that prompts may have.

    Pairs of each case: "names" (the subject's second mention is the other name, so that the answer changes; both sides
    have an answer), "abc" (three unrelated names, no answer) and "order" (ABBA becomes BABA or back; the same answer).
    Components can stand at `io` (the indirect object's name), `s1` and `s2` (the mentions of the subject's).
    Raises `DataError` if fewer than six names are one token, and for a template without its names.
    """
    reader = PromptReader.of(tokenizer, "ioi")
    known = Wording.of(reader, names, templates)
    n = N_CASE if max_per_case is None else max_per_case
    seeds = np.random.SeedSequence(seed).generate_state(4).tolist()
    cases = {case: prompts(reader, known, case, n, seeds[i]) for i, case in enumerate(CASES)}
    pairs = {
        (case, kind): _pairs(reader, known, case, kind, n, seeds[i]) for i, case in enumerate(CASES) for kind in KINDS
    }
    train, validation = (prompts(reader, known, None, size, seeds[i]) for i, size in ((2, N_TRAIN), (3, N_VALIDATION)))
    task = Task("ioi", train=train, validation=validation, cases=cases, pairs=pairs)
    for part in (train, validation, *cases.values(), *pairs.values()):
        reader.checked(part)
    return task


def prompts(reader: PromptReader, wording: Wording, case: str | None, n: int, seed: int) -> Examples:
    """`n` prompts of this wording, in the order of a case (None: both)."""
    return _examples(reader, _draw(wording, case, n, seed), "clean")


class _Prompt:
    """What one prompt is made of: A is the indirect object, B the subject, and `others` are three unrelated names."""

    def __init__(self, wording: Wording, case: str, rng: np.random.Generator) -> None:
        order = [int(i) for i in rng.choice(len(wording.names), size=FEWEST, replace=False)]
        drawn = [wording.names[i] for i in order]
        self.a, self.b = drawn[:2]
        self.others: tuple[str, str, str] = (drawn[2], drawn[3], drawn[4])
        self.case = case
        self.template, self.place, self.thing = (_one(rng, options) for options in (wording.templates, PLACES, THINGS))

    @property
    def words(self) -> dict[str, str]:
        """The place and the thing, where the template has them."""
        words = {"place": self.place, "thing": self.thing}
        return {name: word for name, word in words.items() if f"{{{name}}}" in self.template}

    @property
    def source(self) -> str:
        template = self.template.split()[0] if self.template in TEMPLATES else self.template
        return " ".join([template, *sorted((self.a, self.b)), *self.words.values()])

    def text(self, a: str, b: str, subject: str, *, turned: bool = False) -> tuple[str, dict[str, tuple[int, int]]]:
        """The text, and the spans of the roles: `s1` is the subject's first mention (of B where it is neither)."""
        a_first = (self.case == "ABBA") != turned
        first, second = (a, b) if a_first else (b, a)
        words = {"first": first, "second": second, "subject": subject, "place": self.place, "thing": self.thing}
        text, places = filled(self.template, **words)
        io, s1 = ("first", "second") if a_first != (subject == a) else ("second", "first")
        return text, {"io": places[io][0], "s1": places[s1][0], "s2": places["subject"][0]}

    def side(self, kind: str) -> tuple[tuple[str, dict[str, tuple[int, int]]], tuple[str, str] | None]:
        """The text of the clean side or of a corruption with the spans of its roles, and its answer and foil."""
        a, b = self.a, self.b
        if kind == "names":
            return self.text(a, b, a), (b, a)
        if kind == "abc":
            return self.text(*self.others), None
        return self.text(a, b, b, turned=kind == "order"), (a, b)


def _one(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _draw(wording: Wording, case: str | None, n: int, seed: int) -> list[_Prompt]:
    rng = np.random.default_rng(seed)
    return [_Prompt(wording, case or CASES[row % 2], rng) for row in range(n)]


def _examples(reader: PromptReader, drawn: Sequence[_Prompt], kind: str) -> Examples:
    sides = [prompt.side(kind) for prompt in drawn]
    words = [answers for _, answers in sides if answers is not None]
    units = {
        "template": [prompt.template for prompt in drawn],
        "name": [sorted({prompt.a, prompt.b}) for prompt in drawn],
        **{name: [[prompt.words[name]] if name in prompt.words else [] for prompt in drawn] for name in FIELDS[3:]},
    }
    return Examples(
        [text + reader.end for (text, _), _ in sides],
        id=[f"ioi-{row}" for row in range(len(drawn))],
        source=[prompt.source for prompt in drawn],
        units=units,
        answer=[f" {answer}" for answer, _ in words] or None,
        foil=[f" {foil}" for _, foil in words] or None,
        spans={role: [spans[role] for (_, spans), _ in sides] for role in ROLES},
    )


def _pairs(reader: PromptReader, wording: Wording, case: str, kind: str, n: int, seed: int) -> ContrastPairs:
    drawn = _draw(wording, case, n, seed)
    return ContrastPairs(_examples(reader, drawn, "clean"), _examples(reader, drawn, kind), kind=kind)
