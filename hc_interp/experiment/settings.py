"""`RunSettings`: how much of everything a run does, declared once for Python, the command line and TOML files."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from hc_interp.errors import HCError
from hc_interp.heads.defaults import CONTRAST_KINDS
from hc_interp.reading.defaults import MARGIN, PERMUTATIONS
from hc_interp.search.defaults import EXCHANGES, SEEDS, SPARSITY, STEPS

WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
ENDS = {"ge": "from {:g}", "gt": "above {:g}", "le": "to {:g}", "lt": "up to but without {:g}"}


class RunSettings(BaseModel):
    """How much of everything a run does. The defaults are for a real run; `DEMO` is for a first look.

    Raises `HCError` for a name that is no setting and for a value that its setting does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    case: str = Field(
        default="lexical_overlap_ln_subject/object_swap",
        description="Case whose pairs are patched; see hc-interp tasks.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of everything random.")
    sparsity: float = Field(
        default=SPARSITY, ge=0, lt=1, description="Share of components removed; half of them is 0.5, not 50."
    )
    margin: float = Field(
        default=MARGIN, gt=0, lt=1, description="Share of the node effect below which nothing counts as read."
    )
    seeds: int = Field(default=SEEDS, ge=1, description="Subnetworks at each sparsity.")
    search_steps: int = Field(default=STEPS, ge=1, description="Training steps of each search.")
    exchanges: int = Field(default=EXCHANGES, ge=0, description="Rounds in which each mask then trades components.")
    train_examples: int = Field(default=8000, ge=1, description="Training examples that searches draw from.")
    mean_examples: int = Field(default=1000, ge=1, description="Training examples that means or donors are taken from.")
    eval_per_case: int = Field(default=300, ge=1, description="Examples of each case that accuracy is measured on.")
    probe_examples: int = Field(default=1500, ge=1, description="Examples that a probe reads.")
    select_pairs: int = Field(default=256, ge=1, description="Pairs that choose the generalizing heads.")
    kinds: str = Field(
        default=",".join(CONTRAST_KINDS),
        description="Kinds of pairs that choose the generalizing heads, comma separated.",
    )
    test_pairs: int = Field(default=128, ge=1, description="Pairs of each kind that the verdict rests on.")
    permutations: int = Field(default=PERMUTATIONS, ge=1, description="Relabellings of the null.")
    too_long: Literal["refuse", "drop"] = Field(
        default="refuse", description="What happens to rows that the model has too few positions for."
    )
    demo: bool = Field(default=False, description="Whether the run is shortened, so that its verdict is not evidence.")

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """A number of numpy as Python's own."""
        return value.item() if hasattr(value, "item") else value

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(given)
        except ValidationError as error:
            first = error.errors()[0]
        name, value = next(iter(first["loc"]), None), first["input"]
        value = (
            given.get(name, value) if isinstance(given, Mapping) else value
        )  # of a name that is no text it is the name
        if name is None:
            raise HCError(f"settings={given!r} was given. Expected hc.RunSettings(...), or a dict of its fields.")
        if name not in cls.model_fields:
            near = difflib.get_close_matches(str(name), cls.model_fields, n=1, cutoff=0)
            raise HCError(
                f"{name}={value!r} was given, which is no setting of a run; did you mean {near[0]}? Expected some of "
                f"{', '.join(cls.model_fields)}."
            )
        field = cls.model_fields[str(name)]
        words = in_words(field.annotation, bounds(field.metadata))
        raise HCError(f"{name}={value!r} was given. Expected {words}. {field.description}")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some settings changed, which are checked as all are."""
        return type(self)(**{**self.model_dump(), **(update or {})})


def bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    """The ends that a field was declared with, by the names that `Field` gives them: some of ge, gt, le, lt."""
    return {name: getattr(end, name) for end in metadata for name in ENDS if hasattr(end, name)}


def in_words(kind: Any, ends: Mapping[str, float]) -> str:
    """What a setting takes."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return " ".join([WORDS[kind], *(ENDS[name].format(end) for name, end in ends.items())])


DEMO = RunSettings(
    seeds=5,
    search_steps=60,
    exchanges=0,
    mean_examples=300,
    train_examples=1500,
    eval_per_case=40,
    select_pairs=64,
    test_pairs=48,
    permutations=79,
    probe_examples=300,
    demo=True,
)
