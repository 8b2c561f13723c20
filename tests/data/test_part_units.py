"""Units of rows over all parts of data: named ones, those that the grammar reads, and a source for each row of ids."""

import torch

import hc_interp as hc
from hc_interp.data.part_units import part_units


def test_rows_of_all_parts_have_their_levels() -> None:
    named = hc.Examples(("a b", "c d"), None, (0, 1), source=("x", "y"), units={"verb": ("saw", ("saw", "met"))})
    batch = hc.Batch(torch.ones(2, 3, dtype=torch.long), torch.ones(2, 3, dtype=torch.long))
    assert part_units([named, batch]) == {
        "source": (("x",), ("y",), ("1:0",), ("1:1",)),
        "verb": (("saw",), ("saw", "met"), (), ()),
    }


def test_units_that_are_not_named_are_read_by_the_grammar() -> None:
    drawn = hc.load_task("overlap-grammar", max_per_case=5).cases["lexical_overlap_ln_passive"]
    assert drawn.units is None
    assert {"source", "verb", "noun", "template"} <= set(part_units([drawn]))
