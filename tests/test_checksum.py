"""Files that are read back notice damage, name what is newer, and note what has no checksum."""

import json
import random
import re
import warnings
from pathlib import Path

import pytest

from hc_interp.checksum import FORMAT, read_checked, write_checked
from hc_interp.components import Head, universe
from hc_interp.errors import ChecksumError, HCWarning, ResultError
from hc_interp.records.result import read
from hc_interp.subnetwork import Subnetwork

RECORD = {"result": [1, 2.5, "é"], "settings": "mine"}


def load(path: Path):
    return read_checked(path, "saved Thing", "Make it again.")


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_a_record_comes_back_and_is_plain_json(tmp_path) -> None:
    path = write_checked(tmp_path / "x.json", RECORD)
    assert load(path) == (RECORD, True)
    assert list(json.loads(path.read_text())) == ["sha256", "format", "result", "settings"]
    assert path.read_bytes() == write_checked(tmp_path / "y.json", RECORD).read_bytes()
    assert load(write_checked(tmp_path / "empty.json", {})) == ({}, True)


def test_every_flipped_bit_is_noticed(tmp_path) -> None:
    path = write_checked(tmp_path / "x.json", RECORD)
    content = path.read_bytes()
    damaged = 0
    for bit in range(8 * len(content)):
        path.write_bytes(flipped(content, bit))
        with pytest.raises((ChecksumError, ValueError)) as caught:
            load(path)
        damaged += isinstance(caught.value, ChecksumError)
    assert damaged == 8 * len(content)  # each is called damage, wherever it is


def test_damage_says_which_file_and_what_to_do(tmp_path) -> None:
    path = write_checked(tmp_path / "x.json", RECORD)
    message = (
        r"x\.json is not a saved Thing any more: it was damaged or changed .*checksum does not fit\)\. Make it again"
    )
    content = path.read_text()
    for changed in (
        content.replace("2.5", "2.25"),
        content + " ",
        content[:-9],
        re.sub(r' "sha256".*\n', "", content),  # the checksum cut out of a file that must have one
        json.dumps(json.loads(content)),
        json.dumps({"result": 1, "format": FORMAT}),
        json.dumps({"result": "far from the head" * 20, "format": FORMAT}),
    ):
        path.write_text(changed)
        with pytest.raises(ChecksumError, match=message):
            load(path)


def test_a_newer_file_asks_for_an_update_and_a_damaged_number_does_not(tmp_path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"format": FORMAT + 1, "result": 1}))
    with pytest.raises(ChecksumError, match=rf"of format {FORMAT + 1}, which a newer hc_interp .*Update hc_interp"):
        load(path)
    with pytest.raises(ResultError, match="Update hc_interp"):
        read(path)
    write_checked(path, RECORD)
    path.write_text(path.read_text().replace(f'"format": {FORMAT}', f'"format": {FORMAT + 1}'))
    with pytest.raises(ChecksumError, match="damaged"):
        load(path)


def test_a_file_of_before_the_checksum_loads_with_a_note(tmp_path) -> None:
    kept = Subnetwork(frozenset([Head(0, 1)]), universe(2, 2))
    path = tmp_path / "kept.json"
    path.write_text(json.dumps({"kind": "Subnetwork", **kept.to_dict()}))
    for load_it in (Subnetwork.load, read):
        with pytest.warns(
            HCWarning, match=r"kept\.json was written by an earlier hc_interp, without a checksum"
        ) as caught:
            assert load_it(path) == kept
        assert [item.filename for item in caught] == [__file__]
    kept.save(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HCWarning)
        assert Subnetwork.load(path) == read(path) == kept


def test_the_names_of_its_own_entries_are_taken(tmp_path) -> None:
    for name in ("format", "sha256"):
        with pytest.raises(ResultError, match=f"cannot hold an entry '{name}'"):
            write_checked(tmp_path / "x.json", {name: 1})
    assert not list(tmp_path.iterdir())


def test_random_damage_to_more_than_one_bit_is_noticed(tmp_path) -> None:
    path = write_checked(tmp_path / "x.json", RECORD)
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(300):
        changed = content
        for _ in range(rng.randint(2, 6)):
            changed = flipped(changed, rng.randrange(8 * len(content)))
        path.write_bytes(changed)
        if changed != content:
            with pytest.raises((ChecksumError, ValueError)):
                load(path)
