"""The comparison sets of the premises: what they hold, and when they are all sets there are."""

from hc_interp.components import Head, universe
from hc_interp.reading.premise_sets import disjoint_sets, within_layer_sets

HEADS = universe(4, 6, mlps=False)
CORE = (Head(0, 0), Head(1, 1), Head(2, 0))
GENERALIZING = (Head(2, 1), Head(2, 2), Head(3, 4))


def test_within_layers_there_are_as_many_heads_of_each_layer_none_of_the_core_and_never_the_heads_themselves() -> None:
    sets = within_layer_sets(GENERALIZING, CORE, HEADS, 40, 0)
    assert len(set(sets)) == 40
    for heads in sets:
        assert [head.layer for head in heads] == [2, 2, 3]
        assert not set(heads) & set(CORE)
        assert heads != GENERALIZING
    assert any(set(heads) & set(GENERALIZING) for heads in sets)
    assert sets != within_layer_sets(GENERALIZING, CORE, HEADS, 40, 1)


def test_all_sets_are_taken_where_there_are_no_more() -> None:
    sets = within_layer_sets(GENERALIZING, CORE, HEADS, 59, 0)  # (5 choose 2) * 6 - 1
    assert len(set(sets)) == 59
    assert GENERALIZING not in sets


def test_disjoint_sets_hold_neither_core_nor_generalizing_heads() -> None:
    sets = disjoint_sets(GENERALIZING, CORE, HEADS, 30, 0)
    assert len(set(sets)) == 30
    assert all(len(heads) == 3 and not set(heads) & {*CORE, *GENERALIZING} for heads in sets)
    assert len({head.layer for heads in sets for head in heads}) == 4
    few = (*CORE, *(head for head in HEADS if head.layer in (0, 1)))
    assert len(disjoint_sets(GENERALIZING, few, HEADS, 99, 0)) == 56  # 8 others, choose 3
    assert disjoint_sets(GENERALIZING, HEADS[3:], HEADS, 9, 0) == (HEADS[:3],)
    assert disjoint_sets(GENERALIZING, HEADS[2:], HEADS, 9, 0) == ()
