import pytest
from extremes_world import World, made_world


@pytest.fixture(scope="session")
def world() -> World:
    return made_world(5)
