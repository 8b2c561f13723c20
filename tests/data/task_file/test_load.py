"""A task in files is the task built in Python; what is wrong in a file is refused by name, with the mend."""

from pathlib import Path

import pandas as pd
import pytest

import hc_interp as hc
from hc_interp.data.task_file.load import content_of
from hc_interp.errors import DataError, LabelError

NLI = ("entailment", "neutral", "contradiction")
FIELDS = ("first", "second", "label", "id", "source", "groups", "classes", "units", "answer", "foil")


def same(one, other) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in FIELDS)


def built() -> hc.Task:
    """The task of the fixture, written out in Python."""
    first, second, label = (
        ["Yes, a man saw a dog.", "A cat ran.", "NA"], ["A man saw a dog.", "A dog ran.", "None"], [0, 1, 1]
    )  # fmt: skip
    units = {"verb": [["saw"], ["ran"], []]}
    met = {"verb": [["met"], ["saw"]]}
    sentences, swapped = ["a met b", "c saw d"], ["b met a", "d saw c"]
    cases = {
        "kept": hc.Examples(sentences, sentences, [0, 0], units=met),
        "swapped": hc.Examples(sentences, swapped, [1, 1], units=met),
    }
    clean, corrupt = (hc.Examples(sentences, texts, [n, n], classes=NLI, units=met)
                      for texts, n in ((swapped, 1), (sentences, 0)))  # fmt: skip
    return hc.Task(
        "mine", hc.Examples(first, second, label, units=units),
        hc.Examples([first[0].replace(",", ""), *first[1:]], second, label, units=units), cases,
        pairs={("swapped", "order"): hc.ContrastPairs(clean, corrupt, [1, 1], kind="order")},
        classes=NLI, heuristic={"kept": True, "swapped": False}, heuristic_label=0,
        heuristic_names={"kept": "word_overlap", "swapped": "word_overlap"},
    )  # fmt: skip


def test_the_task_is_the_one_built_in_python(folder) -> None:
    read, expected = hc.load_task(folder / "my_task.toml"), built()
    assert read.name == "mine"
    for name in ("train", "validation"):
        assert same(getattr(read, name), getattr(expected, name))
    assert list(read.cases) == ["kept", "swapped"]
    assert all(same(read.cases[case], expected.cases[case]) for case in expected.cases)
    for field in ("groups", "classes", "heuristic", "heuristic_label", "heuristics", "overlap"):
        assert getattr(read, field) == getattr(expected, field)
    assert read.heuristics == {"word_overlap": (("kept",), ("swapped",))}
    assert read.heuristic_of("kept") == "word_overlap"
    ours, theirs = (task.pairs["swapped", "order"] for task in (read, expected))
    assert all(same(a, b) for a, b in zip(ours.sides, theirs.sides, strict=True))
    for field in ("gold", "ids", "kind", "units", "splits", "classes", "groups"):
        assert getattr(ours, field) == getattr(theirs, field)
    assert ours.fingerprint() == theirs.fingerprint()
    assert ours.reversed().gold == (0, 0)


def test_a_path_as_text_a_template_and_a_draw(folder) -> None:
    task = hc.load_task(str(folder / "my_task.toml"), template="{first} So: {second}", max_per_case=1)
    assert task.case("kept").first[0] in ("a met b So: a met b", "c saw d So: c saw d")
    assert len(task.case("swapped")) == 1
    assert task.train.first[1] == "A cat ran. So: A dog ran."
    with pytest.raises(DataError, match=r"data_dir='x' was given for .*my_task.toml.*Leave it out"):
        hc.load_task(folder / "my_task.toml", data_dir="x")
    with pytest.raises(DataError, match=r"The task 'nowhere.toml' is no file\. Expected a TOML file"):
        hc.load_task("nowhere.toml")
    with pytest.raises(DataError, match=r"There is no task 'mnli'.*my_task\.toml"):
        hc.load_task("mnli")


def test_every_form_of_a_table_gives_the_same(folder, change) -> None:
    expected = hc.load_task(folder / "my_task.toml")
    frame = pd.read_csv(folder / "train.csv", keep_default_na=False, na_values=[""])
    frame.to_parquet(folder / "train.parquet")
    cases = pd.read_csv(folder / "cases.csv")
    cases[cases.case == "kept"].assign(gold=0).to_json(folder / "kept.jsonl", orient="records", lines=True)
    (folder / "cases.csv").write_text("\ufeff" + cases.to_csv(sep=";", index=False), encoding="utf-8")  # as Excel does
    change("my_task.toml", '"train.csv"', '"train.parquet"')
    swapped = 'swapped = { file = "cases.csv", case = "swapped", separator = ";" }'
    change("my_task.toml", 'cases = "cases.csv"', f'cases.kept = "kept.jsonl"\ncases.{swapped}')
    read = hc.load_task(folder / "my_task.toml")
    assert same(read.train, expected.train)
    assert all(same(read.cases[case], expected.cases[case]) for case in expected.cases)


def test_labels_are_names_in_any_spelling_numbers_or_groups(folder, change) -> None:
    expected = hc.load_task(folder / "my_task.toml")
    change("train.csv", "entailment", "0")
    change("train.csv", "neutral", "1")
    change("dev.tsv", "entailment", "ENTAILS")
    read = hc.load_task(folder / "my_task.toml")
    assert read.train.label == expected.train.label == read.validation.label
    change("my_task.toml", "train =", 'groups = [["entailment"], ["neutral", "contradiction"]]\ntrain =')
    change("cases.csv", "neutral", "non-entailment")
    change("my_task.toml", 'heuristic_label = "entailment"', "heuristic-label = 1")
    task = hc.load_task(folder / "my_task.toml")
    assert task.groups == ((0,), (1, 2))
    assert task.case("swapped").label == (1, 1)
    assert task.heuristic_label == 1


def test_names_of_classes_that_mean_nothing_to_anyone(folder, change) -> None:
    change("my_task.toml", '["entailment", "neutral", "contradiction"]', '["1", "0"]')
    change("my_task.toml", 'heuristic_label = "entailment"', 'heuristic_label = "0"')
    for name in ("train.csv", "dev.tsv", "cases.csv", "pairs.csv"):
        change(name, "entailment", "0")
        change(name, "neutral", "1")
    task = hc.load_task(folder / "my_task.toml")
    assert (task.train.label, task.heuristic_label) == ((1, 0, 0), 1)  # by name, not by number


def test_a_kind_of_its_own_name_stands_for_one_that_premises_ask_about(folder, change) -> None:
    change("my_task.toml", 'kind = "order"', 'kind = "swap"\nstands-for = "order"')
    task = hc.load_task(folder / "my_task.toml")
    assert task.kind_for("swapped", "order") == "swap"
    with (folder / "my_task.toml").open("a") as file:
        file.write('\n[[pairs]]\ncase = "kept"\nkind = "swap"\nfile = "pairs.csv"\n')
    with pytest.raises(DataError, match="say different stands_for of the kind 'swap'"):
        hc.load_task(folder / "my_task.toml")


def test_prompts_with_answers(folder) -> None:
    (folder / "p.csv").write_text(
        "clean_first,corrupt_first,clean_answer,clean_foil,corrupt_answer,corrupt_foil\n"
        "A gave,B gave, Mary, John, John, Mary\n"
    )
    (folder / "t.csv").write_text("text,answer,foil\nA gave, Mary, John\n")
    (folder / "lm.toml").write_text(
        'train = { file = "t.csv", columns = { first = "text" } }\n[[pairs]]\ncase = "c"\nkind = "names"\n'
        'file = "p.csv"\n'
    )
    task = hc.load_task(folder / "lm.toml")
    assert task.name == "lm"
    assert task.train.answer == ((" Mary",),)
    pairs = task.contrast_pairs("c", "names")
    assert pairs.gold is None
    assert pairs.reversed().clean.answer == ((" John",),)


BAD = [
    # the TOML file: (file, before, after, message)
    ("my_task.toml", "name =", "name = =", r"my_task\.toml is not TOML .*Expected lines like"),
    ("my_task.toml", "train =", "trian =", r"my_task\.toml: 'trian' is no key; did you mean 'train'\?"),
    ("my_task.toml", 'name = "mine"', "name = 3", r"name is 3\. Expected text"),
    ("my_task.toml", '"train.csv"', "3", "train is 3. Expected a table"),
    ("my_task.toml", '"train.csv"', '{ separator = ";" }', "train names no file"),
    ("my_task.toml", '"train.csv"', '{ file = "train.csv", sep = ";" }', "'sep' is no key of train; expected one of"),
    ("my_task.toml", '"train.csv"', '"trane.csv"',
     r"train is 'trane.csv', but there is no file .*did you mean 'train.csv'"),
    ("my_task.toml", '"train.csv"', '"my_task.toml"', r"train is 'my_task.toml'\. Expected a file that ends in .csv"),
    ("my_task.toml", '"train.csv"', '{ file = "train.csv", separator = ";;" }', "separator of train .*one character"),
    ("my_task.toml", '"train.csv"', '{ file = "train.csv", encoding = "ascii16" }', "is not ascii16 text.*encoding ="),
    ("my_task.toml", 'cases = "cases.csv"', "cases = 3", "cases is 3"),
    ("my_task.toml", '"neutral", "contr', '"neutral", "neutral", "contr', "classes names 'neutral' twice"),
    ("my_task.toml", "classes = [", "classes = [3, ", "classes is .*Expected a list of texts"),
    ("my_task.toml", "train =", 'groups = [["entailment"], ["neural"]]\ntrain =', "groups names 'neural'.*'neutral'"),
    ("my_task.toml", "train =", 'groups = [["entailment"], ["neutral"]]\ntrain =',
     "groups names 'contradiction' 0 times"),
    ("my_task.toml", '"entailment"\ntrain', '"entailed by"\ntrain', "heuristic_label='entailed by' .*entailment"),
    ("my_task.toml", '"entailment"\ntrain', "7\ntrain",
     "heuristic_label=7 was given for task 'mine'.*one of its labels"),
    ("my_task.toml", '"entailment"\ntrain', "true\ntrain", "heuristic_label is True"),
    ("my_task.toml", 'heuristic_label = "entailment"', "", "heuristic_label is missing"),
    ("my_task.toml", '[heuristics.word_overlap]\nright = ["kept"]\nwrong = ["swapped"]', "", "stands without"),
    ("my_task.toml", '["kept"]', '["kpet"]', r"\[heuristics.word_overlap\] names the case 'kpet'.*did you mean 'kept'"),
    ("my_task.toml", '["kept"]', '["kept", "swapped"]', "heuristics name case 'swapped' twice"),
    ("my_task.toml", "wrong =", "false =",
     r"'false' is no key of \[heuristics.word_overlap\]; expected one of 'right'"),
    ("my_task.toml", "[heuristics.word_overlap]", "[heuristics]", r"Expected \[heuristics.NAME\]"),
    ("my_task.toml", 'case = "swapped"', 'case = "swaped"',
     r"\[\[pairs\]\] names the case 'swaped'.*did you mean 'swapped'"),
    ("my_task.toml", 'kind = "order"', "", r"\[\[pairs\]\] number 1 lacks 'kind'"),
    ("my_task.toml", 'kind = "order"', 'kind = "swap"\nstands_for = "words"',
     "stands_for of .* is 'words'.*'order' or"),
    ("my_task.toml", 'kind = "order"', 'kind = "order"\nstands_for = "overlap"',
     "and kind is 'order'.*name of your own"),
    ("my_task.toml", "[[pairs]]", "[pairs]", r"Write \[\[pairs\]\]"),
    ("my_task.toml", 'file = "pairs.csv"', "", "names no file. Expected file = "),
    ("my_task.toml", 'file = "pairs.csv"', 'clean = "pairs.csv"', "names clean. Expected file = "),
    ("my_task.toml", "[[pairs]]", '[[pairs]]\ncase = "swapped"\nkind = "order"\nfile = "pairs.csv"\n[[pairs]]',
     "twice"),
    ("my_task.toml", "[columns]", '[columns]\nfrist = "premise"',
     r"'frist' is no key of \[columns\]; did you mean 'first'"),
    ("my_task.toml", '["verb"]', '["vreb"]',
     r"\[columns\] says units = 'vreb', which no table has; did you mean 'verb'"),
    ("my_task.toml", "[columns]", '[columns]\nid = "number"', r"\[columns\] says id = 'number', which no table has"),
    ("my_task.toml", 'first = "premise"', 'first = "premiss"',
     r"train.csv has no column 'premiss' \(first\); did you mean 'premise'"),
    ("my_task.toml", '"train.csv"', '{ file = "train.csv", columns = { units = ["a"] } }', r"no column 'a' \(units\)"),
    ("my_task.toml", '"train.csv"', '{ file = "train.csv", case = "x" }', r"train.csv has no column 'case' \(case\)"),
    ("my_task.toml", '"cases.csv"', '{ file = "cases.csv", columns = { case = "fall" } }',
     r"no column 'fall' \(case\)"),
    # tables
    ("train.csv", TRAIN_HEADER := "premise,hypothesis,gold,verb", "premise;hypothesis;gold;verb",
     r"train.csv has .*seems to be separated by ';'.* Write separator = \";\"\."),
    ("train.csv", TRAIN_HEADER, "premise,text,gold,verb", r"train.csv has no column 'hypothesis' \(second\)"),
    ("train.csv", TRAIN_HEADER, "premise,hypothesis,label,verb", r"train.csv has no column 'gold' \(label\)"),
    ("train.csv", TRAIN_HEADER, "premise,gold,verb", "rows with more entries than its header"),
    ("train.csv", "A cat ran.,", ",",
     r"train.csv has nothing in column 'premise', row 1 \(rows count from 0\)\. Fill it"),
    ("train.csv", "A dog ran.,neutral", "A dog ran.,", "has nothing in column 'gold', row 1"),
    ("train.csv", "A dog ran.,neutral", "A dog ran.,neutrall",
     r"label 'neutrall' in column 'gold', row 1 .*did you mean 'neutral'"),
    ("dev.tsv", "A dog ran.\tneutral", "A dog ran.\tcat",
     r"dev.tsv has label 'cat'.*expected one of 'entailment', 'neutral'"),
    ("cases.csv", "kept,2", ",2", "cases.csv has nothing in column 'case', row 2"),
    ("pairs.csv", "a met b,b met a,a met b,a met b", "a met b,b met a,,a met b",
     "nothing in column 'corrupt_first', row 0"),
    ("pairs.csv", "clean_first", "clean", r"pairs.csv has no column 'clean_first' \(clean_first\)"),
    ("pairs.csv", ",gold,", ",gelb,", "says nothing of what is right on the clean sides"),
    ("pairs.csv", "d saw c,c saw d,c saw d,neutral", "d saw c,c saw d,c saw d,neural",
     r"label 'neural' in column 'gold', row 1"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "message"), BAD)
def test_what_is_wrong_is_named_with_its_mend(name, before, after, message, folder, change) -> None:
    change(name, before, after)
    with pytest.raises((DataError, LabelError), match=message):
        hc.load_task(folder / "my_task.toml")


def test_more_that_is_wrong(folder, change) -> None:
    change("train.csv", "entailment", "0")
    change("train.csv", "neutral", "5")
    with pytest.raises(LabelError, match=r"train.csv has label 5 in column 'gold', row 1 .*Expected 0 to 2"):
        hc.load_task(folder / "my_task.toml")
    (folder / "train.csv").write_text("premise,hypothesis,gold\n")
    with pytest.raises(DataError, match=r"train.csv has no rows below its header"):
        hc.load_task(folder / "my_task.toml")
    (folder / "train.csv").write_bytes("premise,hypothesis,gold\nKöche,Köche,neutral\n".encode("latin-1"))
    with pytest.raises(DataError, match=r'train.csv is not utf-8 text.*encoding = "latin-1"'):
        hc.load_task(folder / "my_task.toml")
    change("my_task.toml", '"train.csv"', '{ file = "train.csv", encoding = "latin-1" }')
    assert hc.load_task(folder / "my_task.toml").train.first == ("Köche",)
    (folder / "empty.toml").write_text('name = "x"')
    with pytest.raises(DataError, match=r"no table is named.*train = \"train.csv\""):
        hc.load_task(folder / "empty.toml")
    (folder / "bare.toml").write_text('train = { file = "cases.csv", columns = { first = "premise", label = "gold" } }')
    with pytest.raises(LabelError, match=r"Name the classes in bare.toml.*\['entailment', 'neutral'\]"):
        hc.load_task(folder / "bare.toml")


def test_the_content_changes_with_each_file(folder) -> None:
    names = {"my_task.toml", "train.csv", "dev.tsv", "cases.csv", "pairs.csv"}
    before = content_of(folder / "my_task.toml")
    assert set(before) == names
    for name in names:
        with Path(folder / name).open("a") as file:
            file.write("\n")
        after = content_of(folder / "my_task.toml")
        assert {key for key in names if before[key] != after[key]} == {name}
        before = after
