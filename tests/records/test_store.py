"""A store that resumes: pieces come back to the same work, and never to another."""

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd
import pytest

from hc_interp.errors import HCError, HCWarning, ResultError
from hc_interp.records.result import Result, read
from hc_interp.records.store import Store


@dataclass(frozen=True, eq=False)
class Shelf(Result):
    value: int

    def to_frame(self) -> pd.DataFrame:
        return pd.DataFrame({"value": [self.value]})


@dataclass(frozen=True, eq=False)
class OtherShelf(Shelf):
    pass


class Shelves(Store):
    work: ClassVar[str] = "tidying"
    shaped_by: ClassVar[str] = "room or broom"
    piece: ClassVar[str] = "shelf"
    kind: ClassVar[type[Any]] = Shelf


@pytest.fixture
def store(tmp_path) -> Shelves:
    return Shelves(tmp_path / "room", "mine")


def test_a_piece_comes_back_to_the_same_work(store) -> None:
    store.check()
    assert not store.folder.exists()
    assert store.get("shelf-1", Shelf) is None
    store.put("shelf-1", Shelf(3))
    store.check()
    again = Shelves(store.folder, "mine").get("shelf-1", Shelf)
    assert again is not None
    assert again.value == 3
    assert read(store.path("shelf-1")).value == 3
    assert [path.name for path in store.folder.iterdir()] == ["shelf-1.json"]


def test_a_piece_of_other_work_is_refused_before_and_when_it_is_read(store) -> None:
    store.put("shelf-1", Shelf(3))
    other = Shelves(store.folder, "yours")
    message = r"shelf-1\.json was written by a tidying of another room or broom; expected yours\. Give resume="
    with pytest.raises(ResultError, match=message):
        other.check()
    with pytest.raises(ResultError, match=message):
        other.get("shelf-1", Shelf)
    Shelf(3).save(store.path("shelf-1"))  # by no work
    with pytest.raises(ResultError, match="another room or broom"):
        store.get("shelf-1", Shelf)


def test_damage_to_a_piece_says_that_it_is_made_again(store) -> None:
    store.put("shelf-1", Shelf(3))
    path = store.path("shelf-1")
    path.write_text(path.read_text().replace('"value": 3', '"value": 2'))
    message = r"not a saved Shelf and cannot be read as a finished shelf any more: it was damaged.*Delete this file"
    with pytest.raises(ResultError, match=message):
        store.get("shelf-1", Shelf)
    with pytest.raises(ResultError, match=message):
        store.check()


def test_a_piece_of_before_the_checksum_counts_with_a_note(store) -> None:
    store.put("shelf-1", Shelf(3))
    path = store.path("shelf-1")
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record | {"format": 1}))
    with pytest.warns(HCWarning, match=r"shelf-1\.json was written by an earlier hc_interp, without a checksum"):
        assert store.get("shelf-1", Shelf).value == 3


@pytest.mark.parametrize("content", ["", "{", "[]", "hello"])
def test_a_broken_file_names_the_mend(store, content) -> None:
    store.put("shelf-1", Shelf(3))
    store.path("shelf-1").write_text(content)
    message = r"is not a saved Shelf and cannot be read as a finished shelf \(.*Delete this file, and the shelf is made"
    with pytest.raises(ResultError, match=message):
        store.get("shelf-1", Shelf)
    with pytest.raises(ResultError, match=message):
        store.check()


def test_a_piece_of_another_kind_names_the_mend(store) -> None:
    store.put("shelf-1", Shelf(3))
    with pytest.raises(ResultError, match=r"is not a saved OtherShelf .*it holds a Shelf\)\. Delete this file"):
        store.get("shelf-1", OtherShelf)


def test_a_folder_that_cannot_be_written_is_refused_before_there_is_work(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(HCError, match=r"cannot keep finished shelfs \(.*Give resume= a folder that you may write"):
            Shelves(folder, "mine").check()
    assert (tmp_path / "file").read_text() == "no folder"
