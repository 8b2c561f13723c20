"""What a search or a screen chooses from, and what for."""

from hc_interp.components import Component, universe
from hc_interp.errors import SearchError
from hc_interp.models.hooked import HookedModel

COMPONENTS = ("heads+mlps", "heads")


def check_choice(components: str, objective: str) -> None:
    """Raise `SearchError` for names that are none."""
    for name, value, known in (("components", components, COMPONENTS), ("objective", objective, OBJECTIVES)):
        if value not in known:
            raise SearchError(f"{name}={value!r} was given. Expected {' or '.join(map(repr, known))}.")


def universe_of(model: HookedModel, components: str) -> tuple[Component, ...]:
    """All heads, and all MLPs unless `components` is "heads"."""
    return universe(model.n_layers, model.n_heads, mlps=components == "heads+mlps")


OBJECTIVES = ("kl", "task")
