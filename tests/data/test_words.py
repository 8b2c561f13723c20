"""Words in every script: equal in every spelling of Unicode, and located in the text."""

# ruff: noqa: RUF001

import itertools
import os
import re
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hc_interp.data.overlap import located_words, word_overlap, words

JOINER, SOFT_HYPHEN, ZERO_WIDTH_SPACE = "\u200c", "\u00ad", "\u200b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("தமிழ் மொழி", ["தமிழ்", "மொழி"]),
        ("ภาษาไทย ดีมาก", ["ภาษาไทย", "ดีมาก"]),
        ("مَدْرَسَةٌ كَبِيرَة", ["مَدْرَسَةٌ", "كَبِيرَة"]),
        ("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"]),
        ("İstanbul", ["i\u0307stanbul"]),
        ("Die Straße", ["die", "straße"]),
        ("我们喜欢2020年的猫。", ["我", "们", "喜", "欢", "2020", "年", "的", "猫"]),
        ("食べた", ["食", "べ", "た"]),
        ("らーめんとラーメン", ["らー", "め", "ん", "と", "ラーメン"]),
        ("Tシャツ", ["tシャツ"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("10² and ½", ["10²", "and", "½"]),
        ("snake_case d'Annunzio’s", ["snake_case", "d'annunzio", "s"]),
        ("‘quoted’ dogs’ ʼtis", ["quoted", "dogs", "tis"]),
        (f"ខ្មែរ{ZERO_WIDTH_SPACE}ភាសា", ["ខ្មែរ", "ភាសា"]),
        ("\u0301 \u3164 ❤\ufe0f", []),
    ],
)
def test_words_of_many_scripts(text: str, expected: list[str]) -> None:
    assert words(text) == [unicodedata.normalize("NFC", word) for word in expected]


@pytest.mark.parametrize("apostrophe", "’‘ʼ＇´")
def test_every_apostrophe_is_the_straight_one(apostrophe: str) -> None:
    assert words(f"She doesn{apostrophe}t.") == ["she", "doesn't"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("\uac00", "\u1100\u1161"),
        ("co\u00adop", "coop"),
        ("\u845b\U000e0100", "\u845b"),
        (f"می{JOINER}خواهم", "میخواهم"),
        ("が", "か\u3099"),
    ],
)
def test_two_ways_to_write_a_word_are_one(first: str, second: str) -> None:
    assert words(first) == words(second)
    assert word_overlap(first, second) == 1


TEXTS = st.text(st.one_of(st.characters(), st.sampled_from("a'’e\u0301\u00ad\u200b\u200d人あー \u02bc")), max_size=30)


@given(TEXTS)
@example("ΣΑΣ\u0301 Σ")
def test_composed_and_decomposed_text_has_the_same_words(text: str) -> None:
    assert words(unicodedata.normalize("NFD", text)) == words(unicodedata.normalize("NFC", text))


@given(TEXTS)
def test_each_word_stands_where_it_is_said_to(text: str) -> None:
    found = located_words(text)
    assert [word for word, _, _ in found] == words(text)
    assert all(words(text[start:end]) == [word] for word, start, end in found)
    assert all(left[2] <= right[1] for left, right in itertools.pairwise(found))


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_is_split_at_what_is_no_letter_digit_or_underscore(text: str) -> None:
    assert words(text) == [word for word, _, _ in located_words(text)] == re.findall(r"\w+(?:'\w+)?", text.lower())


def test_the_real_data_in_ascii_is_split_as_ever() -> None:
    folder = os.environ.get("HC_INTERP_DATA")
    if folder is None:
        pytest.skip("HC_INTERP_DATA does not name the data folder")
    texts: set[str] = set()
    for path in Path(folder).glob("**/*.parquet"):
        frame = pd.read_parquet(path)
        names = [name for name in frame if re.fullmatch(r"premise|hypothesis|(question|sentence)\d", str(name))]
        texts.update(text for name in names for text in frame[name].dropna() if text.isascii())
    assert len(texts) > 100_000
    chunks = "\n".join(sorted({chunk for text in texts for chunk in text.split()}))  # no word crosses a space
    expected = re.findall(r"\w+(?:'\w+)?", chunks.lower())
    assert words(chunks) == expected
    assert [word for word, _, _ in located_words(chunks)] == expected
