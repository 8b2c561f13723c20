from types import SimpleNamespace

import checked  # before anything imports the package
import pytest
import torch
from hypothesis import settings
from tiny import FAMILIES, LABELS, tiny_module

from hc_interp.models.load import load

# A busy machine is not a failure: examples are counted, not timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", params=sorted(FAMILIES))
def family(request) -> str:
    return request.param


@pytest.fixture(scope="session")
def any_model(family):
    """A tiny float64 model of each family."""
    return load(tiny_module(family), labels=LABELS)


@pytest.fixture(scope="session")
def tiny_bert():
    """A tiny float64 BERT."""
    return load(tiny_module("bert"), labels=LABELS)


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
