"""Accuracy, KL and their tables against a slow loop over examples, one at a time."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import LABELS, tiny_module
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertForSequenceClassification, PreTrainedTokenizerFast

from hc_interp.components import Head
from hc_interp.data.examples import Examples
from hc_interp.data.task import Task
from hc_interp.errors import ComponentError, DataError, HCError, HCWarning, InterventionError
from hc_interp.evaluation import evaluate as evaluate_module
from hc_interp.evaluation.evaluate import evaluate
from hc_interp.evaluation.faithfulness import faithfulness
from hc_interp.evaluation.result import Evaluation
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep
from hc_interp.models.load import load
from hc_interp.statistics.tests import bootstrap, clopper_pearson
from hc_interp.subnetwork import Subnetwork

WORDS = ["the", "doctor", "lawyer", "saw", "near", "old", "red", "judge", "called", "not"]
SWAP, PREPOSITION = "lexical_overlap_ln_subject/object_swap", "lexical_overlap_ln_preposition"
ENTAILED = "constituent_ce_adverb"


def tokenizer() -> PreTrainedTokenizerFast:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.post_processor = processors.TemplateProcessing(
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="[PAD]", unk_token="[UNK]")


def examples(n: int, seed: int, groups=None) -> Examples:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 9))) for _ in range(2 * n)]
    return Examples(
        texts[:n],
        texts[n:],
        label=rng.integers(0, 2 if groups else 3, n),
        source=[f"s{i // 2}" for i in range(n)],
        groups=groups,
        classes=LABELS,
    )


@pytest.fixture(scope="module")
def model():
    return load(tiny_module("bert", seed=1), tokenizer=tokenizer(), labels=LABELS)


@pytest.fixture(scope="module")
def task() -> Task:
    sizes = {SWAP: 12, PREPOSITION: 10, ENTAILED: 8}
    cases = {
        case: replace(examples(n, seed, [[0], [1, 2]]), label=[int(case != ENTAILED)] * n)
        for seed, (case, n) in enumerate(sizes.items(), 1)
    }
    return Task("tiny", train=examples(30, 4), validation=examples(20, 0), cases=cases, classes=LABELS)


@pytest.fixture(scope="module")
def means(model, task):
    return mean_activations(model, task.train)


@pytest.fixture(scope="module")
def subnetworks(model) -> list[Subnetwork]:
    items = model.components
    return [Subnetwork(frozenset(items[::2]), items), Subnetwork(frozenset(items[3:]), items)]


@pytest.fixture(scope="module")
def table(model, task, subnetworks, means) -> Evaluation:
    return evaluate(model, task, subnetworks, means, batch_size=7)


def slow(model, split: Examples, interventions) -> tuple[list[bool], list[torch.Tensor]]:
    right, logits = [], []
    for i in range(len(split)):
        one = model.logits(model.tokenize(split.first[i], split.second[i]), interventions)[0]
        group = (split.groups or [[0], [1], [2]])[split.label[i]]
        right.append(int(one.argmax()) in group)
        logits.append(one)
    return right, logits


def test_equals_a_loop_over_examples(model, task, subnetworks, means, table):
    assert table.names == ("full", "0", "1")
    listed = [[], *([Keep(item, means)] for item in subnetworks)]
    full = slow(model, task.validation, [])[1]
    for place, interventions in enumerate(listed):
        for split, data in (("validation", task.validation), *task.cases.items()):
            right, logits = slow(model, data, interventions)
            assert table.correct[split][place].tolist() == right
            if split == "validation":
                for row, (p, q) in enumerate(zip(full, logits, strict=True)):
                    expected = (p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum()
                    assert float(table.kl[place, row]) == pytest.approx(float(expected), abs=1e-9)


def test_wide_frame(table, subnetworks):
    frame = table.to_frame()
    assert list(frame.columns) == ["subnetwork", "sparsity", "validation", "kl", SWAP, PREPOSITION, ENTAILED]
    assert frame["subnetwork"].tolist() == ["full", "0", "1"]
    assert frame["sparsity"].tolist() == [0, subnetworks[0].sparsity, subnetworks[1].sparsity]
    assert frame["kl"][0] == 0
    assert frame[SWAP].tolist() == table.correct[SWAP].double().mean(1).tolist()


def test_long_frame_has_intervals_over_sources(table, task):
    frame = table.to_frame(long=True)
    assert list(frame.columns) == ["subnetwork", "case", "metric", "value", "low", "high", "n"]
    assert len(frame) == 3 * (1 + 1 + 3)
    assert frame["subnetwork"].tolist() == sorted(frame["subnetwork"], key=["full", "0", "1"].index)
    row = frame[(frame["subnetwork"] == "0") & (frame["case"] == "validation") & (frame["metric"] == "kl")].iloc[0]
    alone = bootstrap(table.kl[1].numpy(), clusters=task.validation.source, seed=0)
    assert (row["value"], row["low"], row["high"]) == pytest.approx((alone.value, alone.low, alone.high))
    assert row["n"] == 20


def test_an_accuracy_of_one_or_zero_has_the_exact_interval(table):
    right = torch.tensor([[True] * 12, [False] * 12])
    sources = tuple(f"s{i // 3}" for i in range(12))
    made = Evaluation(("full", "0"), (None, None), {"a": right}, None, {"a": ()}, {"a": sources}, 0.95, 0)
    frame = made.to_frame(long=True)
    assert (frame["low"][0], frame["high"][0]) == pytest.approx((clopper_pearson(4, 4).low, 1))
    assert (frame["low"][1], frame["high"][1]) == pytest.approx((0, clopper_pearson(0, 4).high))
    assert made.to_frame()["kl"].isna().all()
    assert made.to_frame()["validation"].isna().all()


def test_by_heuristic_averages_cases(table):
    frame = table.by_heuristic().set_index(["subnetwork", "heuristic", "label"])
    wide = table.to_frame().set_index("subnetwork")
    for name in table.names:
        overlap = frame.loc[(name, "lexical_overlap", "non-entailment")]
        assert overlap["accuracy"] == pytest.approx(wide.loc[name, [SWAP, PREPOSITION]].mean())
        assert overlap["cases"] == 2
        assert frame.loc[(name, "constituent", "entailment"), "accuracy"] == pytest.approx(wide.loc[name, ENTAILED])
    assert len(frame) == 6


def test_by_heuristic_without_hans_cases_is_an_error(model, task):
    with pytest.raises(DataError, match="None of validation is a HANS case"):
        evaluate(model, task, cases=[]).by_heuristic()


def test_without_subnetworks_only_the_full_model(model, task, table):
    alone = evaluate(model, task)
    assert alone.names == ("full",)
    assert torch.equal(alone.correct[SWAP][0], table.correct[SWAP][0])


def test_named_subnetworks_cases_and_one_subnetwork(model, task, subnetworks, means):
    named = evaluate(model, task, {"mine": subnetworks[0]}, means, cases=[SWAP.replace("/", "-")])
    assert named.names == ("full", "mine")
    assert named.splits == ("validation", SWAP)
    assert evaluate(model, task, subnetworks[0], means, cases=SWAP).names == ("full", "0")


def test_interventions_stand_before_in_every_row(model, task, subnetworks, means):
    gone = Ablate([Head(0, 1)], 0)
    found = evaluate(model, task, subnetworks, means, interventions=[gone], cases=[SWAP])
    for place, listed in enumerate([[gone], *([gone, Keep(item, means)] for item in subnetworks)]):
        assert found.correct[SWAP][place].tolist() == slow(model, task.case(SWAP), listed)[0]
    assert found.names == ("intervened", "0", "1")


def test_max_per_case_draws_by_seed(model, task):
    found = evaluate(model, task, max_per_case=5, seed=3)
    assert found.ids[SWAP] == task.case(SWAP).sample(5, 3).id
    assert len(found.ids["validation"]) == 5
    assert evaluate(model, task, max_per_case=5, seed=4).ids != found.ids


def test_each_split_is_encoded_once(model, task, subnetworks, means, monkeypatch):
    calls, real = [], evaluate_module.batches
    monkeypatch.setattr(evaluate_module, "batches", lambda *a, **k: calls.append(1) or real(*a, **k))
    evaluate(model, task, subnetworks, means)
    assert len(calls) == 4


def test_a_model_with_other_class_order_is_read_by_name(task, table):
    module = tiny_module("bert", seed=1)
    order = [2, 0, 1]
    with torch.no_grad():
        module.classifier.weight.copy_(module.classifier.weight[order])
        module.classifier.bias.copy_(module.classifier.bias[order])
    turned = load(module, tokenizer=tokenizer(), labels=[LABELS[i] for i in order])
    found = evaluate(turned, task)
    for split in table.splits:
        assert torch.equal(found.correct[split][0], table.correct[split][0])


def test_a_model_of_coarser_classes_is_asked_for_what_it_can_tell(task):
    """Two classes, three labels: neutral and contradiction are one."""
    torch.manual_seed(0)
    config = tiny_module("bert", seed=1).config
    config.num_labels = 2
    two = BertForSequenceClassification(config).double()
    model = load(two, tokenizer=tokenizer(), labels=["non-entailment", "entailment"])
    found = evaluate(model, task)
    answers = torch.cat([model.logits(model.tokenize(a, b)).argmax(1) for a, b in
                         zip(task.validation.first, task.validation.second, strict=True)])  # fmt: skip
    expected = [bool(answer) == (label == 0) for answer, label in zip(answers, task.validation.label, strict=True)]
    assert found.correct["validation"][0].tolist() == expected
    assert found.majority == pytest.approx(max(np.bincount([label == 0 for label in task.validation.label])) / 20)
    whole = Subnetwork(frozenset(model.components), model.components)
    faithful = faithfulness(model, task.validation, [whole], means=0)
    assert faithful.correct["full"].tolist() == expected


def test_a_row_that_does_not_fit_is_refused_before_any_pass(model, task, monkeypatch):
    long = replace(examples(3, 0), first=("red " * 60,) * 3)
    monkeypatch.setattr(type(model), "run_edits", lambda *given, **more: pytest.fail("a pass was made"))
    with pytest.raises(DataError, match="longer than the model's 40 positions"):
        evaluate(model, replace(task, cases={**task.cases, "long": long}))


def test_file_and_repr(table, tmp_path):
    again = Evaluation.load(table.save(tmp_path / "table.json"))
    assert again.to_frame().equals(table.to_frame())
    assert again.to_frame(long=True).equals(table.to_frame(long=True))
    assert torch.equal(again.correct[SWAP], table.correct[SWAP])
    assert again.subnetworks == table.subnetworks
    assert "2 subnetworks, 3 cases, 50 examples" in repr(table)
    assert table._repr_html_().startswith("<p>")


def test_subnetworks_need_means(model, task, subnetworks):
    with pytest.raises(HCError, match="2 subnetworks were given without means"):
        evaluate(model, task, subnetworks)


def test_means_of_another_model_are_refused(model, task, subnetworks):
    other = load(tiny_module("bert", seed=2), tokenizer=tokenizer(), labels=LABELS)
    with pytest.raises(InterventionError, match="fingerprint"):
        evaluate(model, task, subnetworks, mean_activations(other, task.train))


@pytest.mark.parametrize("bad", [3, ["L0H0"], {"a": None}, "L0H0"])
def test_what_is_no_subnetwork_is_an_error(model, task, means, bad):
    with pytest.raises(HCError, match="other things than Subnetworks"):
        evaluate(model, task, bad, means)


def test_a_subnetwork_of_a_larger_model_is_an_error(model, task, means):
    strange = Subnetwork(frozenset(), (Head(7, 0),))
    with pytest.raises(ComponentError, match="L7H0"):
        evaluate(model, task, [strange], means)


def test_the_name_of_the_full_model_is_taken(model, task, subnetworks, means):
    for name in ("full", "intervened"):
        with pytest.raises(HCError, match=f"named '{name}'"):
            evaluate(model, task, {name: subnetworks[0]}, means)


def test_unknown_cases_and_missing_data_are_errors(model, task):
    with pytest.raises(DataError, match="did you mean"):
        evaluate(model, task, cases=["lexical_overlap_ln_prepositions"])
    with pytest.raises(DataError, match="neither a validation split nor cases"):
        evaluate(model, Task("empty", train=examples(3, 0)))
    with pytest.raises(DataError, match="where a Task was expected"):
        evaluate(model, examples(3, 0))
    for wrong in (0, 2.5):
        with pytest.raises(DataError, match=f"max_per_case is {wrong}; expected a whole number"):
            evaluate(model, task, max_per_case=wrong)
    with pytest.raises(DataError, match="no labels"):
        evaluate(model, Task("blind", validation=Examples(["the"], ["the"])))
    with pytest.raises(DataError, match="a case named 'validation'"):
        evaluate(model, Task("clash", cases={"validation": examples(3, 0)}))
    with pytest.raises(DataError, match="was not evaluated"):
        evaluate(model, task).accuracy("nothing")


@pytest.mark.parametrize("level", [0, 1, 95])
def test_level_outside_its_range_is_an_error(model, task, level):
    with pytest.raises(HCError, match="level="):
        evaluate(model, task, level=level)


def test_logits_that_are_not_finite_are_an_error(task):
    model = load(tiny_module("bert", seed=1), tokenizer=tokenizer(), labels=LABELS)
    with torch.no_grad():
        model.module.classifier.bias[0] = float("nan")
    with pytest.raises(HCError, match="logits of 'full' on 'validation' are NaN or infinite for 20 of 20"):
        evaluate(model, task)


def answered_by(model, n: int, seed: int = 5, wrong: int = 0) -> Examples:
    """Examples whose labels are what the model answers, shifted by `wrong`."""
    drawn = examples(n, seed)
    drawn = replace(drawn, source=[f"s{i}" for i in range(n)])
    answers = model.logits(model.tokenize(drawn)).argmax(1)
    return replace(drawn, label=((answers + wrong) % 3).tolist())


def test_an_accuracy_below_the_majority_is_a_warning(model):
    data = answered_by(model, 60, wrong=1)
    with pytest.warns(HCWarning, match=r"answers 0\.0% of validation correctly .* wrong label order") as warned:
        found = evaluate(model, Task("t", validation=data, classes=LABELS))
    most = max(data.label.count(label) for label in range(3)) / 60
    assert found.majority == most
    assert f"would reach {most:.1%}" in found.suspicion
    assert [str(item.message) for item in warned] == [found.suspicion]
    assert warned[0].filename == __file__


def test_a_permuted_order_is_caught_by_its_accuracy(model):
    """The same answers under two orders of names: right, and below what always saying the commonest would reach."""
    task = Task("t", validation=answered_by(model, 200), classes=LABELS)
    turned = load(model.module, tokenizer=model.tokenizer, labels=[*LABELS[1:], LABELS[0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error", HCWarning)
        assert evaluate(model, task).suspicion == ""
    with pytest.warns(HCWarning, match="wrong label order"):
        assert evaluate(turned, task).accuracy("validation")[0] == 0


@pytest.mark.parametrize(
    ("right", "n", "majority", "suspected"),
    [
        (0, 3, 0.67, False),  # the interval of none of three ends at .71
        (0, 3, 0.72, True),
        (0, 10, 0.3, False),
        (0, 10, 0.4, True),
        (20, 100, 0.28, False),  # .20 [.13, .29]
        (20, 100, 0.30, True),
        (60, 100, 0.5, False),
    ],
)
@pytest.mark.parametrize("copies", [1, 5])  # examples of one source count once
def test_few_examples_raise_no_suspicion(right, n, majority, suspected, copies):
    correct = {"validation": torch.tensor([[True] * right + [False] * (n - right)]).repeat_interleave(copies, 1)}
    sources = {"validation": tuple(f"s{i // copies}" for i in range(n * copies))}
    made = Evaluation(("full",), (None,), correct, None, sources, sources, 0.95, 0, majority=majority)
    assert bool(made.suspicion) == suspected


def test_other_accuracies_raise_no_suspicion(model):
    """Neither a challenge set, nor a model with heads cut, is expected to be better than the majority."""
    data = answered_by(model, 60, wrong=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", HCWarning)
        assert evaluate(model, Task("t", cases={"c": data}, classes=LABELS)).majority is None
        task = Task("t", validation=data, classes=LABELS)
        assert evaluate(model, task, interventions=[Ablate([Head(0, 1)], 0)]).majority is None


def test_the_suspicion_is_saved(tmp_path, model):
    with pytest.warns(HCWarning):
        found = evaluate(model, Task("t", validation=answered_by(model, 60, wrong=1), classes=LABELS))
    assert Evaluation.load(found.save(tmp_path / "e.json")).suspicion == found.suspicion != ""
