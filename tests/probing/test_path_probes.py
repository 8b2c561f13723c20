"""The key experiment on models whose circuit was written by hand: what arrives over which paths is known."""

import built_reading as built
import numpy as np
import pytest

from hc_interp.components import Head
from hc_interp.data.overlap import concatenate
from hc_interp.errors import ComponentError, DataError, HCError
from hc_interp.interventions.means import mean_activations
from hc_interp.models.site import Site
from hc_interp.probing.path_probes import probe_paths, random_senders
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe import fit_probe

V = Site(2, "v", 0)
SIGN = np.repeat([0.0, 1.0], 60)


@pytest.fixture(scope="module")
def signs():
    """120 texts with the sign "p" or "n"; nothing else tells which."""
    parts = [built.examples(60, word, label, seed=3 + label, prefix=word) for label, word in enumerate("pn")]
    return concatenate(parts)


def measured(story: str, data, **more) -> PathProbes:
    model = built.built_model(story)
    means = mean_activations(model, data)
    return probe_paths(model, data, built.READER, SIGN, senders=built.CORE, source=means, n_random=2, **more)


@pytest.mark.parametrize("story", ["direct", "mlps", "all"])
def test_what_came_from_the_core_is_gone_and_random_cuts_leave_it(story, signs) -> None:
    result = measured(story, signs)
    scores = result.scores(V)
    assert scores["clean"].value >= 0.99
    assert scores["random"].value >= 0.99
    assert scores["cut"].low < 0.5 < scores["cut"].high
    assert scores["difference"].low > 0.2
    assert scores["random_drop"].high == 0
    assert result.scores(Site(2, "q", 0))["clean"].value == 0.5  # the head's query reads nothing: nothing was built in
    for senders in result.random_senders:
        assert not {head for _, heads in senders for head in heads} & {*built.CORE, built.READER}


def test_a_reader_of_other_heads_keeps_what_it_reads(signs) -> None:
    scores = measured("decoy", signs).scores(V)
    assert scores["cut"].value == scores["clean"].value == 1
    assert (scores["drop"].low, scores["drop"].high) == (0, 0)


def test_a_later_receiver_does_not_see_the_cut_of_an_earlier_one(signs) -> None:
    """L1H0 reads the core and sends to the reader, which has no direct path from the core that carries anything."""
    model = built.built_model("all")
    means = mean_activations(model, signs)
    receivers = [Head(1, 0), built.READER]
    joint = probe_paths(
        model, signs, receivers, SIGN, senders=built.CORE, source=means, inputs=("v",), route="direct", n_random=0
    )
    assert joint.scores(Site(1, "v", 0))["cut"].low < 0.5
    assert joint.scores(V)["cut"].value == 1


def test_a_site_is_named_by_a_site(overlap) -> None:
    with pytest.raises(ComponentError, match=r"'L1H0\.v' was given as a site.*hc\.Site"):
        overlap.scores("L1H0.v")


def test_a_direct_cut_does_not_touch_what_mlps_carry(signs) -> None:
    assert measured("mlps", signs, route="direct").scores(V)["cut"].value == 1


@pytest.fixture(scope="module")
def overlap(model, examples) -> PathProbes:
    """L0H0 sees overlap; L1H0 reads it over the stream; L0H1 is the only other head below."""
    means = mean_activations(model, examples)
    head = Head(1, 0)
    return probe_paths(model, examples, head, senders=Head(0, 0), source=means, inputs=("v", "v_in"), n_random=1)


def test_overlap_at_the_inputs_of_a_head(model, examples, overlap) -> None:
    site = Site(1, "v_in", 0)
    scores = overlap.scores(site, "auc")
    assert scores["drop"].low > 0
    assert scores["difference"].low > 0
    assert scores["cut"].low < 0.5 < scores["cut"].high
    assert overlap.random_senders == (((Head(1, 0), (Head(0, 1),)),),)
    alone = fit_probe(model, examples, site, "token_overlap").scores
    assert scores["clean"].value == pytest.approx(alone["auc"].value)
    assert scores["word"].value == pytest.approx(alone["word_auc"].value)


def test_differences_are_paired_and_add_up(overlap) -> None:
    for site in overlap.sites:
        for metric in overlap.metrics:
            scores = overlap.scores(site, metric)
            assert scores["drop"].value == pytest.approx(scores["clean"].value - scores["cut"].value)
            assert scores["difference"].value == pytest.approx(scores["drop"].value - scores["random_drop"].value)
            assert all(s.low <= s.value <= s.high for s in scores.values())
    low, high = overlap.random_range(overlap.sites[0])
    assert low == high == overlap.scores(overlap.sites[0])["random"].value


def test_frame_repr_save_and_load(overlap, tmp_path) -> None:
    frame = overlap.to_frame()
    assert list(frame.columns) == ["site", "receiver", "input", "metric", "quantity", "value", "low", "high"]
    assert set(frame["quantity"]) == {"clean", "cut", "random", "word", "drop", "random_drop", "difference"}
    assert "route all" in repr(overlap)
    loaded = PathProbes.load(overlap.save(tmp_path / "paths.json"))
    assert loaded.to_frame().equals(frame)
    assert loaded.senders == overlap.senders


def test_random_heads_come_from_the_senders_layers_where_they_can(any_model) -> None:
    rng = np.random.default_rng(0)
    senders = (Head(0, 0), Head(1, 1))
    for _ in range(5):
        drawn = random_senders(any_model, senders, Head(2, 0), exclude=[Head(0, 1)], rng=rng)
        assert [head.layer for head in drawn] == [0, 1]
        assert drawn[0] == Head(0, 2)
    crowded = random_senders(any_model, [Head(0, 0), Head(0, 1)], Head(1, 0), exclude=[], rng=rng)
    assert crowded == (Head(0, 2),)  # fewer where there are no more


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"senders": Head(1, 1)}, ComponentError, "No sender is upstream of L1H0"),
        ({"senders": "L0MLP"}, ComponentError, "expected one head or several"),
        ({"receivers": "output"}, ComponentError, "receivers were given as"),
        ({"receivers": "L7H0"}, ComponentError, "not a component"),
        ({"inputs": "qkv"}, ComponentError, "expected some of q, k, v, q_in"),
        ({"inputs": ("z",)}, ComponentError, "expected some of"),
        ({"n_random": -1}, DataError, "n_random=-1"),
        ({"feature": np.zeros(3)}, DataError, "3 entries"),
        ({"route": "around"}, HCError, "choose one of direct"),
        ({"source": "mean"}, HCError, "not a source"),
    ],
)
def test_bad_input(model, examples, change, error, message: str) -> None:
    arguments = {"receivers": Head(1, 0), "senders": Head(0, 0), "source": 0} | change
    with pytest.raises(error, match=message):
        probe_paths(model, examples, **arguments)


def test_a_metric_or_site_that_was_not_measured(overlap) -> None:
    with pytest.raises(ComponentError, match="this feature has accuracy, auc"):
        overlap.scores(overlap.sites[0], "r2")
    with pytest.raises(ComponentError, match="was not probed"):
        overlap.scores(Site(0, "v", 0))
