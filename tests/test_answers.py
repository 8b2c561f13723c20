"""Language models scored by the answers of each row: equal to plain runs, whatever the batch size and the order."""

import re

import numpy as np
import pytest
import torch
from answers import NAMES, answered, answered_pairs, bpe_tokenizer, slow_logits, slow_scores, tiny_gpt2
from texts import word_tokenizer
from tiny import tiny_module
from twin import Twin

import hc_interp as hc
from hc_interp.data.encode import batches, words_of
from hc_interp.errors import DataError, HCError, LabelError
from hc_interp.metrics import MetricRows, kl_divergence, logit_diff, path_metric, prob_diff
from hc_interp.models.one_word import at_one_word

TOKENIZER = bpe_tokenizer()
MODULE = tiny_gpt2(TOKENIZER)
CLOSE = {"atol": 1e-9, "rtol": 0}
EXAMPLES, PAIRS = answered(7), answered_pairs(7)
SENDERS, RECEIVERS = [hc.Head(0, 1), hc.MLP(1), hc.EMBED], [hc.Head(1, 2), hc.Head(2, 0), hc.OUTPUT]


@pytest.fixture(scope="module")
def model():
    return hc.load(MODULE, tokenizer=TOKENIZER)


@pytest.fixture(scope="module")
def means(model):
    return hc.mean_activations(model, EXAMPLES)


def slow(examples, logits) -> torch.Tensor:
    return slow_scores(TOKENIZER, examples, logits)


def shuffled(data, seed: int = 3):
    order = np.random.default_rng(seed).permutation(len(data))
    return data.rows(order), order


@pytest.mark.parametrize("backend", ["transformer_lens", "nnsight"])
def test_evaluate_is_the_plain_module(backend) -> None:
    model = hc.load(MODULE, tokenizer=TOKENIZER, backend=backend)
    task = hc.Task("t", validation=EXAMPLES, cases={"other": answered(4, seed=5)})
    for size in (1, 4, 64):
        found = hc.evaluate(model, task, batch_size=size)
        for name, part in (("validation", EXAMPLES), ("other", task.case("other"))):
            expected = slow(part, slow_logits(MODULE, TOKENIZER, part.first)).T
            assert torch.equal(found.correct[name][0], expected[2].bool())
            for row, metric in enumerate(("logit_diff", "prob_diff")):
                torch.testing.assert_close(found.by_words[name][metric][0], expected[row], **CLOSE)
    long = found.to_frame(long=True)
    assert set(long[long["case"] == "other"]["metric"]) == {"accuracy", "logit_diff", "prob_diff"}
    assert long[long["metric"] == "logit_diff"]["value"].iloc[0] == pytest.approx(
        float(found.by_words["validation"]["logit_diff"][0].mean())
    )


def test_evaluate_under_a_subnetwork_is_hooks_on_the_module(model) -> None:
    kept = hc.Subnetwork({hc.Head(0, 1), hc.Head(2, 3), hc.MLP(1)}, model.components)
    found = hc.evaluate(model, hc.Task("t", validation=EXAMPLES), kept, 0)
    edits = {}
    for layer in range(3):
        heads = [h for h in range(4) if hc.Head(layer, h) not in kept]

        def without(value, heads=heads):
            value = value.clone()
            value[:, :, heads] = 0
            return value

        edits[layer, "z"] = without
        if hc.MLP(layer) not in kept:
            edits[layer, "mlp_out"] = torch.zeros_like
    with torch.no_grad():
        rows = [Twin(MODULE).run(model.tokenize(text), edits)[0][0, -1] for text in EXAMPLES.first]
    full = torch.stack(slow_logits(MODULE, TOKENIZER, EXAMPLES.first))
    torch.testing.assert_close(found.by_words["validation"]["logit_diff"][1], slow(EXAMPLES, rows)[:, 0], **CLOSE)
    torch.testing.assert_close(found.kl[1], kl_divergence(full, torch.stack(rows)), **CLOSE)


@pytest.mark.parametrize("route", ["direct", "mlps", "all"])
def test_paths_are_three_runs_of_the_plain_module(model, route) -> None:
    twin, pairs, patched = Twin(MODULE), PAIRS.rows([0, 1, 4]), {}
    for sender in SENDERS:
        for receiver in RECEIVERS:
            for a, b in zip(pairs.clean.first, pairs.corrupt.first, strict=True):
                with torch.no_grad():
                    sides = model.tokenize(a), model.tokenize(b)
                    logits = twin.path(*sides, [sender], [receiver], "qkv", route)[0][0, -1]
                    patched.setdefault((sender, receiver), []).append(logits)
    for metric, column in (("logit_diff", 0), ("prob_diff", 1)):
        found = hc.path_effects(model, pairs, SENDERS, RECEIVERS, route=route, batch_size=2, metric=metric)
        clean_logits = slow_logits(MODULE, TOKENIZER, pairs.clean.first)
        corrupt_logits = slow_logits(MODULE, TOKENIZER, pairs.corrupt.first)
        clean = slow(pairs.clean, clean_logits)[:, column]
        total = slow(pairs.clean, corrupt_logits)[:, column] - clean  # by the answers of the clean side
        torch.testing.assert_close(found.total, total, **CLOSE)
        for (sender, receiver), logits in patched.items():
            effect = slow(pairs.clean, logits)[:, column] - clean
            got = found.per_example(sender, receiver, "in" if receiver == hc.OUTPUT else "qkv")
            upstream = not (sender == hc.MLP(1) and receiver == hc.Head(1, 2))
            torch.testing.assert_close(got, effect if upstream else torch.zeros_like(effect), **CLOSE)


@pytest.mark.parametrize("size", [1, 4, 64])
@pytest.mark.parametrize("method", ["exact", "attribution"])
def test_paths_do_not_depend_on_batch_or_order(model, size, method) -> None:
    """Nor does a metric with a table of its own, which reads its rows by number or by id."""
    table = torch.linspace(-2, 2, len(PAIRS), dtype=torch.float64)

    def by_index(logits, rows):
        assert rows.gold is None
        assert rows.groups is None
        return logit_diff(logits, rows) * table[rows.index] + logits[:, 5]

    mixed, order = shuffled(PAIRS)
    moved = table[order.tolist()]
    for metric, same in (
        ("logit_diff", "logit_diff"),
        (by_index, lambda logits, rows: logit_diff(logits, rows) * moved[rows.index] + logits[:, 5]),
        (by_index, lambda logits, rows: logit_diff(logits, rows) * of_id(rows, table) + logits[:, 5]),
    ):
        usual = hc.path_effects(model, PAIRS, SENDERS, RECEIVERS, metric=metric, method=method)
        other = hc.path_effects(model, mixed, SENDERS, RECEIVERS, metric=same, method=method, batch_size=size)
        assert other.ids == tuple(PAIRS.ids[i] for i in order)
        assert float(usual.effects.abs().mean()) > 1e-3
        torch.testing.assert_close(other.effects, usual.effects[order.tolist()], **CLOSE)
        torch.testing.assert_close(other.total, usual.total[order.tolist()], **CLOSE)


def of_id(rows, table):
    return table[[PAIRS.ids.index(name) for name in rows.ids]]


def test_rows_are_numbered_in_the_pairs_that_were_given(model) -> None:
    """Also where unaligned pairs are left out: the table of a user is about all pairs."""
    clean, corrupt = list(PAIRS.clean.first), list(PAIRS.corrupt.first)
    clean[2] = clean[2].replace("gave", "kindly gave")
    sides = [hc.Examples(t, answer=s.answer, foil=s.foil) for t, s in ((clean, PAIRS.clean), (corrupt, PAIRS.corrupt))]
    seen = []

    def spy(logits, rows):
        seen.extend(zip(rows.index.tolist(), rows.ids, strict=True))
        return logits[:, 0]

    pairs = hc.ContrastPairs(*sides, unaligned="drop")
    assert hc.path_effects(model, pairs, "L0H0", "L1H1", metric=spy, batch_size=2).dropped == 1
    assert set(seen) == {(i, str(i)) for i in range(7) if i != 2}


def test_attribution_is_the_slope_of_the_answers(model) -> None:
    """Into the output, a first-order estimate of a small change is the change."""
    near = PAIRS.rows([0, 1])
    slope = hc.path_effects(model, near, "L2H1", "output", method="attribution")
    stack = at_one_word(model)
    z, mlp = hc.Site(2, "z", 1), hc.Site(2, "mlp_out")
    for row in range(2):
        a, b = (model.tokenize(side.first[row]) for side in near.sides)
        start, end = (stack.run(batch, capture=z).captured[z] for batch in (a, b))
        held = hc.Patch(mlp, stack.run(a, capture=mlp).captured[mlp])  # a direct path: nothing between is recomputed
        part = batches(stack, near.clean.rows([row]))[0].batch
        rows = MetricRows(torch.tensor([0]), answer=part.answer, foil=part.foil)
        step = 1e-6
        moved = [stack.logits(a, [hc.Patch(z, start + s * step * (end - start)), held]) for s in (1, -1)]
        expected = (logit_diff(moved[0], rows) - logit_diff(moved[1], rows)) / (2 * step)
        torch.testing.assert_close(slope.effects[row], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("objective", ["kl", "task"])
def test_screens_are_losses_at_the_read_position(model, means, objective) -> None:
    ranking = hc.leave_one_out(model, EXAMPLES, means, objective=objective, batch_size=4)
    full = torch.stack(slow_logits(MODULE, TOKENIZER, EXAMPLES.first))
    for item in (hc.Head(1, 2), hc.MLP(0)):
        rows = torch.cat([at_one_word(model).logits(model.tokenize(t), hc.Ablate(item, means)) for t in EXAMPLES.first])
        expected = kl_divergence(full, rows) if objective == "kl" else answer_loss(rows) - answer_loss(full)
        got = ranking.per_example[ranking.universe.index(item)]
        torch.testing.assert_close(got, expected, **CLOSE)
    mixed, order = shuffled(EXAMPLES)
    for name in ("leave_one_out", "gradient_importance", "attribution_patching"):
        score = getattr(hc, name)
        usual = score(model, EXAMPLES, means, objective=objective).per_example
        for size in (1, 4):
            other = score(model, mixed, means, objective=objective, batch_size=size).per_example
            torch.testing.assert_close(other, usual[:, order.tolist()], **CLOSE)


def answer_loss(logits):
    rows = []
    for words, row in zip(EXAMPLES.answer, logits, strict=True):
        p = row.exp() / row.exp().sum()
        rows.append(-p[[TOKENIZER.encode(word)[0] for word in words]].sum().log())
    return torch.stack(rows)


@pytest.mark.parametrize("objective", ["kl", "task"])
def test_masks_are_searched_at_the_read_position(model, means, objective) -> None:
    data = answered(40)
    found = hc.search_masks(model, data, 0.5, range(2), means, steps=6, objective=objective)
    assert {len(item) for item in found.subnetworks} == {8}  # of 15, halves are rounded up
    again = hc.search_masks(model, data, 0.5, range(2), means, steps=6, objective=objective)
    assert [item.kept for item in again.subnetworks] == [item.kept for item in found.subnetworks]


def test_faithfulness_is_the_mean_of_the_answers(model, means) -> None:
    kept = hc.Subnetwork({hc.Head(0, 1), hc.Head(2, 3), hc.MLP(1)}, model.components)
    table = torch.linspace(-1, 2, 11, dtype=torch.float64)

    def by_index(logits, rows):
        return logit_diff(logits, rows) * table[rows.index]

    parts = [EXAMPLES, answered(4, seed=9)]
    words = [word for part in parts for word in zip(part.answer, part.foil, strict=True)]
    joined = hc.Examples(
        [t for part in parts for t in part.first], answer=[a for a, _ in words], foil=[f for _, f in words]
    )
    for size in (1, 4, 64):
        found = hc.faithfulness(model, parts, kept, means, batch_size=size)
        own = hc.faithfulness(model, parts, kept, means, batch_size=size, metric=by_index)
        expected = slow(joined, slow_logits(MODULE, TOKENIZER, joined.first))
        np.testing.assert_allclose(found.values["full"], expected[:, 0], atol=1e-9)
        np.testing.assert_array_equal(found.correct["full"], expected[:, 2])
        np.testing.assert_allclose(own.values["full"], expected[:, 0] * table, atol=1e-9)


def test_heads_that_carry_the_answer_and_what_they_read(model, means) -> None:
    """The selection of heads and the reads-from test take pairs that are scored by answers, in both directions."""
    pairs = answered_pairs(60)
    task = hc.Task(
        "t", train=pairs.clean, validation=pairs.clean, cases={"a": pairs.clean}, pairs={("a", "names"): pairs}
    )
    core = [hc.Head(0, h) for h in range(2)]
    heads = hc.generalizing_heads(model, task, core=core, kinds=("names",), max_pairs=20)
    assert len(heads.table) > 0
    cost = hc.generalizing_heads(model, task, core=core, means=means, method="ablation", max_pairs=10)
    assert cost.table["cost_out"].notna().all()
    test = task.contrast_pairs("a", "names", split="test")
    verdict = hc.reads_from(
        model, test, core=core, generalizing=[hc.Head(2, 0), hc.Head(2, 1)], n_permutations=5, n_size_controls=2,
        means=means,
    )  # fmt: skip
    (record,) = verdict.records.values()
    assert set(record.directions) == {"as_is", "reversed"}


def test_one_word_is_a_view_of_the_same_weights(model) -> None:
    view = at_one_word(model)
    assert at_one_word(view) is view
    assert at_one_word(model) is view
    batch = model.tokenize(list(EXAMPLES.first))
    last = batch.attention_mask.sum(1) - 1
    torch.testing.assert_close(view.logits(batch), model.logits(batch)[torch.arange(7), last], **CLOSE)
    assert view.fingerprint == model.fingerprint
    torch.testing.assert_close(
        view.tail(1).run_edits(batch, [hc.SiteEdit(hc.Site.embed(), lambda _: stream(model, batch))]).logits,
        view.logits(batch), **CLOSE,
    )  # fmt: skip
    words = hc.load(tiny_module("gpt2-lm"), tokenizer=word_tokenizer(["yes no"]), labels=[" yes", " no"])
    assert at_one_word(words) is words
    own = model.copy()
    with torch.no_grad():
        before = at_one_word(own).logits(batch)
        own.module.transformer.h[0].mlp.c_proj.weight.mul_(2)
    assert not torch.allclose(at_one_word(own).logits(batch), before)


def stream(model, batch):
    site = hc.Site(1, "resid_pre")
    return model.run(batch, capture=site).captured[site]


def test_a_masked_model_is_scored_at_its_mask() -> None:
    tokenizer = word_tokenizer(["the doctor saw a lawyer actor judge"])
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    module = tiny_module("bert-lm")
    model = hc.load(module, tokenizer=tokenizer)
    data = hc.Examples(
        ["the [MASK] saw a lawyer", "the actor saw the [MASK]"], answer=["doctor", "judge"], foil=["judge", "actor"]
    )
    found = hc.evaluate(model, hc.Task("t", validation=data))
    for row, at in enumerate((2, 5)):
        with torch.no_grad():
            logits = Twin(module).run(model.tokenize(data.first[row]))[0][0, at]
        right, wrong = (tokenizer.convert_tokens_to_ids(getattr(data, n)[row][0]) for n in ("answer", "foil"))
        got = float(found.by_words["validation"]["logit_diff"][0, row])
        assert got == pytest.approx(float(logits[right] - logits[wrong]), abs=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([" Mary", " Zachary"], r"Row 1 (id '1'): the answer ' Zachary' is 5 tokens (['Ġ"),
        ([" Mary", "Paul"], r"Row 1 (id '1'): the answer 'Paul' is"),
        ([" Mary", (" Paul", " Zachary")], r"the answer ' Zachary' is 5 tokens"),
    ],
)
def test_words_of_several_tokens(model, words, message) -> None:
    texts = ["When Mary went to", "When John and Paul went to"]
    data = hc.Examples(texts, answer=words, foil=[" John", " John"])
    calls = (
        lambda: hc.evaluate(model, hc.Task("t", validation=data)),
        lambda: hc.path_effects(model, hc.ContrastPairs(data, data), "L0H0", "L1H1"),
        lambda: hc.leave_one_out(model, data, 0, objective="task"),
        lambda: hc.faithfulness(model, data, hc.Subnetwork(set(), model.components), 0),
        lambda: model.tokenize(data),
    )
    for call in calls:
        with pytest.raises(LabelError, match=re.escape(message.split("5 tokens")[0])):
            call()


def test_words_after_a_space_and_words_of_one_token(model) -> None:
    spaced = hc.Examples(["When Mary went to "], answer=["Mary"], foil=["John"])
    with pytest.raises(LabelError, match=r"mind the space, which belongs to the word \(' Mary'\)"):
        hc.evaluate(model, hc.Task("t", validation=spaced))
    unknown = hc.load(tiny_module("gpt2-lm"), tokenizer=word_tokenizer(["the doctor saw"]))
    with pytest.raises(LabelError, match=r"the answer ' Mary' is an unknown token \(\['\[UNK\]'\]\)"):
        hc.evaluate(unknown, hc.Task("t", validation=hc.Examples(["the"], answer=[" Mary"], foil=[" saw"])))
    joined = hc.Examples(["the"], answer=["Mary"], foil=[" saw"])  # without its space: "theMary"
    with pytest.raises(LabelError, match=r"the answer 'Mary' is an unknown token \(\['\[UNK\]'\]\)"):
        hc.evaluate(unknown, hc.Task("t", validation=joined))
    twice = hc.Examples(["the"], answer=[(" doctor", " Doctor")], foil=[" saw"])
    with pytest.raises(LabelError, match="two answer words of one token"):
        hc.evaluate(unknown, hc.Task("t", validation=twice))
    with pytest.raises(LabelError, match="without a tokenizer"):
        words_of(hc.load(tiny_module("gpt2-lm")), EXAMPLES)


def batch_pairs(answer):
    ids = torch.tensor([[5, 6, 7], [8, 9, 10]])
    sides = [hc.Batch(tokens, answer=torch.tensor(answer), foil=torch.tensor([[3], [4]])) for tokens in (ids, ids + 9)]
    return hc.ContrastPairs(*sides)


def test_batches_with_answer_tokens() -> None:
    """Encoded pairs need no tokenizer; -1 fills rows that have fewer words."""
    model = hc.load(tiny_module("gpt2-lm"))
    pairs = batch_pairs([[11, 12], [13, -1]])
    found = hc.path_effects(model, pairs, "L0H0", "L1H1")
    with torch.no_grad():
        clean, corrupt = (model.module(side.input_ids).logits[:, -1] for side in pairs.sides)
    for row, (right, wrong) in enumerate((([11, 12], [3]), ([13], [4]))):
        scores = [side[row][right].logsumexp(0) - side[row][wrong].logsumexp(0) for side in (clean, corrupt)]
        torch.testing.assert_close(found.total[row], scores[1] - scores[0], **CLOSE)
    assert pairs.reversed().clean is pairs.corrupt
    joined = hc.Batch.join([pairs.clean, hc.Batch(pairs.clean.input_ids, answer=[[1], [2]], foil=[[3], [4]])], 0)
    assert joined.answer.tolist() == [[11, 12], [13, -1], [1, -1], [2, -1]]
    assert hc.Batch.join([pairs.clean, hc.Batch(pairs.clean.input_ids)], 0).answer is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"answer": [" a"]}, "has answer= but no foil="),
        ({"foil": [" a"]}, "has foil= but no answer="),
        ({"answer": " Mary", "foil": [" b"]}, "is the one text ' Mary' for 1 rows"),
        ({"answer": [" a", " b"], "foil": [" c"]}, "Examples.answer is 2 entries for 1 rows"),
        ({"answer": [()], "foil": [" c"]}, r"Examples.answer is \(\) in row 0"),
        ({"answer": [" a"], "foil": [(" b", " b")]}, "expected one word, or a tuple of different words"),
        ({"answer": [" a"], "foil": [(" a", " b")]}, "Row 0 has ' a' as answer and as foil"),
    ],
)
def test_answers_that_cannot_be(given, message) -> None:
    with pytest.raises(DataError, match=message):
        hc.Examples(["text"], **given)


@pytest.mark.parametrize("words", [[[0.5], [1.0]], [[1], [-1]], [[1], [-2]], [[[1]], [[2]]]])
def test_answer_tokens_that_cannot_be(words) -> None:
    with pytest.raises(DataError, match=r"Batch.answer is of shape|Batch.answer"):
        hc.Batch(torch.tensor([[1, 2], [3, 4]]), answer=words, foil=[[1], [2]])


def test_data_that_the_model_is_not_scored_by(model) -> None:
    labelled = hc.Examples(["When Mary"], label=[0])
    with pytest.raises(LabelError, match=r"whole vocabulary, and .* has no answers"):
        hc.evaluate(model, hc.Task("t", validation=labelled))
    with pytest.raises(LabelError, match="whole vocabulary"):
        hc.path_effects(model, hc.ContrastPairs(labelled, labelled, [0]), "L0H0", "L1H1")
    classes = hc.load(tiny_module("gpt2"), tokenizer=word_tokenizer(["when mary"]), labels=["a", "b", "c"])
    with pytest.raises(LabelError, match=r"answers, which are words of a vocabulary, .* at the classes a, b, c"):
        hc.evaluate(classes, hc.Task("t", validation=hc.Examples(["when"], answer=[" a"], foil=[" b"])))
    with pytest.raises(LabelError, match="read at the classes a, b, c"):
        hc.path_effects(classes, PAIRS, "L0H0", "L1H1")
    with pytest.raises(DataError, match="no gold and its clean side has no answers"):
        hc.ContrastPairs(labelled, labelled)
    with pytest.raises(DataError, match="the corrupt side has no answers"):
        hc.ContrastPairs(PAIRS.clean, hc.Examples(PAIRS.corrupt.first)).reversed()
    back = PAIRS.reversed()
    assert back.gold is None
    assert back.clean.answer == PAIRS.corrupt.answer


def test_the_old_form_of_a_metric_is_refused_before_the_work(model, means, monkeypatch) -> None:
    def old(logits, gold, groups):
        return logits[:, 0]

    kept = hc.Subnetwork({hc.Head(0, 1)}, model.components)
    calls = (
        lambda: hc.path_effects(model, PAIRS, "L0H0", "L1H1", metric=old),
        lambda: hc.faithfulness(model, EXAMPLES, kept, means, metric=old),
        lambda: hc.faithfulness_curve(model, EXAMPLES, list(model.components), means, metric=old),
        lambda: hc.reads_from(model, PAIRS, core=["L0H0"], generalizing=["L1H1"], metric=old),
    )
    monkeypatch.setattr(type(model), "run_edits", lambda *a, **k: pytest.fail("a pass was made"))
    for call in calls:
        with pytest.raises(HCError, match=r"'old' takes \(logits, gold, groups\); .* \(logits, rows\) -> \[batch\]"):
            call()
    for other in (lambda logits: logits, lambda logits, rows, *, scale: logits):
        with pytest.raises(HCError, match="expected a function of two arguments"):
            path_metric(other)
    for good in (lambda logits, rows, scale=1: logits[:, 0], lambda *both: both[0][:, 0]):
        assert path_metric(good)(torch.ones(2, 3), MetricRows(torch.arange(2))).tolist() == [1, 1]


def test_metrics_of_words_by_hand() -> None:
    logits = torch.tensor([[6.0, 3.0, 1.0, 2.0], [1.0, 4.0, 5.0, 2.0]], dtype=torch.float64).log()
    rows = MetricRows(torch.arange(2), answer=torch.tensor([[0, 2], [3, -1]]), foil=torch.tensor([[1], [2]]))
    torch.testing.assert_close(logit_diff(logits, rows).exp(), torch.tensor([7 / 3, 2 / 5], dtype=torch.float64))
    torch.testing.assert_close(prob_diff(logits, rows), torch.tensor([4 / 12, -3 / 12], dtype=torch.float64))
    twice = rows.repeated(2)
    assert (twice.index.tolist(), len(twice)) == ([0, 1, 0, 1], 4)
    assert torch.equal(logit_diff(logits.repeat(2, 1), twice), logit_diff(logits, rows).repeat(2))


def test_answers_go_with_their_rows() -> None:
    mixed, order = shuffled(EXAMPLES)
    assert mixed.answer == tuple(EXAMPLES.answer[i] for i in order)
    assert EXAMPLES.fingerprint() != hc.Examples(EXAMPLES.first, id=EXAMPLES.id).fingerprint()
    assert list(EXAMPLES.to_frame()["foil"]) == list(EXAMPLES.foil)
    frame = {"first": ["a", "b"], "answer": [" x", " y"], "foil": [" y", " x"]}
    assert hc.Task.from_frames("t", train=frame).train.answer == ((" x",), (" y",))
    del frame["foil"]
    assert hc.Task.from_frames("t", train=frame).train.answer is None
    assert set(NAMES) >= {word.strip() for row in EXAMPLES.foil for word in row}
