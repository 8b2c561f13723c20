"""Pairs of two tables are matched by id, and a column says which choose heads and which test them."""

import pytest

import hc_interp as hc
from hc_interp.data.contrast import split_of
from hc_interp.errors import DataError

TWO = ('file = "pairs.csv"', 'clean = { file = "cases.csv", case = "swapped" }\n'
       'corrupt = { file = "cases.csv", case = "kept" }\ncolumns = { id = "pair" }')  # fmt: skip


def test_rows_of_two_tables_meet_by_id(folder, change) -> None:
    expected = hc.load_task(folder / "my_task.toml").contrast_pairs("swapped")
    lines = (folder / "cases.csv").read_text().splitlines()
    (folder / "cases.csv").write_text("\n".join([lines[0], *lines[:0:-1]]))  # the other order
    lines[1], lines[3] = lines[3], lines[1]
    (folder / "cases.csv").write_text("\n".join(lines))  # kept: 2, 1; swapped: 1, 2
    change("my_task.toml", *TWO)
    pairs = hc.load_task(folder / "my_task.toml").contrast_pairs("swapped")
    assert pairs.ids == ("1", "2")
    assert [side.first for side in pairs.sides] == [side.first for side in expected.sides]
    assert [side.second for side in pairs.sides] == [side.second for side in expected.sides]
    assert (pairs.gold, pairs.units) == (expected.gold, expected.units)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("swapped,2", "swapped,1", r"has the id '1' in column 'pair' more than once.*give each row an id of its own"),
        ("swapped,2", "swapped,3",
         r"number 1, clean has the id '3' in row 1 of .*corrupt .* has no such id: 1 of 2 rows"),
        ("d saw c,c saw d,neutral,swapped,2,saw\n", "",
         r"number 1, corrupt has the id '2' in row 1 of .*no such id: 1 of 2"),
        ("kept,2", "kept,", r"nothing in column 'pair', row 1"),
        ("swapped,1", "gone,1", r"number 1, corrupt has the id '1'"),
    ],
)  # fmt: skip
def test_rows_without_a_partner(before, after, message, folder, change) -> None:
    change("my_task.toml", *TWO)
    change("cases.csv", before, after)
    with pytest.raises(DataError, match=message):
        hc.load_task(folder / "my_task.toml")


def test_a_table_without_ids_or_without_the_case(folder, change) -> None:
    change("my_task.toml", TWO[0], TWO[1].replace('columns = { id = "pair" }', ""))
    with pytest.raises(DataError, match=r"cases.csv has no column 'id' \(id\)"):
        hc.load_task(folder / "my_task.toml")
    change("my_task.toml", 'case = "kept" }\n', 'case = "kpet" }\ncolumns = { id = "pair" }\n')
    with pytest.raises(DataError, match=r"cases.csv has no row of case 'kpet'; did you mean 'kept'"):
        hc.load_task(folder / "my_task.toml")


def with_splits(folder, *splits) -> None:
    lines = (folder / "pairs.csv").read_text().splitlines()
    (folder / "pairs.csv").write_text("\n".join(map(",".join, zip(lines, ["split", *splits], strict=True))))


@pytest.mark.parametrize("test", [0, 1])
def test_a_column_says_which_pairs_choose_and_which_test(test, folder) -> None:
    splits = ["select", "select"]
    splits[test] = "test"
    with_splits(folder, *splits)
    task = hc.load_task(folder / "my_task.toml")
    parts = {name: task.contrast_pairs("swapped", split=name) for name in ("select", "test")}
    every = task.contrast_pairs("swapped")
    assert parts["test"].clean.first == (every.clean.first[test],)
    assert parts["select"].clean.first == (every.clean.first[1 - test],)
    assert parts["test"].split == "test"
    assert every.reversed().by_split("test").ids == parts["test"].ids


def test_a_source_in_both_splits_is_refused(folder, change) -> None:
    with_splits(folder, "select", "validation")
    with pytest.raises(DataError, match=r"has 'validation' in column 'split', row 1 .*Expected 'select'"):
        hc.load_task(folder / "my_task.toml")
    change("pairs.csv", "validation", "test")
    text = (folder / "pairs.csv").read_text()
    (folder / "more.csv").write_text(text.replace("select", "other").replace("test", "select").replace("other", "test"))
    with (folder / "my_task.toml").open("a") as file:
        file.write('\n[[pairs]]\ncase = "kept"\nkind = "order"\nfile = "more.csv"\n')
    with pytest.raises(
        DataError,
        match=r"2 sources of pairs are in both splits, the first: 'a met b' in 'select' \(order pairs of swapped, "
        r"row 0\) and 'test' \(order pairs of kept, row 0\)",
    ):
        hc.load_task(folder / "my_task.toml")


def test_a_table_without_the_column_is_divided_by_sources_and_must_agree(folder) -> None:
    own, other = (split_of(source) for source in ("a met b", "c saw d"))
    (folder / "more.csv").write_text((folder / "pairs.csv").read_text())
    with (folder / "my_task.toml").open("a") as file:
        file.write('\n[[pairs]]\ncase = "kept"\nkind = "order"\nfile = "more.csv"\n')
    text = (folder / "pairs.csv").read_text()
    with_splits(folder, own, other)
    assert len(hc.load_task(folder / "my_task.toml").contrast_pairs("kept")) == 2
    (folder / "pairs.csv").write_text(text)
    with_splits(folder, own, "test" if other == "select" else "select")
    with pytest.raises(DataError, match="1 sources of pairs are in both splits, the first: 'c saw d'"):
        hc.load_task(folder / "my_task.toml")
