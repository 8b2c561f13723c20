"""`RunSettings`: the settings of a run, declared once for Python, the command line and TOML files."""

import difflib
import math
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
from hc_interp.reading.defaults import DELTA, MARGIN, PERMUTATIONS
from hc_interp.search.defaults import BESIDE, EXCHANGES, SEEDS, SPARSITY, STEPS, SWEEPS

TYPE_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
LIMIT_WORDS = {"ge": "from {:g}", "gt": "above {:g}", "le": "to {:g}", "lt": "up to but without {:g}"}

PIECES = "pieces"  # in the folder of a run: what the workers of an executor make


class RunSettings(BaseModel):
    """The settings of `hc.run`: its case, its seed, and how many steps, examples and pairs each stage uses.

    The defaults are for a real run. `DEMO` holds the settings of the demo: it searches fewer subnetworks at a single
    sparsity and uses fewer examples, so its verdict is not evidence.

    Raises `HCError` for a name that is no setting, and for a value that the setting does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    case: str = Field(
        default="lexical_overlap_ln_subject/object_swap",
        description="Case whose contrast pairs are patched; see hc-interp tasks.",
    )
    seed: int = Field(default=0, ge=0, description="Seed of all random choices.")
    sparsity: float = Field(
        default=SPARSITY, ge=0, lt=1, description="Share of components removed; half of them is 0.5, not 50."
    )
    beside: float = Field(
        default=BESIDE,
        ge=0,
        lt=1,
        description="Sparsity of a second set of subnetworks, evaluated beside the first; 0 for none.",
    )
    margin: float = Field(
        default=MARGIN,
        gt=0,
        lt=1,
        description="Share of the generalizing heads' effect that must come from the core to count as reading.",
    )
    delta: float = Field(
        default=DELTA,
        gt=0,
        lt=1,
        description="Share of the generalizing heads' response to the core that other heads must lack.",
    )
    core_from: Literal["search", "sample"] = Field(
        default="search",
        description="Whose shared components are the core: subnetworks of the search, or a sample of all good "
        "subnetworks of this size, which takes longer.",
    )
    sweeps: int = Field(
        default=SWEEPS,
        ge=10,
        description="Recorded moves of every chain of a sample; up to four times as many where it has not mixed.",
    )
    seeds: int = Field(default=SEEDS, ge=1, description="Number of subnetworks at each sparsity, one per seed.")
    search_steps: int = Field(default=STEPS, ge=1, description="Training steps of each mask search.")
    exchanges: int = Field(
        default=EXCHANGES,
        ge=0,
        description="Largest number of rounds that swap kept and removed components after the training of a mask. 0 "
        "keeps the differences between seeds; 16 gives the most faithful circuit of this size, much the same for all.",
    )
    train_examples: int = Field(default=8000, ge=1, description="Number of training examples that searches draw from.")
    mean_examples: int = Field(
        default=1000, ge=1, description="Number of training examples that means or donors are taken from."
    )
    eval_per_case: int = Field(
        default=300, ge=1, description="Number of examples of each case that accuracy is measured on."
    )
    probe_examples: int = Field(default=1500, ge=1, description="Number of examples for each probe.")
    select_pairs: int = Field(
        default=256, ge=1, description="Number of contrast pairs that choose the generalizing heads."
    )
    kinds: str = Field(
        default=",".join(CONTRAST_KINDS),
        description="Kinds of contrast pairs that choose the generalizing heads, comma separated (in Python also "
        "a list).",
    )
    test_pairs: int = Field(
        default=128, ge=1, description="Number of contrast pairs of each kind that the verdict is based on."
    )
    permutations: int = Field(
        default=PERMUTATIONS, ge=1, description="Number of relabelled cores in the null distribution of the test."
    )
    comparison_sets: int = Field(
        default=99,
        ge=0,
        description="Number of sets of other heads that the premises compare the generalizing heads with: of heads "
        "of the same layers, and 20 of any others, which decide where fewer of the same layers exist. Below 20 it "
        "stays open whether the heads carry generalization.",
    )
    premise_examples: int = Field(
        default=100,
        ge=1,
        description="Number of examples of each case that the premises are checked on; pairs and in-domain examples "
        "are in proportion.",
    )
    too_long: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="Whether examples with more tokens than the model has positions are refused or dropped.",
    )
    demo: bool = Field(default=False, description="Whether this is a shortened run, whose verdict is not evidence.")

    @property
    def sparsities(self) -> tuple[float, ...]:
        """The sparsities that are searched: the verdict's, then the one beside it unless it is the same or 0."""
        if self.beside == 0 or math.isclose(self.beside, self.sparsity, abs_tol=1e-12):
            return (self.sparsity,)
        return (self.sparsity, self.beside)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        """The value, where a numpy number becomes a Python number."""
        return value.item() if hasattr(value, "item") else value

    @field_validator("kinds", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """The kinds as one text, where they are given one by one, as `hc.generalizing_heads` takes them too."""
        named = isinstance(value, list | tuple) and value and all(isinstance(kind, str) for kind in value)
        return ",".join(value) if named else value

    @model_validator(mode="wrap")
    @classmethod
    def _checked(cls, settings: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The settings. pydantic's first error is raised as an `HCError` in our words."""
        try:
            return handler(settings)
        except ValidationError as error:
            first = error.errors()[0]
        name, value = next(iter(first["loc"]), None), first["input"]
        if isinstance(settings, Mapping):  # for a name that is not text, pydantic gives the name as the input
            value = settings.get(name, value)
        if name is None:
            raise HCError(f"settings={settings!r} was given. Expected hc.RunSettings(...), or a dict of its fields.")
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
        """A copy with the settings of `update` changed. Raises `HCError` as the class does.

        `deep` is an argument of pydantic's and changes nothing here: all settings are plain values.
        """
        return type(self)(**{**self.model_dump(), **(update or {})})


def bounds(metadata: Iterable[Any]) -> dict[str, Any]:
    """The limits in a field's metadata, under the names that `Field` gives them: some of ge, gt, le, lt."""
    return {name: getattr(limit, name) for limit in metadata for name in LIMIT_WORDS if hasattr(limit, name)}


def in_words(kind: Any, limits: Mapping[str, float]) -> str:
    """The values of this type within these limits, in words."""
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    return " ".join([TYPE_WORDS[kind], *(LIMIT_WORDS[name].format(limit) for name, limit in limits.items())])


DEMO = RunSettings(
    seeds=3,
    beside=0,
    search_steps=40,
    mean_examples=300,
    train_examples=1500,
    eval_per_case=10,
    select_pairs=64,
    test_pairs=24,
    permutations=59,
    comparison_sets=20,
    premise_examples=8,
    probe_examples=240,
    demo=True,
)
