import gc
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import checked  # before anything imports the package
import passes
import pytest
import torch
from hypothesis import settings
from tiny import FAMILIES, LABELS, tiny_module

from hc_interp.data import load as load_module
from hc_interp.models.load import load

# A busy machine is not a failure: examples are counted, not timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# The grammar's task takes a second and is the same for the same arguments: it is made once in each process. A test that
# compares two makings takes `__wrapped__`.
load_module._overlap_grammar = cache(load_module._overlap_grammar)  # type: ignore[assignment]

# The files that take longest. Begun last, one of them would run alone at the end.
LONG = (
    "cli/test_killed.py", "search/sampling/test_sample_subnetworks.py", "patching/test_sweep.py", "cli/test_steps.py",
    "models/test_foreign_hooks.py", "search/test_search_masks.py", "models/test_parity.py", "models/test_zoo_series.py",
    "models/test_config.py", "experiment/test_run.py", "dynamics/test_over_training.py", "models/test_readout.py",
    "extremes/test_search_extremes.py", "test_types.py", "spread/test_engines.py",
)  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items) -> None:
    """Files of `LONG` first, the others in their order: `make test` hands files to its processes in this order."""
    place = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish(session) -> None:
    """What is imported by now stays: without it, and less often, garbage collections take a fraction of their time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request) -> str:
    return request.param


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item) -> None:
    passes.choose_for(item.path)


@cache
def shared(family: str, plain: bool):
    """A tiny float64 model for all rooms whose passes are made alike (tests/passes.py)."""
    return load(tiny_module(family), labels=LABELS)


@pytest.fixture(scope="module")
def any_model(family, request):
    """A tiny float64 model of each family."""
    return shared(family, passes.is_plain(request.path))


@pytest.fixture(scope="module")
def tiny_bert(request):
    """A tiny float64 BERT."""
    return shared("bert", passes.is_plain(request.path))


@pytest.fixture(autouse=True)
def _begin_test():
    torch.manual_seed(0)
    checked.begin_test()


@pytest.fixture(scope="session")
def results():
    """Makers of each kind of result, by name."""
    from made_results import MAKERS

    return MAKERS


@pytest.fixture(scope="session")
def small():
    """Path effects of six layers, nine heuristic and five generalizing heads."""
    from made_results import CORE, GENERALIZING, path_effects

    return SimpleNamespace(core=CORE, generalizing=GENERALIZING, edges=path_effects(CORE, GENERALIZING))
