"""The zoo's cards are there without what its models need; models that lie whole in it."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

import hc_interp as hc
from hc_interp.errors import ModelError
from hc_interp.models import zoo, zoo_cards
from hc_interp.models.zoo_cards import CARD, DATA, WHOLE, ZOO


def test_the_list_of_models_needs_no_torch() -> None:
    code = "import sys; from hc_interp.models.zoo_cards import ZOO; print(*ZOO, 'torch' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split() == [*ZOO, "False"]


def test_every_card_of_the_package_is_listed_with_its_file() -> None:
    assert {entry.card_file for entry in ZOO.values()} == set(DATA.glob("*.json"))
    assert all(entry.delta_file.is_file() for entry in ZOO.values())


def test_tiny_ioi_names_the_person_who_was_not_named_twice() -> None:
    model = hc.load("zoo:tiny-ioi")
    assert (model.name, model.labels) == ("zoo:tiny-ioi", None)
    task = hc.load_task("ioi", tokenizer=model, max_per_case=100)
    table = hc.evaluate(model, task).to_frame(long=True).set_index(["case", "metric"])["value"]
    assert min(table["ABBA", "accuracy"], table["BABA", "accuracy"]) > 0.95
    batch = model.tokenize("When Mary and John went to the store, John gave a drink to")
    last = model.logits(batch)[0, -1]
    assert model.tokenizer.decode(last.argmax()) == "Mary"
    assert torch.equal(hc.load("zoo:tiny-ioi").logits(batch), model.logits(batch))


@pytest.mark.parametrize("damage", ["flip", "missing", "card"])
def test_a_damaged_whole_model_is_refused(tmp_path, monkeypatch, damage) -> None:
    folder = shutil.copytree(WHOLE["tiny-ioi"].folder, tmp_path / "tiny-ioi")
    path = folder / (CARD if damage == "card" else "tokenizer.json")
    if damage == "missing":
        path.unlink()
    else:
        path.write_text(path.read_text(encoding="utf-8").replace("Mary", "Mori").replace('"files"', '"file"'))
    monkeypatch.setitem(zoo.WHOLE, "tiny-ioi", zoo_cards.FolderEntry("tiny-ioi", "a copy", folder))
    with pytest.raises(ModelError, match=r"tiny-ioi.* is broken: .*Reinstall hc-interp"):
        hc.load("zoo:tiny-ioi")


def test_a_name_that_is_not_in_the_zoo_is_told_the_names_that_are() -> None:
    with pytest.raises(ModelError, match="minilm-nli, tiny-ioi"):
        hc.load("zoo:tiny-ioy")
    with pytest.raises(ModelError, match=r"single model: hc\.load\('zoo:tiny-ioi'\)"):
        hc.load_series("zoo:tiny-ioi")


def test_the_card_of_a_whole_model_has_all_its_files() -> None:
    for entry in WHOLE.values():
        files = json.loads((entry.folder / CARD).read_text(encoding="utf-8"))["files"]
        assert {*files, CARD} == {path.name for path in entry.folder.iterdir()}
