"""A small task as files: a table of each split, a table of two cases, a table of pairs, and the TOML file."""

import pytest

TOML = """
name = "mine"
classes = ["entailment", "neutral", "contradiction"]
heuristic_label = "entailment"
train = "train.csv"
validation = "dev.tsv"
cases = "cases.csv"

[columns]
first = "premise"
second = "hypothesis"
label = "gold"
units = ["verb"]

[heuristics.word_overlap]
right = ["kept"]
wrong = ["swapped"]

[[pairs]]
case = "swapped"
kind = "order"
file = "pairs.csv"
"""
TRAIN = (
    "premise,hypothesis,gold,verb\n"
    '"Yes, a man saw a dog.",A man saw a dog.,entailment,saw\nA cat ran.,A dog ran.,neutral,ran\nNA,None,neutral,\n'
)
CASES = (
    "hypothesis,premise,gold,case,pair,verb\n"
    "a met b,a met b,entailment,kept,1,met\nb met a,a met b,neutral,swapped,1,met\n"
    "c saw d,c saw d,entailment,kept,2,saw\nd saw c,c saw d,neutral,swapped,2,saw\n"
)
PAIRS = (
    "clean_first,clean_second,corrupt_first,corrupt_second,gold,corrupt_label,verb\n"
    "a met b,b met a,a met b,a met b,neutral,entailment,met\nc saw d,d saw c,c saw d,c saw d,neutral,entailment,saw\n"
)
FILES = {"train.csv": TRAIN, "dev.tsv": TRAIN.replace('"Yes, a', '"Yes a').replace(",", "\t"), "cases.csv": CASES,
         "pairs.csv": PAIRS, "my_task.toml": TOML}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def change(folder):
    """Replace text in one of the files, which must have it."""

    def change(name: str, before: str, after: str) -> None:
        text = (folder / name).read_text(encoding="utf-8")
        assert before in text
        (folder / name).write_text(text.replace(before, after), encoding="utf-8")

    return change
