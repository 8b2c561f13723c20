"""Which backend makes the passes of a test's models.

In the rooms of `PLAIN` tests are about what is done with passes. There a model of the default backend runs by torch's
own hooks (`TorchBackend`), in two thirds of the time of a bridge where a model is this small, and `hc.load` in half.
Everywhere else it runs by the backend that it names: tests/models compare these at every tap and on every path, and
tests/interventions, tests/cli, the tests of all public functions (`CALLS`, `CASES`) and those of the fast engine's own
check against a pass (tests/patching/engine) run on the default one.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

from hc_interp.models.hooked import HookedModel
from hc_interp.models.torch_backend import TorchBackend

PLAIN = ("attention", "dynamics", "evaluation", "experiment", "extremes", "heads", "patching", "reading", "search")
ROOMS = Path(__file__).parent
NAMED: Any = vars(HookedModel)["backend"]


def by_torch(model: HookedModel) -> Any:
    if model.backend_name == "nnsight":
        return NAMED.func(model)
    tree = model.shared_tree()
    model.readout.allow_batches(tree)
    return TorchBackend(tree, model.geometry)


BY_TORCH = cached_property(by_torch)
BY_TORCH.__set_name__(HookedModel, "backend")


def is_plain(path: Path) -> bool:
    """Whether the tests in this file are of a room of `PLAIN`."""
    room, *rest = path.relative_to(ROOMS).parts
    return room in PLAIN and (room, rest[0]) != ("patching", "engine")


def choose_for(path: Path) -> None:
    """From here on, models get the backend of this file's room when they first need one."""
    HookedModel.backend = BY_TORCH if is_plain(path) else NAMED  # type: ignore[method-assign]
