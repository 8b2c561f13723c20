"""A function of one's own on workers: every item comes back with its future, done ones first."""

from concurrent.futures import Future

import pytest
from pieces_work import Inline, Jobs

import hc_interp as hc


@pytest.mark.parametrize("executor", [Inline(), Jobs()], ids=["futures", "submitit"])
def test_every_item_comes_back_with_what_the_function_gave(executor) -> None:
    found = {item: future.result() for item, future in hc.spread.as_finished(executor, lambda x: x * x, range(5))}
    assert found == {0: 0, 1: 1, 2: 4, 3: 9, 4: 16}


def test_an_error_is_in_the_items_own_future() -> None:
    executor = Inline(lambda number: RuntimeError("lost") if number == 2 else None)
    futures = dict(hc.spread.as_finished(executor, str, "abc"))
    assert [futures[item].exception() is None for item in "abc"] == [True, False, True]


def test_what_is_not_begun_is_cancelled_when_the_loop_is_left() -> None:
    waiting: Future = Future()

    class Half(Inline):
        def submit(self, fn, /, *args):
            return super().submit(fn, *args) if args[0] == "a" else waiting

    for item, _ in hc.spread.as_finished(Half(), str, "ab"):
        assert item == "a"
        break
    assert waiting.cancelled()
