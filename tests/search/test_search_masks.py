"""The search finds what was planted, is exact, independent by seed, and refuses what it cannot do."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import MLP, Head
from hc_interp.data.batch import Batch
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.parts import as_parts, fingerprint
from hc_interp.errors import DataError, HCError, HCWarning, InterventionError, ResultError, SearchError
from hc_interp.evaluation.evaluate import named_subnetworks
from hc_interp.heads.core import heuristic_core
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep
from hc_interp.metrics import group_cross_entropy, kl_divergence
from hc_interp.models.load import load
from hc_interp.search.plan import STREAMS
from hc_interp.search.ranking import binary
from hc_interp.search.result import MaskSearch
from hc_interp.search.screens import attribution_patching, gradient_importance, leave_one_out
from hc_interp.search.search_masks import search_masks
from hc_interp.subnetwork import Subnetwork


@pytest.fixture(scope="module")
def means(planted_model, rows):
    return mean_activations(planted_model, rows)


@pytest.fixture(scope="module")
def result(planted_model, rows, means) -> MaskSearch:
    return search_masks(planted_model, rows, [0.5, 0.75], range(2), means, steps=80)


def test_finds_exactly_the_components_that_matter(planted, result):
    for subnetwork in result.at(0.5):
        assert subnetwork.kept == planted
    assert float(result.kl[:2].max()) < 1e-6
    assert result.agreement[:2].tolist() == [1.0, 1.0]


def test_a_search_stands_for_its_subnetworks(result):
    assert heuristic_core(result).frequency == heuristic_core(result.subnetworks).frequency
    assert named_subnetworks(result) == named_subnetworks(result.subnetworks)


def test_a_search_warns_of_masks_far_from_the_others(planted_model, rows, means, monkeypatch):
    monkeypatch.setattr("hc_interp.search.result.LEAST", -1.0)  # every mask is, then
    monkeypatch.setattr("hc_interp.search.result.FAR", 0.0)
    with pytest.warns(HCWarning, match=r"far worse than the others.*seed 1 at sparsity 0\.5.*found\.near"):
        search_masks(planted_model, rows, 0.5, range(2), means, steps=1)


def test_sparsity_is_exact_and_the_grid_is_complete(planted, result):
    assert [(share, seed) for share, seed in zip(result.sparsities, result.seeds, strict=True)] == [
        (0.5, 0),
        (0.5, 1),
        (0.75, 0),
        (0.75, 1),
    ]
    assert [len(item) for item in result.subnetworks] == [6, 6, 3, 3]
    for subnetwork in result.at(0.75):
        assert subnetwork.kept < planted


def test_reported_kl_is_of_the_binary_mask_on_the_rows_held_out(result, planted_model, rows, means):
    from hc_interp.search.plan import draw_plan

    held_out = draw_plan([rows], (0, 1), 1024, 16).held_out
    assert len(held_out) == result.settings["held_out"] == 30
    batch = rows.rows(held_out.tolist())
    full = planted_model.logits(batch)
    for run, subnetwork in enumerate(result.subnetworks):
        masked = planted_model.logits(batch, [Keep(subnetwork, means)])
        slow = (full.softmax(-1) * (full.log_softmax(-1) - masked.log_softmax(-1))).sum(-1)
        assert torch.allclose(result.kl_per_example[run], slow, atol=1e-5)
        assert torch.equal(result.agrees[run], full.argmax(-1) == masked.argmax(-1))


def test_beats_almost_all_random_subnetworks_where_everything_matters(rows):
    model = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    means = mean_activations(model, rows)
    search = search_masks(model, rows, 0.5, [0], means, steps=60, exchanges=8)
    full, rng, kls = model.logits(rows), np.random.default_rng(0), []
    for _ in range(100):
        kept = rng.permutation(len(model.components))[:6]
        drawn = Subnetwork(frozenset(model.components[i] for i in kept), model.components)
        kls.append(float(kl_divergence(full, model.logits(rows, [Keep(drawn, means)])).mean()))
    kl = float(kl_divergence(full, model.logits(rows, [Keep(search.subnetworks[0], means)])).mean())
    assert kl < np.quantile(kls, 0.05)


def test_history_has_a_row_per_step_and_the_sparsity_reaches_its_target(result):
    assert list(result.history.columns) == ["run", "step", "kl", "expected_sparsity", "hard_sparsity", "l1", "l2"]
    assert result.history.groupby("run").size().tolist() == [80] * 4
    last = result.history.groupby("run").last()
    assert last["expected_sparsity"].to_numpy()[:2] == pytest.approx([0.5, 0.5], abs=0.05)
    assert all(run["l2"].is_monotonic_increasing for _, run in result.history.groupby("run"))  # ascent of a square


def test_same_seed_same_result_and_no_global_state(planted_model, rows, means, result):
    torch.manual_seed(1234)
    np.random.seed(99)  # noqa: NPY002 - shows that global state has no effect
    state = torch.random.get_rng_state()
    again = search_masks(planted_model, rows, 0.75, [1], means, steps=80)
    assert torch.equal(again.log_alpha[0], result.log_alpha[3])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not torch.equal(result.log_alpha[0], result.log_alpha[1])


def test_sparsity_zero_keeps_everything_bit_for_bit(planted_model, rows, means):
    nothing = search_masks(planted_model, rows, 0, [0], means)
    (whole,) = nothing.subnetworks
    assert whole.kept == frozenset(planted_model.components)
    assert len(nothing.history) == 0
    assert torch.equal(planted_model.logits(rows), planted_model.logits(rows, [Keep(whole, means)]))
    assert nothing.to_frame()["kl"].tolist() == pytest.approx([0], abs=1e-6)


def test_heads_only(planted, planted_model, rows, means):
    heads = search_masks(planted_model, rows, 0.5, [0], means, components="heads", steps=80)
    (subnetwork,) = heads.subnetworks
    assert subnetwork.mlps == ()
    assert len(subnetwork.universe) == 9
    assert len(subnetwork) == 5
    assert {item for item in planted if isinstance(item, Head)} < subnetwork.kept


@pytest.fixture(scope="module")
def short(planted_model, rows, means) -> MaskSearch:
    """Ten steps, which are enough to see whether another search is the same."""
    return search_masks(planted_model, rows, 0.5, [0], means, steps=10)


def test_kl_never_looks_at_labels(planted_model, rows, means, short):
    blind = search_masks(planted_model, replace(rows, labels=None), 0.5, [0], means, steps=10)
    wrong = search_masks(planted_model, replace(rows, labels=rows.labels * 0 + 77), 0.5, [0], means, steps=10)
    assert torch.equal(blind.log_alpha[0], short.log_alpha[0])
    assert torch.equal(wrong.log_alpha[0], short.log_alpha[0])


def test_task_objective_reads_labels(planted_model, rows, means, result):
    task = search_masks(planted_model, rows, 0.5, [0], means, objective="task", steps=20)
    other = search_masks(
        planted_model, replace(rows, labels=2 - rows.labels), 0.5, [0], means, objective="task", steps=20
    )
    assert not torch.equal(task.log_alpha, other.log_alpha)
    with pytest.raises(DataError, match="no labels"):
        search_masks(planted_model, replace(rows, labels=None), 0.5, [0], means, objective="task")


def test_group_cross_entropy_adds_the_group_up():
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    gold = torch.tensor([[False, True, True]])
    expected = -torch.log(logits.softmax(-1)[0, 1:].sum())
    assert torch.allclose(group_cross_entropy(logits, gold)[0], expected)


def test_means_are_taken_from_the_data_when_not_given(planted_model, rows, short):
    default = search_masks(planted_model, rows, 0.5, [0], steps=10)
    assert torch.equal(default.log_alpha[0], short.log_alpha[0])


def test_other_sources_and_interventions(planted, planted_model, rows, means):
    zero = search_masks(planted_model, rows, 0.5, [0], 0, steps=20)
    assert zero.settings["steps"] == 20
    gone = Ablate([Head(1, 1), MLP(2)], means)
    under = search_masks(planted_model, rows, 0.7, [0], means, interventions=[gone], steps=80)
    assert under.subnetworks[0].kept == planted - {Head(1, 1), MLP(2)}
    assert float(under.kl[0]) < 1e-6


def test_data_in_parts_and_an_iterator(planted_model, rows, means):
    whole = search_masks(planted_model, [rows.rows(range(50)), rows.rows(range(50, 120))], 0.5, [0], means, steps=3)
    stream = search_masks(
        planted_model, iter([rows.rows(range(50)), rows.rows(range(50, 120))]), 0.5, [0], means, steps=3
    )
    assert torch.equal(whole.log_alpha, stream.log_alpha)


def test_weights_get_no_gradients_and_do_not_change(planted_model, rows, means):
    before = planted_model.fingerprint
    search_masks(planted_model, rows, 0.5, [0], means, steps=2)
    assert all(p.grad is None and not p.requires_grad for p in planted_model.module.parameters())
    assert planted_model.copy().fingerprint == before


def test_ties_go_to_the_earlier_component(planted_model):
    subnetwork = binary(torch.zeros(12), 0.5, planted_model.components)
    assert subnetwork.sorted() == planted_model.components[:6]


def test_frame_and_file(result, tmp_path):
    frame = result.to_frame()
    assert list(frame.columns) == ["run", "seed", "sparsity", "heads", "mlps", "kl", "agreement"]
    assert (frame["heads"] + frame["mlps"]).tolist() == [6, 6, 3, 3]
    assert "4 subnetworks at sparsity 0.5, 0.75" in repr(result)
    by_run = ("subnetworks", "sparsities", "seeds", "log_alpha", "kl_per_example", "agrees")
    one = replace(result, **{name: getattr(result, name)[:1] for name in by_run})
    assert repr(one) == f"MaskSearch(1 subnetwork at sparsity 0.5, 1 seed; held-out KL {float(result.kl[0]):.3f})"
    assert result._repr_html_().startswith("<p>")
    again = MaskSearch.load(result.save(tmp_path / "found.json"))
    assert again.subnetworks == result.subnetworks
    assert torch.equal(again.log_alpha, result.log_alpha)
    assert torch.equal(again.agrees, result.agrees)
    assert again.history.equals(result.history)
    assert again.to_frame().equals(frame)
    assert again.provenance["model"] == result.provenance["model"]
    (tmp_path / "cut.json").write_text((tmp_path / "found.json").read_text()[:200])
    with pytest.raises(ResultError, match=r"cut\.json is not a saved MaskSearch"):
        MaskSearch.load(tmp_path / "cut.json")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"sparsity": 1.0}, "sparsity=1 was given"),
        ({"sparsity": 50}, r"half of them is 0\.5"),
        ({"sparsity": -0.1}, "sparsity=-0.1"),
        ({"sparsity": [0.5, 0.5]}, "several different"),
        ({"sparsity": []}, "one share"),
        ({"sparsity": float("nan")}, "sparsity=nan"),
        ({"sparsity": None}, "sparsity=None"),
        ({"sparsity": "0.5"}, "sparsity='0.5'.*a number"),
        ({"seeds": None}, "whole number"),
        ({"seeds": []}, "at least one whole number"),
        ({"seeds": [1, 1]}, "each once"),
        ({"seeds": [0.5]}, "whole number"),
        ({"seeds": [-1]}, "whole number"),
        ({"seeds": 0}, "at least one whole number"),
        ({"seeds": -2}, "at least one whole number"),
        ({"seeds": True}, "at least one whole number"),
        ({"seeds": 2.0}, "at least one whole number"),
        ({"components": "mlps"}, "components='mlps'.*'heads\\+mlps' or 'heads'"),
        ({"objective": "accuracy"}, "objective='accuracy'.*'kl' or 'task'"),
        ({"steps": 0}, "steps=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_size": 100}, "fewer than one batch of 100"),
    ],
)
def test_settings_without_meaning_are_errors(planted_model, rows, means, bad, message):
    with pytest.raises(SearchError, match=message):
        search_masks(planted_model, rows, means=means, **bad)


@pytest.mark.parametrize("seeds", [2, np.int64(2)])
def test_a_number_of_seeds_means_its_range(planted_model, rows, means, seeds):
    assert search_masks(planted_model, rows, 0, seeds, means).seeds == (0, 1)


def test_means_of_another_model_are_refused(planted_model, rows):
    other = load(tiny_module("bert", seed=8, dtype=torch.float32), labels=LABELS)
    with pytest.raises(InterventionError, match="fingerprint"):
        search_masks(planted_model, rows, 0.5, [0], mean_activations(other, rows))


def test_a_loss_that_is_not_finite_names_the_step(planted_model, rows, means):
    broken = replace(means, values={kind: value * float("nan") for kind, value in means.values.items()})
    with pytest.raises(SearchError, match=r"loss is nan at step 0 of 120 \(seed 3, sparsity 0.5\)"):
        search_masks(planted_model, rows, 0.5, [3], broken)


def test_a_mask_whose_score_is_not_finite_leaves_no_file(planted_model, rows, means, tmp_path, monkeypatch):
    from hc_interp.search import training_run as one_run

    broken = replace(means, values={kind: value * float("nan") for kind, value in means.values.items()})
    monkeypatch.setattr(one_run, "Keep", lambda kept, source: Keep(kept, broken))
    with pytest.raises(SearchError, match=r"seed 3, sparsity 0.5\) is not finite on 30 of 30 held-out"):
        search_masks(planted_model, rows, 0.5, [3], means, steps=4, exchanges=0, resume=tmp_path / "runs")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_model_without_finite_logits_is_an_error(rows, means):
    module = tiny_module("bert", dtype=torch.float32)
    model = load(module, labels=LABELS)
    with torch.no_grad():
        model.module.classifier.weight.fill_(float("inf"))
    with pytest.raises(SearchError, match=r"not finite on [0-9]+ of [0-9]+ examples"):
        search_masks(model, rows, 0.5, [0], mean_activations(model, rows), batch_size=2, steps=400)


def test_data_that_is_no_data_is_an_error(planted_model, means):
    with pytest.raises(DataError, match="expected a split of a task"):
        search_masks(planted_model, "mnli", means=means)
    with pytest.raises(SearchError, match="0 examples of 0 sources"):
        search_masks(planted_model, Examples([], label=[]), means=means)


def test_positions_of_padding_do_not_matter(planted_model, means):
    from hc_interp.search.pool import build_pool

    parts = [tiny_batch(6, 7, seed=1), tiny_batch(5, 12, seed=2)]
    pool = build_pool(planted_model, parts, with_gold=False, interventions=(), size=4)
    for index, part in ((torch.arange(6), parts[0]), (torch.arange(6, 11), parts[1])):
        taken = pool.take(index)
        assert taken.ids == part.ids
        assert torch.allclose(planted_model.logits(taken), planted_model.logits(part), atol=1e-5)
        assert torch.allclose(pool.reference[index], planted_model.logits(part), atol=1e-5)


def test_swaps_only_lower_the_loss_and_log_alpha_tells_the_subnetwork(rows):
    model = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    means = mean_activations(model, rows)
    plain, swapped = (search_masks(model, rows, 0.5, [0, 1], means, steps=10, exchanges=n) for n in (0, 2))
    assert len(plain.exchanges) == 0
    assert list(swapped.exchanges["run"]) == [0] * 2 + [1] * 2
    assert (swapped.exchanges["after"] <= swapped.exchanges["before"]).all()
    assert (swapped.exchanges["after"] < swapped.exchanges["before"]).any()
    for run in range(2):
        assert swapped.subnetworks[run] == binary(swapped.log_alpha[run], 0.5, model.components)
        assert torch.equal(swapped.log_alpha[run].sort().values, plain.log_alpha[run].sort().values)
        assert len(swapped.subnetworks[run]) == 6
    assert not torch.equal(swapped.log_alpha, plain.log_alpha)


def test_runs_share_what_does_not_vary(planted_model, rows, means):
    def search(seeds, vary):
        return search_masks(planted_model, rows, 0.5, seeds, means, steps=3, exchanges=0, vary=vary)

    same = search([3, 4], ())
    assert torch.equal(same.log_alpha[0], same.log_alpha[1])
    assert torch.equal(same.log_alpha[0], search([3], STREAMS).log_alpha[0])
    for stream in ("data", "order", "start", "noise"):
        apart = search([3, 4], (stream,))
        assert torch.equal(apart.log_alpha[0], same.log_alpha[0])
        assert not torch.equal(apart.log_alpha[1], same.log_alpha[1]), stream
        first = apart.history[apart.history["step"] == 0]
        assert (first["expected_sparsity"].nunique() > 1) == (stream == "start")
    with pytest.raises(SearchError, match="vary='seed'"):
        search([0], "seed")
    with pytest.raises(SearchError, match="'data', 'order'"):
        search([0], ("sort",))


def test_what_swaps_draw_can_be_shared(rows):
    model = load(tiny_module("bert", dtype=torch.float32), labels=LABELS)
    means = mean_activations(model, rows)
    same, apart = (
        search_masks(model, rows, 0.5, [3, 4], means, steps=2, exchanges=4, vary=vary) for vary in ((), ("exchanges",))
    )
    for result, equal in ((same, True), (apart, False)):
        runs = [
            result.exchanges[result.exchanges["run"] == run].drop(columns="run").reset_index(drop=True)
            for run in (0, 1)
        ]
        assert runs[0].equals(runs[1]) == equal
    assert torch.equal(apart.log_alpha[0], same.log_alpha[0])


def test_a_folder_knows_what_its_runs_share(tmp_path, planted_model, rows, means):
    def search(seeds, vary):
        return search_masks(
            planted_model, rows, 0.5, seeds, means, steps=4, exchanges=0, vary=vary, resume=tmp_path / "runs"
        )

    search([3, 4], ("noise",))
    with pytest.raises(ResultError, match="another model, data, means or settings"):
        search([4], ("noise",))


def test_resumes_after_a_kill_with_the_same_result(tmp_path, planted_model, rows, means, monkeypatch):
    from hc_interp.search import runs as module

    def search(seeds, **changed):
        return search_masks(planted_model, rows, [0.5, 0.75], seeds, means, steps=2, exchanges=1, **changed)

    whole = search([0, 1])
    original, calls = module.run_once, []

    def killed(*args):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(args)
        return original(*args)

    monkeypatch.setattr(module, "run_once", killed)
    with pytest.raises(KeyboardInterrupt):
        search([0, 1], resume=tmp_path / "runs")
    assert len(list((tmp_path / "runs").iterdir())) == 2
    monkeypatch.setattr(module, "run_once", lambda *args: calls.append(args) or original(*args))
    again = search([0, 1], resume=tmp_path / "runs")
    assert len(calls) == 4
    assert torch.equal(again.log_alpha, whole.log_alpha)
    assert torch.equal(again.kl_per_example, whole.kl_per_example)
    assert again.history.equals(whole.history)
    assert again.exchanges.equals(whole.exchanges)
    read = search([0, 1], resume=tmp_path / "runs")
    assert len(calls) == 4
    assert whole.provenance["data"] == fingerprint(as_parts(rows))
    files = [found.save(tmp_path / "found.json").read_bytes() for found in (whole, again, read)]
    assert files[0] == files[1] == files[2]
    more = search([1, 2], resume=tmp_path / "runs")
    assert len(calls) == 6
    assert torch.equal(more.log_alpha[0], whole.log_alpha[1])


def test_a_run_does_not_depend_on_the_other_seeds():
    model = load("zoo:minilm-nli")
    words = ["the", "doctor", "saw", "a", "lawyer", "near", "old", "banks", "and", "then"]
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(words, rng.integers(2, 25))) for _ in range(96)]
    data = Examples(texts, texts[::-1])
    alone, both = (
        search_masks(model, data, 0.5, seeds, 0, steps=2, batch_size=4, exchanges=0) for seeds in ([1], [0, 1])
    )
    assert torch.equal(alone.log_alpha[0], both.log_alpha[1])
    assert torch.equal(alone.kl_per_example[0], both.kl_per_example[1])


@pytest.mark.parametrize(
    ("objective", "changed", "goes_on"),
    [
        ("task", lambda rows: replace(rows, labels=2 - rows.labels), False),
        ("kl", lambda rows: replace(rows, labels=2 - rows.labels), True),
        ("kl", lambda rows: replace(rows, ids=tuple(f"other {i}" for i in range(len(rows)))), False),
        ("kl", lambda rows: replace(rows, attention_mask=_shorter(rows.attention_mask)), False),
    ],
    ids=["labels of the task", "labels that are not looked at", "ids", "mask"],
)
def test_a_folder_knows_the_data(tmp_path, planted_model, rows, means, objective, changed, goes_on):
    rows = replace(rows, labels=torch.arange(len(rows)) % 3)

    def search(data):
        settings = {"steps": 2, "exchanges": 0, "objective": objective, "resume": tmp_path}
        return search_masks(planted_model, data, 0.5, [0], means, **settings)

    first = search(rows)
    if goes_on:
        assert torch.equal(search(changed(rows)).log_alpha, first.log_alpha)
    else:
        with pytest.raises(ResultError, match="another model, data, means or settings"):
            search(changed(rows))


def _shorter(mask):
    mask = mask.clone()
    mask[0, -1] = 0
    return mask


def test_a_folder_tells_sparsities_apart_that_print_alike(tmp_path, planted_model, rows, means):
    def search():
        return search_masks(planted_model, rows, [1 / 3, 0.333333], [0], means, steps=2, exchanges=0, resume=tmp_path)

    assert search().sparsities == search().sparsities == (1 / 3, 0.333333)


def test_a_folder_knows_what_a_source_puts_in_place_not_the_labels_beside_it(tmp_path, planted_model, rows):
    labelled = replace(rows, labels=torch.arange(len(rows)) % 3)
    other = replace(rows, labels=(torch.arange(len(rows)) + 1) % 3)
    for name, source in {"means": mean_activations, "donors": Donors}.items():
        first, again = (
            search_masks(
                planted_model, data, 0.5, [0], source(planted_model, data), steps=2, exchanges=0, resume=tmp_path / name
            )
            for data in (labelled, other)
        )
        assert torch.equal(first.log_alpha, again.log_alpha)
    with pytest.raises(ResultError, match="another model, data, means or settings"):
        search_masks(
            planted_model, rows, 0.5, [0], Donors(planted_model, rows, 1), steps=2, exchanges=0,
            resume=tmp_path / "donors",
        )  # fmt: skip


def test_a_folder_knows_how_classes_and_texts_are_read(tmp_path):
    texts = [f"{a} {b} {c}" for a in ("red", "blue", "old") for b in ("cat", "dog", "owl") for c in ("ran", "sat")]
    data = Examples(texts, label=[i % 3 for i in range(len(texts))])
    forward, backward = word_tokenizer(texts), word_tokenizer([*texts, "aardvark"])  # other numbers for the words

    def search(tokenizer, labels):
        model = load(tiny_module("bert", seed=3), tokenizer=tokenizer, labels=labels)
        return search_masks(model, data, 0.5, [0], 0, steps=2, batch_size=4, exchanges=0, resume=tmp_path)

    search(forward, LABELS)
    forward(["a call that pads", "and one"], padding=True, truncation=True, max_length=5)  # is no other tokenizer
    search(forward, LABELS)
    for tokenizer, labels in ((backward, LABELS), (forward, LABELS[::-1])):
        with pytest.raises(ResultError, match="another model, data, means or settings"):
            search(tokenizer, labels)


@pytest.fixture
def untrained(monkeypatch):
    """Training is a failure."""
    monkeypatch.setattr("hc_interp.search.runs.run_once", lambda *_: pytest.fail("a run was trained"))


def test_a_folder_that_cannot_hold_runs_is_refused_before_any_is_made(tmp_path, planted_model, rows, means, untrained):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(HCError, match=r"cannot keep finished runs.*a folder that you may write to"):
        search_masks(planted_model, rows, 0.5, [0], means, steps=2, exchanges=0, resume=tmp_path / "file")


@pytest.mark.parametrize("spoilt", ["truncated", "copied"])
def test_a_file_that_is_not_the_run_it_should_be_names_the_mend(tmp_path, planted_model, rows, means, spoilt):
    def search(seeds):
        return search_masks(planted_model, rows, 0.5, seeds, means, steps=2, exchanges=0, resume=tmp_path)

    search([0])
    (path,) = tmp_path.iterdir()
    if spoilt == "truncated":
        path.write_text(path.read_text()[:100])
        with pytest.raises(ResultError, match=r"cannot be read as a finished run.*Delete this file"):
            search([0])
    else:
        (tmp_path / path.name.replace("seed-0", "seed-1")).write_text(path.read_text())
        with pytest.raises(ResultError, match=r"holds the run of sparsity 0.5 and seed 0.*Delete this file"):
            search([0, 1])


@pytest.mark.parametrize("kind", ["donors", "positional means", "corrupt side"])
def test_a_source_that_does_not_fit_the_data_is_refused_before_training(planted_model, rows, kind, untrained):
    short = rows.rows((rows.attention_mask.sum(1) < 8).nonzero()[:, 0])
    cut = Batch(short.input_ids[:, :7], short.attention_mask[:, :7])
    pairs = ContrastPairs(rows, replace(rows, input_ids=rows.input_ids % 50 + 3), gold=rows.labels.tolist())
    data, source, message = {
        "donors": (rows, Donors(planted_model, cut), "No donor of"),
        "positional means": (rows, mean_activations(planted_model, cut, positional=True), "positional means 7"),
        "corrupt side": (pairs.corrupt, pairs, "corrupt side of the pairs.*Pass pairs.clean"),
    }[kind]
    with pytest.raises(InterventionError, match=message):
        search_masks(planted_model, data, 0.5, [0], source, steps=2, exchanges=0)
    if kind == "corrupt side":
        for nodes in ("components", "q"):
            with pytest.raises(InterventionError, match=message):
                attribution_patching(planted_model, data, source, nodes=nodes)


def test_an_iterator_of_interventions_counts(planted_model, rows, means):
    item = Ablate("L0H0", means)
    settings = {"steps": 2, "exchanges": 0}
    once = search_masks(planted_model, rows, 0.5, [0], means, interventions=iter([item]), **settings)
    listed = search_masks(planted_model, rows, 0.5, [0], means, interventions=[item], **settings)
    assert torch.equal(once.kl_per_example, listed.kl_per_example)
    for screen in (gradient_importance, attribution_patching, leave_one_out):
        rankings = (screen(planted_model, rows, means, interventions=items) for items in (iter([item]), [item]))
        assert torch.equal(*(ranking.per_example for ranking in rankings))


def test_a_grid_with_sparsity_zero_keeps_numbers_as_numbers(planted_model, rows, means):
    result = search_masks(planted_model, rows, [0, 0.5], [0], means, steps=2, exchanges=1)
    for frame in (result.history, result.exchanges):
        assert all(np.issubdtype(dtype, np.number) for dtype in frame.dtypes)
        assert set(frame["run"]) == {1}
    nothing = search_masks(planted_model, rows, 0, [0], means)
    assert list(nothing.history.columns) == list(result.history.columns)


@pytest.mark.parametrize("sparsity", [np.float32(0.1), np.array(0.1), torch.tensor(0.1), np.arange(0.1, 0.2, 0.1), 0.1])
def test_a_sparsity_is_the_decimal_that_was_meant(planted_model, rows, means, sparsity):
    result = search_masks(planted_model, rows, sparsity, [0], means, steps=1, exchanges=0)
    assert result.sparsities == (0.1,)
    assert result.at(np.float32(0.1)) == result.subnetworks
    with pytest.raises(SearchError, match=r"no runs at sparsity 0.2. Expected one of 0.1"):
        result.at(0.2)


@pytest.mark.parametrize(("exchanges", "goes_on"), [(1, False), (0, True)])
def test_a_folder_knows_by_which_swaps_masks_were_made(
    tmp_path, planted_model, rows, means, monkeypatch, exchanges, goes_on
):
    from hc_interp.search import search_masks as module

    def search():
        return search_masks(planted_model, rows, 0.5, [0], means, steps=2, exchanges=exchanges, resume=tmp_path)

    first = search()
    monkeypatch.setattr(module, "SWAP_VERSION", module.SWAP_VERSION + 1)
    if goes_on:
        assert torch.equal(search().log_alpha, first.log_alpha)
    else:
        with pytest.raises(ResultError, match="another model, data, means or settings"):
            search()


def test_a_folder_of_another_search_is_refused(tmp_path, planted_model, rows, means):
    search_masks(planted_model, rows, 0.5, [0], means, steps=5, exchanges=0, resume=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ResultError, match="another model, data, means or settings"):
        search_masks(planted_model, rows, 0.5, [1], means, steps=6, exchanges=0, resume=tmp_path)
    with pytest.raises(ResultError, match="another model, data, means or settings"):
        search_masks(planted_model, rows, 0.5, [0], 0, steps=5, exchanges=0, resume=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
