"""Features on words, and the tokens that they are read at."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from texts import word_tokenizer
from tiny import LABELS, tiny_module
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hc_interp.data.examples import Examples
from hc_interp.data.overlap import word_overlap, words
from hc_interp.errors import DataError, ModelError
from hc_interp.models.load import load
from hc_interp.models.word_tokens import word_positions, word_spans, word_tokens
from hc_interp.probing.features import (
    FEATURES,
    Feature,
    constituent,
    feature_values,
    match_position,
    negation,
    order_violation,
    overlap_share,
    subsequence,
    token_overlap,
)

texts = st.lists(st.sampled_from(["the", "a", "Doctor", "saw", "don't", "near.", "!"]), max_size=8).map(" ".join)


@given(texts, texts)
def test_share_is_the_mean_of_token_overlap_and_the_package_s_overlap(first: str, second: str) -> None:
    a, b = words(first), words(second)
    if not b:
        assert math.isnan(overlap_share(a, b))
        return
    assert (
        overlap_share(a, b) == pytest.approx(np.mean(token_overlap(a, b))) == pytest.approx(word_overlap(first, second))
    )


@given(texts, texts)
def test_match_position_is_the_nearest_copy(first: str, second: str) -> None:
    a, b = words(first), words(second)
    for j, (word, i, shared) in enumerate(zip(b, match_position(a, b), token_overlap(a, b), strict=True)):
        assert math.isnan(i) == (shared == 0)
        if shared:
            assert a[int(i)] == word
            assert all(abs(i - j) <= abs(other - j) for other, w in enumerate(a) if w == word)


@given(texts, st.integers(0, 7), st.integers(1, 8))
def test_every_cut_is_a_subsequence(first: str, start: int, length: int) -> None:
    a = words(first)
    cut = a[start : start + length]
    if cut:
        assert subsequence(a, cut) == 1
        assert subsequence(a, [*cut, "absent"]) == 0


def test_subsequence_is_contiguous_and_negation_is_of_the_second_text() -> None:
    assert subsequence(["a", "b", "c"], ["a", "c"]) == 0
    assert negation([], words("He didn't go")) == negation([], words("No one")) == 1
    assert negation(words("not"), words("He went")) == 0


@given(st.text(max_size=40))
def test_spans_are_the_words_of_any_text(text: str) -> None:
    spans = word_spans(text)
    assert len(spans) == len(words(text))
    for (start, end), word in zip(spans, words(text), strict=True):
        assert words(text[start:end]) == [word]
    assert all(first[1] <= second[0] for first, second in itertools.pairwise(spans))


def test_a_word_is_read_at_its_first_piece_and_punctuation_nowhere(model) -> None:
    pair = Examples(("The doctor.",), ("Doctors saw. don't",))
    # [CLS] [UNK] doctor . [SEP] doctor ##s saw . don ' t [SEP]
    assert word_positions(model, pair) == [[5, 7, 9]]


def test_overlap_is_of_whole_words_in_any_case(model) -> None:
    pair = Examples(("The doctors saw.",), ("Doctor SAW.",))
    values = feature_values(model, pair, "token_overlap")
    assert values.to_frame().to_dict("list") == {
        "row": [0, 0],
        "position": [7, 8],  # after [CLS] [UNK] doctor ##s saw . [SEP]
        "word": ["doctor", "saw"],
        "value": [0.0, 1.0],
    }


def test_undefined_values_are_left_out(model) -> None:
    pairs = Examples(("doctor saw.", "judge."), ("saw doctor near.", "old."))
    values = feature_values(model, pairs, "match_position")
    assert values.value.tolist() == [1, 0]
    assert values.row.tolist() == [0, 0]


@pytest.mark.parametrize("name", FEATURES)
def test_every_feature_has_its_level_and_kind(model, examples, name: str) -> None:
    values = feature_values(model, examples, name)
    assert FEATURES[name].doc
    assert (values.level, values.kind) == (FEATURES[name].level, FEATURES[name].kind)
    assert values.level == "token" or not values.position.any()
    lengths = [len(model.tokenizer(a, b)["input_ids"]) for a, b in zip(examples.first, examples.second, strict=True)]
    assert all(p < lengths[row] for row, p in zip(values.row, values.position, strict=True))


def test_values_of_ones_own(model, examples) -> None:
    by_pair = feature_values(model, examples, np.arange(len(examples)) % 2)
    assert (by_pair.level, by_pair.kind, len(by_pair)) == ("pair", "binary", len(examples))
    tokens = [model.tokenizer(a, b)["input_ids"] for a, b in zip(examples.first, examples.second, strict=True)]
    ragged = [[float(i) for i in range(len(row))] for row in tokens]
    by_token = feature_values(model, examples, ragged)
    assert (by_token.level, by_token.kind) == ("token", "real")
    assert by_token.value.tolist() == by_token.position.tolist()
    padded = np.full((len(tokens), 30), np.nan)
    for row, values in zip(padded, ragged, strict=True):
        row[: len(values)] = values
    assert feature_values(model, examples, padded).value.tolist() == by_token.value.tolist()
    length = Feature("length", "token", "real", lambda first, second: [float(len(word)) for word in second])
    assert feature_values(model, examples, length).value.tolist() == [
        len(word) for text in examples.second for word in words(text)
    ]


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("token_overlp", "did you mean 'token_overlap'"),
        ([0.0, 1.0], "2 entries was given for 120 examples"),
        ([[0.0]] * 120, "tokens. Give one for each token"),
        ([float("inf")] * 120, "expected finite numbers"),
        ([float("nan")] * 120, "defined nowhere"),
        (["yes"] * 120, "'yes' at all 120 places"),
        ([-1] * 120, "-1 at all 120 places"),
        ([1j] * 120, "cannot be read as numbers"),
        ([{}] * 120, "cannot be read as numbers"),
        ([[[1]]] * 120, "120 entries was given"),
        (["yes", 1] * 60, "cannot be read as numbers"),
        (3, "cannot be read as numbers"),
        (Feature("short", "token", "real", lambda first, second: [1.0]), "one for each word of the second text"),
        (Feature("list", "pair", "real", lambda first, second: [1.0]), "expected one number"),
        (Feature("two", "pair", "binary", lambda first, second: 2.0), "value 2.0; expected 0 or 1"),
    ],
)
def test_features_that_do_not_fit(model, examples, feature, message: str) -> None:
    with pytest.raises(DataError, match=message):
        feature_values(model, examples, feature)


def test_bad_level_single_texts_and_slow_tokenizers(model, examples) -> None:
    with pytest.raises(DataError, match="expected a level"):
        Feature("x", "word", "binary", token_overlap)  # type: ignore[arg-type]
    single = Examples(examples.first)
    with pytest.raises(DataError, match="compares two texts"):
        feature_values(model, single, "token_overlap")
    with pytest.raises(DataError, match="single texts"):
        word_positions(model, single)
    bare = model.copy()
    bare.tokenizer = None
    with pytest.raises(ModelError, match="no tokenizer"):
        feature_values(bare, examples, "token_overlap")


@pytest.mark.parametrize(
    ("first", "second", "token", "position", "share", "contiguous", "violated", "negated"),
    [
        ("The doctor saw the lawyer.", "The lawyer saw the doctor.", [1, 1, 1, 1, 1], [0, 4, 2, 3, 1], 1, 0, 1, 0),
        ("The doctor near the actor danced.", "The actor danced.", [1, 1, 1], [0, 4, 5], 1, 1, 0, 0),
        ("The doctor near the actor danced.", "The doctor", [1, 1], [0, 1], 1, 1, 0, 0),
        ("The doctor near the actor danced.", "The doctor danced.", [1, 1, 1], [0, 1, 5], 1, 0, 0, 0),
        ("A man sleeps.", "Nobody isn't asleep", [0, 0, 0], [None] * 3, 0, 0, None, 1),
        ("The the.", "The, THE the!", [1, 1, 1], [0, 1, 1], 1, 0, 1, 0),
        ("One word.", "word", [1], [1], 1, 1, None, 0),
    ],
)
def test_cases_written_by_hand(first, second, token, position, share, contiguous, violated, negated) -> None:
    a, b = words(first), words(second)
    assert token_overlap(a, b) == token
    assert [None if math.isnan(p) else p for p in match_position(a, b)] == position
    assert (overlap_share(a, b), subsequence(a, b), negation(a, b)) == (share, contiguous, negated)
    violation = order_violation(a, b)
    assert (None if math.isnan(violation) else violation) == violated


@given(texts, texts)
def test_order_is_violated_where_the_shared_words_are_no_part_of_the_first_in_order(first: str, second: str) -> None:
    a, b = words(first), words(second)
    shared = [word for word in b if word in a]
    violation = order_violation(a, b)
    if len(shared) < 2:
        assert math.isnan(violation)
    else:
        assert violation == float(tuple(shared) not in set(itertools.combinations(a, len(shared))))


BINARY = "( ( The doctor ) ( near ( the ( old actor ) ) ) ( ( does n't ) dance ) . )"
LABELLED = (
    "(ROOT (S (NP (NP (DT The) (NN doctor)) (PP (IN near) (NP (DT the) (NP (JJ old) (NN actor))))) "
    "(VP (VBD does) (RB n't) (VB dance)) (. .)))"
)


def test_a_parse_may_have_curly_apostrophes() -> None:
    examples = Examples(("The doctor doesn\u2019t dance.",) * 2, ("doesn't dance", "The doctor doesn\u2019t"))
    parse = "( ( The doctor ) ( ( does n\u2019t ) dance ) . )"
    assert constituent(examples, [parse, parse]).tolist() == [1, 0]


@pytest.mark.parametrize("parse", [BINARY, LABELLED])
@pytest.mark.parametrize(
    ("second", "expected"),
    [("The old actor.", 1), ("near the old actor", 1), ("Doctor", 1), ("doesn't dance", 1), ("old actor doesn't", 0)],
)
def test_constituents_of_a_parse(parse, second, expected) -> None:
    examples = Examples(("The doctor near the old actor doesn't dance.",), (second,))
    assert constituent(examples, [parse]).tolist() == [expected]


def test_parses_that_do_not_fit() -> None:
    examples = Examples(("The doctor ran.", "No parse."), ("The doctor", "no"), id=("a", "b"))
    assert np.isnan(constituent(examples, ["( ( The doctor ) ran . )", None])[1])
    with pytest.raises(DataError, match="1 parses were given"):
        constituent(examples, ["( The )"])
    for broken in ("( ( The doctor ) ran .", "The ) doctor", ""):
        with pytest.raises(DataError, match="brackets do not match"):
            constituent(examples, [broken, None])
    with pytest.raises(DataError, match="'the lawyer ran', its first text 'the doctor ran'"):
        constituent(examples, ["( The lawyer ran )", None])


def test_all_pieces_of_a_word_belong_to_it_in_both_texts(model) -> None:
    pair = Examples(("The doctors saw.",), ("Doctors don't",))
    # [CLS] [UNK] doctor ##s saw . [SEP] doctor ##s don ' t [SEP]
    assert word_tokens(model, pair) == [([(1,), (2, 3), (4,)], [(7, 8), (9, 10, 11)])]


def test_words_of_any_script_are_found_among_the_tokens() -> None:
    """Marks, curly apostrophes and Chinese characters: a word's pieces are those of its characters as given."""
    names = ["[PAD]", "[UNK]", "e\u0301", "t", "cafe\u0301", "don", "\u2019", "我们", "的", "हि", "न्दी", "."]
    core = Tokenizer(models.WordLevel({name: i for i, name in enumerate(names)}, unk_token="[UNK]"))
    pieces = sorted(names[2:], key=len, reverse=True)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex("|".join(map(re.escape, pieces))), "isolated")]
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]", pad_token="[PAD]")
    model = load(tiny_module("llama"), tokenizer=tokenizer, labels=LABELS)
    pair = Examples(("cafe\u0301 don\u2019t.",), ("हिन्दी 我们的 café don't",))
    # cafe don (apostrophe) t . / हि न्दी 我们 的 [UNK] don [UNK] t
    assert word_tokens(model, pair) == [
        ([(0,), (1, 2, 3)], [(5, 6), (7,), (7,), (8,), (9,), (10, 11, 12)]),
    ]
    assert word_positions(model, pair) == [[6, 7, 7, 8, 9, 12]]
    assert token_overlap(words(pair.first[0]), words("café don't")) == [1, 1]


def test_a_decoder_sums_up_at_its_last_token() -> None:
    given_ = Examples(("the judge saw", "judge"), ("the judge", "saw the judge"))
    for family, position in (("bert", [0, 0]), ("gpt2", [7, 6])):
        model = load(tiny_module(family), tokenizer=word_tokenizer(given_.first), labels=LABELS)
        assert feature_values(model, given_, "overlap_share").position.tolist() == position
        assert feature_values(model, given_, [0.5, 1.5]).position.tolist() == position
