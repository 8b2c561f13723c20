"""`with_template`: pairs of sentences as single prompts, for models that read one text."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from string import Formatter
from typing import Any

from hc_interp.data.contrast import ContrastPairs, PairMaker
from hc_interp.data.examples import Examples
from hc_interp.data.grammar.shared_words import units_of
from hc_interp.data.spans import filled
from hc_interp.data.task import Task
from hc_interp.errors import DataError

FIELDS = {"first", "second"}


def check_template(template: Any) -> str:
    """The template. Raises `DataError` for a text without exactly the fields {first} and {second}."""
    try:
        fields = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except (TypeError, ValueError):
        fields = set()
    if fields != FIELDS:
        raise DataError(
            f"template={template!r} was given. Expected a text with the fields {{first}} and {{second}}, where the two "
            'sentences stand: template="{first} Question: {second} True or false?" (write {{ for a brace).'
        )
    return template


def with_template(task: Task, template: str) -> Task:
    """The task whose pairs of sentences are one text each, made by the template.

    Labels, ids, sources, units and spans stay, and the roles `first_text` and `second_text` are the sentences' places
    in the prompt. There is no `overlap` split: its features are about two sentences. Raises
    `DataError` for another template, and for a task without pairs of sentences.
    """
    check_template(template)
    pairs = task.pairs
    if isinstance(pairs, Mapping):
        pairs = {key: _paired(part, template) for key, part in pairs.items()}
    elif pairs is not None:
        pairs = TemplatePairs(pairs, template)
    return replace(
        task,
        train=task.train and prompted(task.train, template),
        validation=task.validation and prompted(task.validation, template),
        cases={case: prompted(part, template) for case, part in (task.cases or {}).items()},
        overlap=None,
        pairs=pairs,
    )


@dataclass(frozen=True)
class TemplatePairs:
    """A `PairMaker` that puts the pairs of `maker` into a template."""

    maker: PairMaker
    template: str

    def kinds(self, case: str) -> tuple[str, ...]:
        return self.maker.kinds(case)

    def make(self, case: str, kind: str) -> ContrastPairs:
        return _paired(self.maker.make(case, kind), self.template)


def prompted(examples: Examples, template: str) -> Examples:
    """The examples as single texts. Raises `DataError` for examples without second texts."""
    if examples.second is None:
        raise DataError(
            f"A template was given for {examples!r}, which has no second sentences to put into it. Leave template= out."
        )
    texts, spans = [], {}
    for row, (first, second) in enumerate(zip(examples.first, examples.second, strict=True)):
        text, places = filled(template, first=first, second=second)
        texts.append(text)
        for role, found in _moved_spans(examples, row, places).items():
            spans.setdefault(role, []).append(found)
    units = examples.units if examples.units is not None else units_of(examples)
    return replace(examples, first=texts, second=None, units=units, spans=spans)


def _moved_spans(examples: Examples, row: int, places: dict[str, list[tuple[int, int]]]) -> dict[str, list]:
    """The row's spans in the prompt: those of the examples, and as `first_text` and `second_text` both sentences.

    A template may name a sentence twice; then a span is at both places. Raises `DataError` where a sentence with spans
    stands in another form.
    """
    found: dict[str, list] = {"first_text": places["first"], "second_text": places["second"]}
    for role, rows in (examples.spans or {}).items():
        found[role] = []
        for start, end, name in rows[row]:
            for begin, stop in places[name]:
                if stop - begin != len(getattr(examples, name)[row]):
                    raise DataError(
                        f"The template writes the {name} sentence in another form (like {{{name}!r}}), so that its "
                        "spans have no place in the prompt. Write plain fields, {first} and {second}."
                    )
                found[role].append((begin + start, begin + end))
    return found


def _paired(pairs: ContrastPairs, template: str) -> ContrastPairs:
    clean, corrupt = pairs.sides
    assert isinstance(clean, Examples)
    assert isinstance(corrupt, Examples)
    return replace(pairs, clean=prompted(clean, template), corrupt=prompted(corrupt, template))
