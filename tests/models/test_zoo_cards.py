"""The zoo's cards are there without what its models need."""

import subprocess
import sys

from hc_interp.models.zoo_cards import DATA, ZOO


def test_the_list_of_models_needs_no_torch() -> None:
    code = "import sys; from hc_interp.models.zoo_cards import ZOO; print(*ZOO, 'torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == [*ZOO, "False"]


def test_every_card_of_the_package_is_listed_with_its_file() -> None:
    assert {entry.card_file for entry in ZOO.values()} == set(DATA.glob("*.json"))
    assert all(entry.delta_file.is_file() for entry in ZOO.values())
