"""Rows that a model cannot read: counted over a whole task, and left out."""

from dataclasses import replace

import pytest
from built_reading import CLASSES, GROUPS, built_model, examples, pairs
from hypothesis import given, settings
from hypothesis import strategies as st

from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.fitting import check_fits, count_unreadable, unreadable
from hc_interp.data.task import Task
from hc_interp.errors import DataError


@pytest.fixture(scope="module")
def model():
    return built_model("direct")  # 40 positions, two of them for [CLS] and [SEP]


def texts(*words: int) -> Examples:
    """A text of so many words each."""
    names = tuple(f"t{i}" for i in range(len(words)))
    return Examples(tuple("w1 " * n for n in words), None, (0,) * len(words), names, names, GROUPS, CLASSES)


def long_pairs(*words: int) -> ContrastPairs:
    corrupt = replace(texts(*words), first=tuple("w2 " * n for n in words), label=(1,) * len(words))
    return ContrastPairs(texts(*words), corrupt, (0,) * len(words), kind="order")


def task(**changes) -> Task:
    own = {"train": texts(5, 6), "validation": texts(7), "cases": {"a": texts(8, 9)}, "overlap": texts(10)}
    return Task("t", **{**own, **changes}, groups=GROUPS, classes=CLASSES)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=6))
def test_they_are_those_whose_tokens_do_not_fit(model, words) -> None:
    expected = [place for place, n in enumerate(words) if n + 2 > model.max_positions]
    assert unreadable(model, texts(*words)) == expected


def test_letters_of_several_bytes_are_told_by_bytes(model) -> None:
    """14 letters of 3 bytes: fewer letters than positions, which a tokenizer of bytes would not fit."""
    asked = []

    class Spy:
        max_positions = 40

        def tokenizer(self, first, second):
            asked.extend(first)
            return {"input_ids": [range(45) for _ in first]}

    made = Examples(("語" * 14, "ab"), None, (0, 0))
    assert unreadable(Spy(), made) == [0]
    assert asked == ["語" * 14]


@pytest.mark.parametrize("place", ["train", "validation", "overlap", "cases", "pairs"])
def test_every_part_is_counted_and_every_part_is_left_with_what_fits(model, place) -> None:
    many = {"cases": {"a": texts(8), "b": texts(50, 8, 60)}, "pairs": {("a", "order"): long_pairs(50, 8, 60)}}
    given = task(**{place: many.get(place, texts(50, 8, 60))})
    name = {"cases": "case b", "pairs": "order pairs of a"}.get(place, place)
    assert count_unreadable(model, given) == {name: (2, 3)}
    with pytest.raises(DataError, match=rf"cannot read 2 of 3 in {name}: .*task\.fitting\(model\)"):
        check_fits(model, given)
    fits = given.fitting(model)
    assert count_unreadable(model, fits) == {}
    check_fits(model, fits)
    part = {"cases": lambda: fits.case("b"), "pairs": lambda: fits.pairs["a", "order"].clean}
    assert part.get(place, lambda: getattr(fits, place))().id == ("t1",)


def test_a_task_that_fits_is_the_same(model) -> None:
    given = task()
    assert given.fitting(model) is given


def test_pairs_that_a_task_makes_are_left_out_when_they_are_made(model) -> None:
    class Maker:
        def kinds(self, case):
            return ("order",)

        def make(self, case, kind):
            return long_pairs(50, 8)

    fits = task(pairs=Maker()).fitting(model)
    assert fits.pair_kinds("a") == ("order",)
    assert fits.contrast_pairs("a", "order").ids == ("t1",)


def test_a_part_of_which_nothing_fits_is_an_error(model) -> None:
    with pytest.raises(DataError, match="none of the 2 rows of case a"):
        task(cases={"a": texts(50, 60)}).fitting(model)


def test_a_side_that_does_not_fit_takes_its_pair_along(model) -> None:
    clean, corrupt = examples(2), replace(texts(3, 50), label=(1, 1))
    both = ContrastPairs(clean, corrupt, (0, 0), kind="own")
    assert len(task(pairs={("a", "own"): both}).fitting(model).pairs["a", "own"]) == 1
    assert len(pairs(4)) == 4


def test_without_a_tokenizer_nothing_is_left_out() -> None:
    class Encoded:
        tokenizer, max_positions = None, 40

    given = task(train=texts(50), pairs={("a", "order"): long_pairs(50, 8)})
    assert count_unreadable(Encoded(), given) == {}
    assert given.fitting(Encoded()) is given
    assert unreadable(Encoded(), texts(50)) == []
