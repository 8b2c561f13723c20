"""Probes on a model whose L0H0 sees overlap by construction."""

import math

import numpy as np
import pytest
import torch

from hc_interp.components import Head
from hc_interp.data.encode import batches
from hc_interp.errors import ComponentError, DataError, HCError, InterventionError
from hc_interp.interventions.erase import Erase
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Steer
from hc_interp.models.site import Site
from hc_interp.probing.differences import gain
from hc_interp.probing.features import Feature, feature_values
from hc_interp.probing.probe import Probe, fit_probe
from hc_interp.probing.probe_map import ProbeMap, probe_map

OVERLAP = Site(0, "z", 0)


@pytest.fixture(scope="module")
def probe(model, examples) -> Probe:
    return fit_probe(model, examples, OVERLAP, "token_overlap", untrained=True)


def test_a_feature_that_is_there_is_read(probe) -> None:
    scores = probe.scores
    assert scores["auc"].value >= 0.99
    assert scores["accuracy"].value >= 0.97
    assert scores["selectivity"].value > 0.3
    assert scores["selectivity"].low > 0.3
    for chance in ("word_auc", "shuffled_auc", "untrained_auc"):
        assert scores[chance].value < 0.75


def test_selectivity_is_the_difference_and_lies_in_its_interval(probe) -> None:
    scores = probe.scores
    assert scores["selectivity"].value == pytest.approx(scores["accuracy"].value - scores["control_accuracy"].value)
    assert all(s.low <= s.value <= s.high for s in scores.values())
    right = (probe.predicted > 0) == (probe.places.feature.value > 0.5)
    assert scores["accuracy"].value == pytest.approx(right.mean())


def test_ablating_the_head_leaves_chance(model, examples) -> None:
    means = mean_activations(model, examples)
    for source in (0, means):
        read = fit_probe(model, examples, OVERLAP, "token_overlap", interventions=[Ablate(Head(0, 0), source)])
        assert read.scores["auc"].value == 0.5
        assert not read.weights.any()
        assert read.direction.isnan().all()
    later = Site(1, "resid_pre")
    kept = fit_probe(model, examples, later, "token_overlap").scores["auc"]
    lost = fit_probe(model, examples, later, "token_overlap", interventions=[Ablate(Head(0, 0), 0)]).scores["auc"]
    assert kept.low > lost.high


def test_a_path_is_cut_into_what_a_head_reads(model, examples, tmp_path) -> None:
    means = mean_activations(model, examples)
    site = Site(1, "v", 0)
    whole = fit_probe(model, examples, site, "token_overlap")
    path = PatchPath([Head(0, 0)], Head(1, 0), through=("v",), source=means)
    cut = fit_probe(model, examples, site, "token_overlap", interventions=[path])
    assert whole.scores["auc"].low > cut.scores["auc"].high
    assert whole.interventions == ()
    (record,) = Probe.load(cut.save(tmp_path / "cut.json")).interventions
    assert record == {
        "type": "PatchPath", "words": repr(path), "senders": (Head(0, 0),), "receivers": (Head(1, 0),),
        "through": ("v",), "source": {"type": "MeanActivations", "words": repr(means)}, "route": "direct",
    }  # fmt: skip


def test_differences_have_the_level_that_the_probe_was_given(model, examples) -> None:
    wide, narrow = (fit_probe(model, examples, OVERLAP, "token_overlap", level=level) for level in (0.95, 0.5))
    assert (wide.level, narrow.level, ProbeMap.of([narrow]).probes[0].level) == (0.95, 0.5, 0.5)
    assert gain(narrow).value == gain(wide).value
    assert gain(narrow).high - gain(narrow).low < gain(wide).high - gain(wide).low


def test_what_only_the_source_tells_is_not_found(model, many_per_source) -> None:
    """Random labels per premise: memory of a premise may not help, whatever the probe sees of it."""
    data = many_per_source
    labels = np.random.default_rng(0).integers(0, 2, size=30).repeat(20)
    site = Site(1, "resid_post")
    honest = fit_probe(model, data, site, labels).scores["auc"]
    assert honest.low < 0.5 < honest.high
    by_row = type(data)(data.first, data.second, source=data.id)
    leaking = fit_probe(model, by_row, site, labels).scores["auc"]
    assert leaking.low > 0.5  # the same data does leak where sources are not kept together


def test_a_memorised_feature_has_no_selectivity(model, examples) -> None:
    rng = np.random.default_rng(5)
    label: dict[str, float] = {}

    def by_word(first, second) -> list[float]:
        return [label.setdefault(word, float(rng.integers(0, 2))) for word in second]

    scores = fit_probe(model, examples, Site.embed(), Feature("random", "token", "binary", by_word)).scores
    assert scores["accuracy"].value > 0.99
    assert scores["control_accuracy"].value > 0.99
    assert abs(scores["selectivity"].value) < 0.01


def test_the_same_seed_gives_the_same_probe(model, examples, probe) -> None:
    again = fit_probe(model, examples, OVERLAP, "token_overlap")
    assert torch.equal(again.weights, probe.weights)
    assert np.array_equal(again.predicted, probe.predicted)
    other = fit_probe(model, examples, OVERLAP, "token_overlap", seed=1)
    assert not np.array_equal(other.places.fold, probe.places.fold)


def test_the_direction_raises_the_prediction_by_one(model, examples, probe) -> None:
    item = batches(model, examples, 8, with_labels=False)[0]
    direction = probe.direction.to(model.dtype)
    before, after = (
        model.run(item.batch, edits, capture=OVERLAP).captured[OVERLAP] @ probe.weights.to(model.dtype)
        for edits in ([], [Steer(OVERLAP, direction)])
    )
    torch.testing.assert_close(after - before, torch.ones_like(before), atol=1e-4, rtol=1e-4)


def test_max_tokens_takes_whole_examples(model, examples) -> None:
    fitted = fit_probe(model, examples, OVERLAP, "token_overlap", max_tokens=103)
    assert len(fitted.places) == 100
    assert all(fitted.places.to_frame().groupby("id").size() == 4)
    with pytest.raises(DataError, match="max_tokens=0"):
        fit_probe(model, examples, OVERLAP, "token_overlap", max_tokens=0)


def test_pair_and_real_features(model, examples) -> None:
    fitted = fit_probe(model, examples, Site.pooled(), "overlap_share")
    assert {"r2", "word_r2", "control_r2", "shuffled_r2", "selectivity"} == set(fitted.scores)
    assert not fitted.places.feature.position.any()
    known = np.array([text.startswith("doctor") for text in examples.first], dtype=float)
    first = fit_probe(model, examples, Site(1, "resid_post"), known)
    assert (first.places.feature.level, first.places.feature.kind) == ("pair", "binary")


def test_control_is_an_option(model, examples) -> None:
    fitted = fit_probe(model, examples, OVERLAP, "token_overlap", control=False).scores
    assert "selectivity" not in fitted
    assert "accuracy" in fitted


def test_frame_repr_save_and_load(probe, tmp_path) -> None:
    frame = probe.to_frame()
    assert list(frame.columns) == ["site", "feature", "metric", "value", "low", "high", "n"]
    assert set(frame["metric"]) >= {"accuracy", "auc", "majority", "selectivity", "untrained_auc"}
    assert "token_overlap at L0H0.z" in repr(probe)
    assert "<table" in probe._repr_html_()
    loaded = Probe.load(probe.save(tmp_path / "probe.json"))
    assert loaded.site == OVERLAP
    assert torch.equal(loaded.weights, probe.weights)
    assert loaded.to_frame().equals(frame)
    assert loaded.places.to_frame().equals(probe.places.to_frame())


def test_map_has_a_row_per_site_and_equals_single_probes(model, examples, probe, tmp_path) -> None:
    probes = probe_map(model, examples, "token_overlap")
    frame = probes.to_frame()
    assert frame["site"].tolist() == ["L0H0.z", "L0H1.z", "L1H0.z", "L1H1.z"]
    assert "best L0H0.z" in repr(probes)
    assert probes[OVERLAP].scores["auc"].value == pytest.approx(probe.scores["auc"].value)
    assert frame["auc"].idxmax() == 0
    loaded = ProbeMap.load(probes.save(tmp_path / "map.json"))
    assert loaded.to_frame().equals(frame)
    with pytest.raises(ComponentError, match="was not probed"):
        probes[Site(0, "v", 0)]
    with pytest.raises(ComponentError, match="no sites"):
        probe_map(model, examples, "token_overlap", sites=[])


def test_a_site_of_a_map_that_names_no_head_is_that_of_all_heads(model, examples) -> None:
    sites = [Site(1, "v"), Site(0, "resid_post"), Site(1, "v", 1)]
    probes = probe_map(model, examples, "token_overlap", sites, control=False)
    assert probes.to_frame()["site"].tolist() == ["L1H0.v", "L1H1.v", "L0.resid_post"]
    alone = probe_map(model, examples, "token_overlap", Site(1, "v"), control=False)
    assert alone.to_frame()["site"].tolist() == ["L1H0.v", "L1H1.v"]
    with pytest.raises(ComponentError, match="'resid_post' is not a site"):
        probe_map(model, examples, "token_overlap", "resid_post")


def test_map_makes_one_pass(model, examples, monkeypatch) -> None:
    runs = []
    run = type(model).run_edits
    monkeypatch.setattr(type(model), "run_edits", lambda self, *a, **k: runs.append(1) or run(self, *a, **k))
    probe_map(model, examples, "token_overlap", batch_size=60, control=False)
    assert len(runs) == math.ceil(len(examples) / 60)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"feature": "token_overlapp"}, DataError, "did you mean"),
        ({"feature": [0, 1]}, DataError, "2 entries"),
        ({"feature": [1] * 120}, DataError, "1 at all 120 places"),
        ({"site": Site(7, "z", 0)}, ComponentError, "layers 0 to 1"),
        ({"site": Site.pooled()}, ComponentError, "token-level"),
        ({"site": Site(0, "pattern", 0)}, ComponentError, "attention pattern"),
        ({"n_folds": 1}, DataError, "n_folds=1"),
        ({"n_folds": 100}, DataError, "2 classes x 100 folds"),
        ({"seed": -1}, HCError, "seed=-1"),
        ({"level": 95}, HCError, "level=95"),
        ({"interventions": ["L0H0"]}, InterventionError, "not an intervention"),
        ({"interventions": [Ablate(Head(0, 0), 0)], "untrained": True}, InterventionError, "untrained=True"),
    ],
)
def test_bad_input(model, examples, change, error, message: str) -> None:
    arguments = {"site": OVERLAP, "feature": "token_overlap"} | change
    with pytest.raises(error, match=message):
        fit_probe(model, examples, **arguments)


@pytest.fixture(scope="module")
def encoded(model, examples):
    return model.tokenize(list(examples.first), list(examples.second))


@pytest.fixture(scope="module")
def by_token(model, examples):
    """Word overlap as an array: a value for each word of the second text, NaN elsewhere."""
    overlap = feature_values(model, examples, "token_overlap")
    values = np.full(tuple(model.tokenize(list(examples.first), list(examples.second)).input_ids.shape), np.nan)
    values[overlap.row, overlap.position] = overlap.value
    return values


def test_values_at_encoded_rows_are_read_as_at_their_texts(model, examples, encoded, by_token) -> None:
    of_texts = fit_probe(model, examples, OVERLAP, by_token)
    of_rows = fit_probe(model, encoded, OVERLAP, by_token, sources=examples.source)
    assert of_rows.scores["auc"].value >= 0.99
    assert np.array_equal(of_rows.places.fold, of_texts.places.fold)
    assert {name: s.value for name, s in of_rows.scores.items()} == pytest.approx(
        {name: s.value for name, s in of_texts.scores.items()}, abs=1e-3
    )
    halves = [encoded.rows(slice(0, 50)), encoded.rows(slice(50, 120))]
    again = fit_probe(model, halves, OVERLAP, by_token, sources=examples.source)
    assert np.array_equal(again.predicted, of_rows.predicted)
    bare = model.copy()
    bare.tokenizer = None
    alone = probe_map(bare, encoded, by_token, OVERLAP, sources=examples.source)
    assert np.array_equal(alone[OVERLAP].predicted, of_rows.predicted)


def test_encoded_rows_of_one_source_stay_together(model, many_per_source) -> None:
    data = many_per_source
    batch = model.tokenize(list(data.first), list(data.second))
    labels = np.random.default_rng(0).integers(0, 2, size=30).repeat(20)
    site = Site(1, "resid_post")
    honest = fit_probe(model, batch, site, labels, sources=data.source).scores["auc"]
    leaking = fit_probe(model, batch, site, labels, sources=range(len(batch))).scores["auc"]
    assert honest.low < 0.5 < honest.high
    assert leaking.low > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "with no sources"),
        ({"sources": range(7)}, "sources of length 7"),
        ({"sources": range(120), "feature": "token_overlap"}, "a rule on words"),
    ],
)
def test_encoded_rows_that_do_not_fit(model, encoded, by_token, change, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_probe(model, encoded, OVERLAP, **({"feature": by_token} | change))


def test_texts_carry_their_own_sources(model, examples, encoded) -> None:
    with pytest.raises(DataError, match="examples carry their own"):
        fit_probe(model, examples, OVERLAP, "token_overlap", sources=examples.source)
    with pytest.raises(DataError, match="given as a dict; expected Examples"):
        fit_probe(model, {"data": examples}, OVERLAP, "token_overlap")
    mixed = [encoded, type(encoded)(encoded.input_ids)]
    with pytest.raises(DataError, match="in all or in none"):
        fit_probe(model, mixed, OVERLAP, [0.0] * 240, sources=range(240))


def test_several_splits_are_one(model, examples, probe) -> None:
    halves = [examples.rows(slice(0, 60)), examples.rows(slice(60, 120))]
    joined = fit_probe(model, halves, OVERLAP, "token_overlap")
    assert joined.scores["auc"].value == pytest.approx(probe.scores["auc"].value)


def test_where_it_was_not_built_in_it_is_at_chance(model, examples) -> None:
    """What the head reads there is which text it is in; the stream before it holds words."""
    blind = fit_probe(model, examples, Site(0, "v", 0), "token_overlap").scores["auc"]
    assert blind.value == 0.5
    for site in (Site.embed(), Site(0, "q", 0), Site(0, "resid_pre")):
        score = fit_probe(model, examples, site, "token_overlap").scores["auc"]
        assert score.low < 0.55
        assert score.value < 0.65


@pytest.mark.parametrize("method", ["direction", "leace"])
def test_what_is_erased_is_gone_for_a_new_probe_too(model, examples, probe, method) -> None:
    """At this head the feature stands in one direction, so that taking it out leaves nothing."""
    again = fit_probe(model, examples, OVERLAP, "token_overlap", interventions=Erase(probe, method))
    assert again.scores["auc"].value < 0.55 < 0.99 < probe.scores["auc"].value
    of_map = probe_map(model, examples, "token_overlap", [OVERLAP])[OVERLAP]
    assert torch.equal(of_map.concept.covariance, probe.concept.covariance)


def test_activations_on_disk_give_the_same_probe(model, examples, probe) -> None:
    streamed = fit_probe(model, examples, OVERLAP, "token_overlap", memory_gib=0)
    assert torch.equal(streamed.weights, probe.weights)
