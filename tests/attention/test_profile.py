"""Attention by kind of target, on heads that were written by hand, and against a slow count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from attention_model import WORDS, attention_model, attention_texts

from hc_interp.attention.profile import attention_profile
from hc_interp.attention.result import MEASURES, AttentionProfile
from hc_interp.attention.targets import attention_targets, shuffled_positions
from hc_interp.components import Head
from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError, HCError
from hc_interp.interventions.nodes import Ablate
from hc_interp.models.load import load
from hc_interp.models.site import Site

SAME, EVEN, BEFORE, ANCHOR = (Head(0, head) for head in range(4))


@pytest.fixture(scope="module")
def model():
    return attention_model()


@pytest.fixture(scope="module")
def texts() -> Examples:
    return attention_texts(30)


@pytest.fixture(scope="module")
def profile(model, texts) -> AttentionProfile:
    return attention_profile(model, texts)


def test_each_head_attends_to_what_it_was_written_for(profile) -> None:
    own = {head: {m: profile.score(head, m).value for m in MEASURES} for head in (SAME, EVEN, BEFORE, ANCHOR)}
    # a word and its copy share what the first head gives
    assert own[SAME]["same_word"] == pytest.approx(0.5, abs=0.02)
    assert own[BEFORE]["previous"] > 0.98
    assert own[ANCHOR]["cls"] > 0.98
    for measure in MEASURES[:-1]:
        assert own[EVEN][measure] == pytest.approx(profile.base_rate(measure), abs=1e-6)
        lift = profile.score(EVEN, measure, lift=True)
        assert abs(lift.low) < 1e-6 > abs(lift.high)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_read_too(model, texts, profile, dtype) -> None:
    half = attention_profile(load(model.module, tokenizer=model.tokenizer, labels=model.labels, dtype=dtype), texts)
    np.testing.assert_allclose(half.mass, profile.mass, atol=0.02 * profile.asked.max())


def test_word_order_moves_heads_that_look_at_places_only(profile) -> None:
    assert profile.score(SAME, "order").value < 0.02
    assert profile.score(EVEN, "order").value < 1e-6
    assert profile.score(ANCHOR, "order").value < 0.02
    assert profile.base_rate("order") == 0


def test_a_head_of_fixed_places_goes_to_other_words_when_they_move(model, texts) -> None:
    """The second layer's first head attends to the third token, whatever stands there."""
    found = attention_profile(model, texts)
    moved = [shuffled_positions(layout, [0, row])[2] != 2 for row, layout in enumerate(attention_targets(model, texts))]
    per_example = found.mass[:, 1, 0, -1] / found.asked[:, -1]
    assert 0 < np.mean(moved) < 1
    assert np.allclose(per_example, np.array(moved, dtype=float), atol=0.03)


def test_means_are_those_of_a_slow_count(model, texts, profile) -> None:
    total, uniform, n = np.zeros((4, 5)), np.zeros(5), np.zeros(5)
    for first, second in zip(texts.first, texts.second, strict=True):
        tokens = ["[CLS]", *first.split(), "[SEP]", *second.split(), "[SEP]"]
        batch = model.tokenize([first], [second])
        pattern = model.run(batch, capture=Site(0, "pattern")).captured[Site(0, "pattern")][0]
        start = len(first.split()) + 2
        for q in range(start, len(tokens) - 1):
            kinds = [
                [k for k in range(1, start - 1) if tokens[k] == tokens[q]],
                [k for k, token in enumerate(tokens) if token == "[SEP]"],
                [0],
                [q - 1],
                [q + 1],
            ]
            for m, keys in enumerate(kinds):
                if keys or m:
                    total[:, m] += pattern[:, q, keys].sum(1).numpy()
                    uniform[m] += len(keys) / len(tokens)
                    n[m] += 1
    for m, measure in enumerate(MEASURES[:-1]):
        assert profile.base_rate(measure) == pytest.approx(uniform[m] / n[m])
        for head in range(4):
            assert profile.score(Head(0, head), measure).value == pytest.approx(total[head, m] / n[m], abs=1e-5)


def test_words_change_places_whole_and_everything_else_stays(model) -> None:
    pair = Examples((f"{WORDS[0]} {WORDS[1]}s {WORDS[2]} . {WORDS[3]}",), (WORDS[4],))
    (example,) = attention_targets(model, pair)
    seen = set()
    for seed in range(20):
        to = shuffled_positions(example, seed)
        assert sorted(to.tolist()) == list(range(len(to)))
        moved = example.moved(to)
        assert torch.equal(moved.tokens["input_ids"][to], example.tokens["input_ids"])
        text = model.tokenizer.convert_ids_to_tokens(moved.tokens["input_ids"].tolist())
        assert text[0] == "[CLS]"
        assert text[7:] == ["[SEP]", WORDS[4], "[SEP]"]
        assert text[text.index("##s") - 1] == WORDS[1]
        seen.add(tuple(text))
    assert len(seen) > 5
    single = Examples((".",), (WORDS[4],))
    assert shuffled_positions(attention_targets(model, single)[0], 0).tolist() == list(range(5))


def test_interventions_and_batches_change_what_they_should(model, texts, profile) -> None:
    small = attention_profile(model, texts, batch_size=3)
    np.testing.assert_allclose(small.mass, profile.mass, atol=1e-4)
    cut = attention_profile(model, texts, interventions=Ablate(SAME, 0))
    np.testing.assert_allclose(cut.mass[:, 0], profile.mass[:, 0], atol=1e-6)


def test_table_frame_repr_save_and_load(profile, tmp_path) -> None:
    table = profile.table(core=[SAME])
    assert table["head"][0] == str(SAME)
    assert table["core"].tolist() == [True, *[False] * 7]
    assert table["repeats"][0]
    assert not table.set_index("head").loc[str(EVEN), "repeats"]
    assert "core" not in profile.table()
    frame = profile.to_frame()
    assert len(frame) == 8 * len(MEASURES)
    assert (frame["low"] <= frame["mean"] + 1e-9).all()
    assert profile.strongest(n=1) == (SAME,)
    assert "most on the same word: L0H0" in repr(profile)
    loaded = AttentionProfile.load(profile.save(tmp_path / "attention.json"))
    assert loaded.to_frame().equals(frame)


def test_bad_input(model, texts, profile) -> None:
    with pytest.raises(DataError, match="single texts"):
        attention_profile(model, Examples(texts.first))
    with pytest.raises(DataError, match="expected Examples"):
        attention_profile(model, model.tokenize(list(texts.first), list(texts.second)))
    with pytest.raises(HCError, match="level=95"):
        attention_profile(model, texts, level=95)
    with pytest.raises(ComponentError, match="same_word, separators"):
        profile.score("L0H0", "diagonal")
    with pytest.raises(ComponentError, match="the profile has L0H0 to L1H3"):
        profile.score("L5H0", "cls")


def test_words_that_share_a_token_move_as_one(model) -> None:
    """As Chinese characters do, which a vocabulary may join: places stay a permutation, and joined words together."""
    first = ((1,), (2,), (2, 3), (3,), (5, 6))
    plain = attention_targets(model, attention_texts(1))[0]
    length = 8
    example = replace(
        plain,
        first=first,
        is_query=torch.zeros(length, dtype=torch.bool),
        tokens={"input_ids": torch.arange(length)},
        targets=plain.targets[:, :length, :length],
    )
    orders = {tuple(shuffled_positions(example, seed).tolist()) for seed in range(40)}
    assert len(orders) == 6  # of three units
    for to in orders:
        assert sorted(to) == list(range(length))
        assert to[3] == to[2] + 1
