"""Activations at places: the same as a plain run gives, under interventions too."""

import copy
from functools import partial

import numpy as np
import pytest

from hc_interp.components import Head
from hc_interp.data.encode import batches
from hc_interp.errors import ComponentError, DataError
from hc_interp.interventions.nodes import Scale
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.probing.activations import check_readable, collect
from hc_interp.probing.features import feature_values

SITES = [Site.embed(), Site(0, "z", 1), Site(1, "v", 0), Site(0, "v_in", 1), Site(1, "resid_post"), Site.pooled()]


@pytest.mark.parametrize("interventions", [[], [Scale(Head(0, 0), 2.0)]])
def test_places_are_read_as_a_plain_run_gives_them(model, examples, interventions) -> None:
    places = feature_values(model, examples, "token_overlap")
    vectors = collect(model, examples, SITES, places.row, places.position, interventions, batch_size=7)
    plain = {}
    for item in batches(model, examples, 1, with_labels=False):
        plain[int(item.index[0])] = model.run(item.batch, interventions, capture=SITES).captured
    for site in SITES:
        assert len(vectors[site]) == len(places)
        for i in range(0, len(places), 37):
            value = plain[int(places.row[i])][site][0]
            expected = value if site.kind == "pooled" else value[int(places.position[i])]
            np.testing.assert_allclose(vectors[site][i], expected, atol=1e-5, rtol=1e-4)


def test_only_asked_examples_are_run_and_order_is_kept(model, examples) -> None:
    site = Site(1, "resid_post")
    row, position = np.array([5, 2, 5]), np.array([3, 1, 3])
    vectors = collect(model, examples, [site], row, position)[site]
    assert np.array_equal(vectors[0], vectors[2])
    assert not np.array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize(
    ("site", "by_token", "message"),
    [
        (Site(9, "z", 0), False, "layers 0 to 1"),
        (Site(0, "z", 7), False, "heads 0 to 1"),
        (Site(0, "pattern", 0), False, "attention pattern"),
        (Site(0, "z"), False, "Name a head"),
        (Site.pooled(), True, "token-level feature cannot be read"),
        ("L0H0", False, "is not a site"),
    ],
)
def test_sites_that_cannot_be_probed(model, site, by_token: bool, message: str) -> None:
    with pytest.raises(ComponentError, match=message):
        check_readable(model, [site], by_token=by_token)


def test_positions_outside_the_text(model, examples) -> None:
    with pytest.raises(DataError, match="was given for an example with"):
        collect(model, examples, [Site.embed()], np.array([0]), np.array([99]))


def test_what_outgrows_the_memory_setting_streams_to_disk(model, examples) -> None:
    places = feature_values(model, examples, "token_overlap")
    read = partial(collect, model, examples, SITES, places.row, places.position)
    inside, outside = read(), read(memory_gib=1e-6)
    for site in SITES:
        assert not isinstance(inside[site], np.memmap)
        assert isinstance(outside[site], np.memmap)
        assert np.array_equal(inside[site], outside[site])
    size = sum(array.nbytes for array in inside.values()) / 2**30
    assert not isinstance(read(memory_gib=size)[SITES[0]], np.memmap)
    assert isinstance(read(memory_gib=size * 0.999)[SITES[0]], np.memmap)
    with pytest.raises(DataError, match="memory_gib=-1"):
        read(memory_gib=-1)


def test_half_precision_is_read_in_float32(model, examples) -> None:
    half = load(copy.deepcopy(model.module).bfloat16(), tokenizer=model.tokenizer, labels=model.labels)
    vectors = collect(half, examples.rows([0]), [SITES[1]], np.array([0]), np.array([2]))[SITES[1]]
    assert vectors.dtype == np.float32
