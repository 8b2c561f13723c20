"""Token classifiers: `read_at` says which token is the answer, and everything else is as for a classifier of texts."""

import pickle

import pytest
import torch
from texts import word_tokenizer
from tiny import LABELS, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.models.read_at import read_positions
from hc_interp.records.digest import digest

NAME = "BertForTokenClassification"
BATCH = tiny_batch(4)
LENGTHS = BATCH.attention_mask.sum(1)


def before_last(batch):
    return batch.attention_mask.sum(1) - 2


def first_seven(batch):
    """A rule for a user's texts: random tokens need not fit it."""
    found = batch.input_ids == 7
    assert found.any(1).all(), "a row without the token 7"
    return found.int().argmax(1)


def wrapped(read_at, name=NAME, **more):
    return hc.load(tiny_module(name), **{"labels": LABELS, "backend": "nnsight", "read_at": read_at, **more})


@pytest.fixture(scope="module")
def plain():
    module = tiny_module(NAME)
    with torch.no_grad():
        return module(BATCH.input_ids, attention_mask=BATCH.attention_mask, token_type_ids=BATCH.token_type_ids).logits


@torch.no_grad()
@pytest.mark.parametrize(
    ("read_at", "position"), [(2, torch.full((4,), 2)), (-2, LENGTHS - 2), (before_last, LENGTHS - 2)]
)
def test_classes_are_those_of_the_token(plain, read_at, position) -> None:
    model = wrapped(read_at)
    run = model.run(BATCH, capture=[hc.Site.pooled(), hc.Site(2, "resid_post")])
    rows = torch.arange(4)
    torch.testing.assert_close(run.logits, plain[rows, position], atol=1e-10, rtol=0)
    assert torch.equal(run.captured[hc.Site.pooled()], run.captured[hc.Site(2, "resid_post")][rows, position])
    alone = [model.logits(BATCH.rows([row]).trim())[0] for row in range(4)]
    torch.testing.assert_close(run.logits, torch.stack(alone), atol=1e-10, rtol=0)


@torch.no_grad()
def test_a_path_ends_at_the_token(plain) -> None:
    """In the last layer only what a head writes at that position matters."""
    model = wrapped(before_last)
    site = hc.Site(2, "z", head=1)
    elsewhere = torch.ones(4, 9, 1, dtype=torch.float64)
    elsewhere[torch.arange(4), LENGTHS - 2] = 0
    away = model.logits(BATCH, hc.Edit(site, lambda value: value + elsewhere))
    torch.testing.assert_close(away, model.logits(BATCH), atol=1e-10, rtol=0)
    there = model.logits(BATCH, hc.Edit(site, lambda value: value + 1 - elsewhere))
    assert (there - away).abs().max() > 1e-2


def test_a_rule_is_asked_about_the_users_rows_alone() -> None:
    model = wrapped(first_seven)
    ids = BATCH.input_ids.clone()
    ids[:, 1] = 7
    assert model.logits(hc.Batch(ids, BATCH.attention_mask, BATCH.token_type_ids)).shape == (4, 3)
    with pytest.raises(AssertionError, match="without the token 7"):
        model.logits(hc.Batch(torch.full((2, 5), 9)))


def test_the_rule_belongs_to_the_model() -> None:
    model = wrapped(before_last)
    expected = model.logits(BATCH)
    for again in (model.copy(), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again.logits(BATCH), expected)
    tail = model.tail(1)
    assert tail.readout.read_at is before_last
    path = [hc.PatchPath("L1H0", "L2H1", source=0)]  # its third step starts in a tail
    assert model.logits(BATCH, path).shape == (4, 3)
    assert digest(wrapped(1)) != digest(wrapped(2)) != digest(model)
    assert wrapped(1).fingerprint == model.fingerprint  # the weights and sites are the same


def test_a_folder(tmp_path) -> None:
    """Its config names the classes; where it is read is not in it."""
    module = tiny_module(NAME)
    module.config.id2label = {0: "O", 1: "B-PER", 2: "I-PER"}
    module.config.label2id = {"O": 0, "B-PER": 1, "I-PER": 2}
    module.save_pretrained(tmp_path)
    word_tokenizer(["some words"]).save_pretrained(tmp_path)
    with pytest.raises(hc.ModelError, match=r"which token is the answer was not said.*hc\.load\(\.\.\., read_at="):
        hc.load(tmp_path)
    model = hc.load(tmp_path, read_at=1)
    assert model.labels == ("o", "b-per", "i-per")
    assert "labels o, b-per, i-per at token 1," in repr(model)
    assert "at tokens that a function gives," in repr(hc.load(tmp_path, read_at=before_last))
    assert hc.load(model.save(tmp_path / "again"), read_at=1).labels == model.labels


@pytest.mark.parametrize(
    ("read_at", "message"),
    [
        (None, "which token is the answer was not said"),
        (True, r"read_at=True was given.*from a row's last token, read_at=-2; or a function"),
        (1.0, r"read_at=1\.0 was given"),
        ("cls", "read_at='cls' was given"),
    ],
)
def test_a_rule_without_meaning_is_refused(read_at, message) -> None:
    with pytest.raises(hc.ModelError, match=message):
        wrapped(read_at)


def test_other_models_say_themselves_where_they_are_read() -> None:
    with pytest.raises(hc.ModelError, match=r"BertForSequenceClassification\), which is no token classifier"):
        wrapped(0, name="bert")


@pytest.mark.parametrize(
    ("positions", "message"),
    [
        (lambda batch: [0, 0, 0, 0], "Expected a tensor of whole numbers, one a row"),
        (lambda batch: torch.zeros(4), "Expected a tensor of whole numbers"),
        (lambda batch: torch.zeros(4, dtype=torch.bool), "Expected a tensor of whole numbers"),
        (lambda batch: torch.zeros(3, dtype=torch.long), "for a batch of 4 rows"),
        (lambda batch: torch.zeros(4, 1, dtype=torch.long), "for a batch of 4 rows"),
        (lambda batch: torch.tensor([0, -1, 0, 0]), "position -1 in row row-1"),
        (lambda batch: batch.attention_mask.sum(1), "position 9 in row row-0, which has tokens 0 to 8"),
        (8, r"position 8 in row row-\d, which has tokens 0 to [4-7]"),
        (-9, r"position -9 in row row-\d, which has tokens -[5-8] to -1"),
    ],
)
def test_positions_that_rows_do_not_have_are_refused(positions, message) -> None:
    with pytest.raises(hc.DataError, match=message):
        read_positions(positions, BATCH)


def tiny_task():
    """One example, so that every batch is known."""
    examples = hc.Examples(["a b b"], None, (2,))
    return hc.Task("tiny", examples, examples, {}), word_tokenizer(["a b"])


def test_training_by_a_function_is_refused(tmp_path) -> None:
    task, tokenizer = tiny_task()
    with pytest.raises(hc.HCError, match=r"a function says.*card of a series.*hc\.load\(\.\.\., read_at=-2\)"):
        hc.finetune(wrapped(before_last, tokenizer=tokenizer), task, tmp_path / "out", steps=1)
    assert not (tmp_path / "out").exists()


def test_training_at_a_position(tmp_path) -> None:
    """The loss is that of the token. Checkpoints are read there again, and elsewhere if the caller says so."""
    task, tokenizer = tiny_task()
    start = wrapped(-2, tokenizer=tokenizer)
    batch, out = start.tokenize(task.train), tmp_path / "out"
    assert batch.input_ids.shape == (1, 5)
    series = hc.finetune(start, task, out, steps=1, batch_size=2, dropout=False)
    with torch.no_grad():
        plain = [m.module(batch.input_ids, attention_mask=batch.attention_mask).logits[0] for m in (start, series[1])]
    loss = torch.nn.functional.cross_entropy(plain[0][3], torch.tensor(2))
    assert series.metrics["loss"].iloc[-1] == pytest.approx(float(loss), abs=1e-10)
    torch.testing.assert_close(series[1].logits(batch)[0], plain[1][3], atol=1e-10, rtol=0)
    torch.testing.assert_close(hc.load(f"{out}@1", read_at=0).logits(batch)[0], plain[1][0], atol=1e-10, rtol=0)
    assert (plain[1][3] - plain[0][3]).abs().max() > 1e-6
    with pytest.raises(hc.TrainingError, match="start"):
        hc.finetune(wrapped(3, tokenizer=tokenizer), task, out, steps=1, batch_size=2, dropout=False)
