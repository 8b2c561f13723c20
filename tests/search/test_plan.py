"""Which rows are drawn: nothing leaks from a source, seeds differ, batches are whole and of similar length."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import tiny_batch

from hc_interp.data.examples import Examples
from hc_interp.data.parts import as_parts, fingerprint, pick, sources_of
from hc_interp.errors import DataError, SearchError
from hc_interp.search.plan import draw_plan, epochs, held_out_rows, seed_of


def examples(n: int, n_sources: int) -> Examples:
    return Examples([f"text {i}" for i in range(n)], source=[f"s{i % n_sources}" for i in range(n)], label=[0] * n)


@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(1, 20), st.integers(0, 3))
def test_no_source_is_on_both_sides_of_the_split(codes, n_requested, seed):
    sources = [f"s{code}" for code in codes]
    train, aside = held_out_rows(sources, n_requested, seed)
    assert sorted([*train, *aside]) == list(range(len(sources)))
    assert not {sources[i] for i in train} & {sources[i] for i in aside}
    counts = Counter(sources)
    most = n_requested + n_requested // 8
    assert 1 <= len(aside) <= max(most, min(counts.values()))
    if len(aside) < n_requested:  # then no other source fits beside them
        assert all(len(aside) + counts[sources[i]] > most for i in train)


@pytest.mark.parametrize(("counts", "n_aside"), [((110, 10), 10), ((60, 60), 60), ((118, 1, 1), 2)])
def test_a_large_source_does_not_swallow_the_data(counts, n_aside):
    sources = [f"s{i}" for i, count in enumerate(counts) for _ in range(count)]
    train, aside = held_out_rows(sources, len(sources) // 4, 0)
    assert (len(train), len(aside)) == (120 - n_aside, n_aside)


@given(st.integers(8, 60), st.integers(1, 8), st.integers(0, 5))
def test_an_epoch_gives_every_row_at_most_once_in_whole_batches(n, size, seed):
    rows = torch.arange(n) + 100
    lengths = torch.arange(n + 100) % 17 + 3
    n_batches = n // size
    stream = epochs(rows, lengths, size, np.random.default_rng(seed))
    for _ in range(2):
        seen = torch.cat(list(islice(stream, n_batches))).tolist()
        assert len(seen) == len(set(seen)) == n_batches * size
        assert set(seen) <= set(rows.tolist())


def test_batches_hold_rows_of_similar_length():
    lengths = torch.from_numpy(np.random.default_rng(0).integers(5, 60, 256))
    stream = epochs(torch.arange(256), lengths, 16, np.random.default_rng(1))
    padded = sum(int(lengths[rows].max()) * 16 for rows in islice(stream, 16))
    unsorted = sum(int(part.max()) * 16 for part in lengths.split(16))
    assert padded < 0.7 * unsorted


def test_each_seed_draws_its_own_half():
    plan = draw_plan([examples(400, 400)], (0, 1), n_train=1000, batch_size=8)
    assert len(plan.held_out) == 100
    assert len(plan.train[0]) == len(plan.train[1]) == 150
    assert set(plan.train[0]) != set(plan.train[1])
    for drawn in plan.train.values():
        assert not set(drawn) & set(plan.held_out)
    encoded = np.concatenate(plan.groups)
    assert encoded[plan.held_out_index].tolist() == plan.held_out.tolist()
    assert all(encoded[plan.train_index(seed)].tolist() == plan.train[seed].tolist() for seed in (0, 1))
    alone = draw_plan([examples(400, 400)], (1,), n_train=1000, batch_size=8)
    assert alone.train[1].tolist() == plan.train[1].tolist()


@pytest.mark.parametrize(("n", "n_sources"), [(9, 9), (40, 1)])
def test_too_little_data_is_an_error_with_the_numbers(n, n_sources):
    with pytest.raises(SearchError, match=f"{n} examples of {n_sources} sources.*fewer than one batch of 16"):
        draw_plan([examples(n, n_sources)], (0,), n_train=64, batch_size=16)


def test_streams_of_one_seed_and_seeds_of_one_stream_differ():
    seeds = {seed_of(seed, stream) for seed in range(20) for stream in ("data", "order", "gates")}
    assert len(seeds) == 60


def test_rows_are_picked_over_several_parts():
    parts = as_parts([examples(5, 5), tiny_batch(4)])
    assert len(sources_of(parts)) == 9
    assert len(set(sources_of(parts))) == 9
    first, second = pick(parts, [1, 3, 5, 8])
    assert first.first == ("text 1", "text 3")
    assert second.ids == ("row-0", "row-3")
    assert len(pick(parts, [6])) == 1
    assert fingerprint(parts) != fingerprint(parts[:1])


@pytest.mark.parametrize("data", [3, "text", [examples(3, 3), "text"], {"a": 1}])
def test_data_that_is_none_is_an_error(data):
    with pytest.raises(DataError, match="expected a split of a task"):
        as_parts(data)


def test_batches_come_in_no_order_of_length():
    """One window of eight batches, each of one length: no epoch may begin with the shortest by rule."""
    lengths = torch.arange(1, 9).repeat_interleave(4)
    batches, orders = epochs(torch.arange(32), lengths, 4, np.random.default_rng(0)), []
    for _ in range(4):
        order = [int(lengths[next(batches)].float().mean()) for _ in range(8)]
        assert sorted(order) == list(range(1, 9))
        orders.append(tuple(order))
    assert len(set(orders)) == 4
