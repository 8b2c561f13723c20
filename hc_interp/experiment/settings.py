"""How much of everything a run does."""

from dataclasses import dataclass

from hc_interp.errors import HCError

DEFAULT_CASE = "lexical_overlap_ln_subject/object_swap"


@dataclass(frozen=True)
class RunSettings:
    """How much of everything a run does. The defaults are for a real run; `DEMO` is for a first look."""

    seeds: int = 6
    sparsity: float = 0.5
    search_steps: int = 120
    exchanges: int = 16
    mean_examples: int = 1000
    train_examples: int = 8000
    eval_per_case: int = 300
    select_pairs: int = 256
    test_pairs: int = 128
    permutations: int = 199
    probe_examples: int = 1500
    margin: float = 0.05
    case: str = DEFAULT_CASE
    seed: int = 0
    demo: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise HCError(
                f"sparsity={self.sparsity:g} was given. Expected the share of components to remove, from 0 up to but "
                "without 1; half of them is 0.5, not 50."
            )
        for name in ("seeds", "test_pairs", "permutations", "select_pairs", "train_examples"):
            if getattr(self, name) < 1:
                raise HCError(f"{name}={getattr(self, name)} was given. Expected 1 or more.")


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
