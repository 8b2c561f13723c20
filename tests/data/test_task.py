"""A task gives its splits groups and classes, finds its cases by name, and checks its pairs."""

import re
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from hc_interp.data.align import encode_pairs
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.data.labels import resolve_groups
from hc_interp.data.load import load_task
from hc_interp.data.overlap import concatenate, overlap_mix, regroup, word_overlap
from hc_interp.data.task import Task
from hc_interp.errors import AlignmentError, DataError, LabelError

NLI = ("entailment", "neutral", "contradiction")
TWO_WAY, THREE_WAY = ((0,), (1, 2)), ((0,), (1,), (2,))
SWAP = "lexical_overlap_ln_subject/object_swap"
NOUNS = ["doctor", "lawyer", "actor", "judge", "spy"]


def swaps():
    nouns = [(a, b) for a in NOUNS for b in NOUNS if a != b]
    first = [f"the {a} saw the {b} ." for a, b in nouns]
    second = [f"the {b} saw the {a} ." for a, b in nouns]
    return Examples(first, second, [1] * len(nouns), source=[" ".join(sorted(n)) for n in nouns])


class Swapper:
    """Makes order pairs of every case by putting the premise in the hypothesis' place."""

    def __init__(self, cases):
        self.cases = cases

    def kinds(self, case):
        return ("order",)

    def make(self, case, kind):
        clean = self.cases[case]
        corrupt = Examples(clean.first, clean.first, [0] * len(clean), clean.id, clean.source)
        return ContrastPairs(clean, corrupt, clean.label, kind=kind, groups=TWO_WAY)


def task(**fields):
    cases = {SWAP: swaps(), "other": Examples(["a"], ["b"], [0])}
    return Task("t", cases=cases, groups=[[0], [1, 2]], classes=NLI, **{"pairs": Swapper(cases), **fields})


def test_groups_and_classes_are_stamped_where_a_split_has_none():
    train = Examples(["a"], ["b"], [2], groups=THREE_WAY)
    own = Examples(["a"], ["b"], [1], classes=("x", "y"))
    made = task(train=train, validation=own, overlap=swaps())
    assert (made.train.groups, made.train.classes) == (THREE_WAY, NLI)
    assert (made.validation.groups, made.validation.classes) == (None, ("x", "y"))
    assert (made.overlap.groups, made.overlap.classes) == (TWO_WAY, NLI)
    assert made.case(SWAP).groups == TWO_WAY
    assert train.classes is None  # the caller's own object is left as it was


@pytest.mark.parametrize("split", ["train", "validation", "overlap"])
def test_label_outside_the_groups_names_split_row_and_id(split):
    bad = Examples(["a", "b"], label=[0, 2], id=["x", "y"])
    with pytest.raises(LabelError, match=rf"The {split} of task 't' has label 2 in row 1 \(id y\); expected 0 to 1"):
        Task("t", groups=TWO_WAY, **{split: bad})


def test_label_outside_in_a_case_or_the_classes():
    with pytest.raises(LabelError, match="case 'c' of task 't' has label 3 in row 0"):
        Task("t", cases={"c": Examples(["a"], label=[3])}, classes=NLI)
    with pytest.raises(LabelError, match="each class must be in exactly one group"):
        Task("t", groups=TWO_WAY, classes=("a", "b"))


def test_splits_must_be_filled_examples():
    with pytest.raises(DataError, match="train of task 't' has no examples"):
        Task("t", train=Examples([]))
    with pytest.raises(DataError, match=r"is a DataFrame; expected Examples.*from_frames"):
        Task("t", train=pd.DataFrame({"first": ["a"]}))
    with pytest.raises(DataError, match="Task pairs were given as list"):
        Task("t", pairs=[1])
    with pytest.raises(DataError, match=r"expected \(case, kind\): ContrastPairs"):
        Task("t", pairs={"order": 3})


def test_slash_and_dash_are_alike_and_unknown_cases_get_near_ones():
    made = task()
    assert made.case(SWAP.replace("/", "-")) is made.cases[SWAP] is made.case(SWAP)
    with pytest.raises(DataError, match=rf"no case 'lexical_overlap_subject_swap'; did you mean {SWAP}"):
        made.case("lexical_overlap_subject_swap")
    with pytest.raises(DataError, match=r"no case 'zzzz'; it has lexical_overlap.*, other"):
        made.case("zzzz")


def test_made_pairs_are_split_by_source_and_dropped_when_unaligned(model):
    made = task()
    both = [made.contrast_pairs(SWAP.replace("/", "-"), split=split) for split in ("select", "test")]
    assert not set(both[0].sources) & set(both[1].sources)
    assert sum(map(len, both)) == len(made.contrast_pairs(SWAP)) == 20
    assert encode_pairs(model, made.contrast_pairs(SWAP)).dropped == 8  # a spy has three pieces here


def test_kinds_that_do_not_exist():
    made = task()
    assert made.pair_kinds(SWAP) == ("order",)
    with pytest.raises(DataError, match=r"has no 'overlap' pairs; it has 'order'"):
        made.contrast_pairs(SWAP, kind="overlap")
    bare = task(pairs=None)
    assert bare.pair_kinds(SWAP) == ()
    with pytest.raises(DataError, match="none of any kind"):
        bare.contrast_pairs(SWAP)


def test_pairs_of_a_test_are_a_draw_of_each_kind():
    drawn = task().test_pairs(SWAP, 3, seed=1)
    assert list(drawn) == ["order"]
    assert drawn["order"].ids == task().contrast_pairs(SWAP, split="test").sample(3, 1).ids
    assert len(drawn["order"]) == 3
    with pytest.raises(DataError, match=r"no contrast pairs for .*another case"):
        task(pairs=None).test_pairs(SWAP, 3)


def test_no_pairs_in_a_split():
    case = {"c": swaps().rows([0])}
    made = Task("t", cases=case, pairs=Swapper(case))
    with pytest.raises(DataError, match=r"'c' yields no 'order' pairs in the (select|test) split"):
        [made.contrast_pairs("c", split=split) for split in ("select", "test")]


def test_given_pairs_are_stamped_found_by_either_spelling_and_strict(model):
    clean = swaps()
    corrupt = Examples(clean.first, clean.first, [0] * len(clean))
    given = {(SWAP.replace("/", "-"), "mine"): ContrastPairs(clean, corrupt, clean.label)}
    made = task(pairs=given)
    assert made.pair_kinds(SWAP) == ("mine",)
    pairs = made.contrast_pairs(SWAP, kind="mine")
    assert (pairs.groups, pairs.classes, pairs.kind) == (TWO_WAY, NLI, "mine")
    assert pairs.reversed().gold == (0,) * 20
    with pytest.raises(AlignmentError, match="Pair 3 "):
        encode_pairs(model, pairs)
    only = Task("t", pairs=given)
    assert len(only.contrast_pairs(SWAP, kind="mine")) == 20
    with pytest.raises(DataError, match="only contrast pairs"):
        only.case(SWAP)


def labelled(*labels, **fields):
    return Examples([f"text {i}" for i in range(len(labels))], label=labels, **fields)


def test_fewer_labels_than_classes_are_counted_over_the_whole_task():
    two = Task("t", train=labelled(0, 1), validation=labelled(0, 1), cases={"c": labelled(1)})
    for part in (two.train, two.validation.sample(1), two.case("c")):
        with pytest.raises(LabelError, match="labels go from 0 to 1, but the model has 3 classes"):
            resolve_groups(NLI, part)
        assert resolve_groups(("no", "yes"), part) == ((0,), (1,))
    three = Task("t", train=labelled(0, 1, 2), cases={"c": labelled(1)})
    assert resolve_groups(NLI, three.case("c")) == ((0,), (1,), (2,))
    mixed = Task("t", train=labelled(0, 2, groups=[[0], [1], [2]]), validation=labelled(0, 1))
    assert resolve_groups(NLI, mixed.train) == ((0,), (1,), (2,))
    with pytest.raises(LabelError, match="Pass Task"):
        resolve_groups(NLI, mixed.validation)
    assert resolve_groups(NLI, labelled(0, 1)) == ((0,), (1,), (2,))  # outside a task, a split speaks for itself alone


def test_saying_what_labels_mean_mends_it():
    two = Task("t", train=labelled(0, 1), validation=labelled(1))
    assert resolve_groups(NLI, replace(two, groups=[[0], [1, 2]]).validation) == ((0,), (1, 2))
    assert resolve_groups(NLI, replace(two, classes=["entailment", "not_entailment"]).train) == ((0,), (1, 2))
    assert resolve_groups(NLI, replace(two, overlap=labelled(2)).train) == ((0,), (1,), (2,))
    assert resolve_groups(NLI, Task("t", train=two.train, groups=[[0, 1], [2]]).train) == ((0, 1), (2,))


@pytest.mark.parametrize("made", [False, True])
def test_pairs_of_a_task_with_fewer_labels(made):
    pairs = ContrastPairs(labelled(0, 0), labelled(1, 1), [0, 0], kind="order")
    maker = SimpleNamespace(kinds=lambda case: ("order",), make=lambda case, kind: pairs)
    made_task = Task("t", cases={"c": labelled(0, 1)}, pairs=maker if made else {("c", "order"): pairs})
    with pytest.raises(LabelError, match="but the model has 3 classes"):
        resolve_groups(NLI, made_task.contrast_pairs("c"))
    grouped = replace(made_task, groups=[[0], [1, 2]]).contrast_pairs("c")
    assert resolve_groups(NLI, grouped) == ((0,), (1, 2))
    assert resolve_groups(NLI, grouped.reversed()) == ((0,), (1, 2))


COLUMNS = {"first": "premise", "second": "hypothesis", "label": "gold", "source": "template"}


def frame(**changes):
    columns = {"premise": ["a b", "c"], "hypothesis": ["b", "d"], "gold": ["yes", "no"], "template": [7, 8]}
    return pd.DataFrame({**columns, **changes})


def test_from_frames():
    made = Task.from_frames(
        "mine", train=frame(), validation=frame(), cases={"c": frame()}, columns=COLUMNS, label_map={"yes": 0, "no": 1},
        groups=[[0], [1, 2]], classes=NLI,
    )  # fmt: skip
    assert made.train.label == (0, 1)
    assert made.train.source == ("7", "8")
    assert made.case("c").second == ("b", "d")
    assert made.groups == TWO_WAY
    renamed = frame(gold=[1, 0]).rename(columns={"gold": "label"})
    partly = Task.from_frames("mine", train=renamed, columns={"first": "premise", "second": "hypothesis"})
    assert partly.train.label == (1, 0)
    assert partly.train.source == ("a b", "c")
    swapped = pd.DataFrame({"first": ["a"], "second": ["b"]})
    assert Task.from_frames("mine", train=swapped, columns={"first": "second"}).train.second is None
    plain = Task.from_frames("mine", train=pd.DataFrame({"first": ["a"], "label": [1]}))
    assert (plain.train.second, plain.train.label, plain.train.id) == (None, (1,), ("0",))


@pytest.mark.parametrize(
    ("changes", "label_map", "message"),
    [
        ({"premise": ["a", None]}, {"yes": 0, "no": 1}, r"train has no text in column 'premise', row 1"),
        ({"hypothesis": ["a", float("nan")]}, {"yes": 0, "no": 1}, r"no text in column 'hypothesis', row 1"),
        ({"premise": ["a", 3]}, {"yes": 0, "no": 1}, r"holds 3 \(int\) in column 'premise', row 1; expected text"),
        ({}, {"yes": 0}, r"label 'no' in column 'gold', row 1, which label_map does not know"),
        ({}, None, r"labels of type .* in column 'gold' \(row 0: 'yes'\); expected integers.*label_map"),
        ({"gold": [0.0, float("nan")]}, None, r"labels of type float64 in column 'gold'"),
        ({"gold": pd.array([0, None], dtype="Int64")}, None, r"labels of type Int64 .*row 1: <NA>"),
        ({"gold": [True, False]}, None, r"labels of type bool"),
        ({"gold": [0, 4]}, None, r"label 4 in row 1"),
    ],
)
def test_faulty_frames(changes, label_map, message):
    with pytest.raises((DataError, LabelError), match=message):
        Task.from_frames("mine", train=frame(**changes), columns=COLUMNS, label_map=label_map, groups=TWO_WAY)


def test_missing_columns_and_rows():
    with pytest.raises(DataError, match="validation has no column 'label'; it has 'premise'"):
        Task.from_frames("mine", validation=frame(), columns={"first": "premise", "label": "label"})
    with pytest.raises(DataError, match=r"columns names \['premis'\]"):
        Task.from_frames("mine", train=frame(), columns={"premis": "premise"})
    with pytest.raises(DataError, match="label_map was given, but train has no column 'label'; it has 'premise'"):
        Task.from_frames("mine", train=frame(), columns={"first": "premise"}, label_map={"yes": 0, "no": 1})
    with pytest.raises(DataError, match="train has no text"):
        Task.from_frames("mine", train=frame())
    with pytest.raises(DataError, match="case 'c' has no rows"):
        Task.from_frames("mine", cases={"c": frame().iloc[:0]}, columns=COLUMNS)


def test_overlap_split_is_balanced_in_every_stratum():
    texts = ["red old", "red"] * 20
    in_domain = Examples(["red old near"] * 40, [t if i < 20 else "not of" for i, t in enumerate(texts)], [0, 1] * 20)
    challenge = Examples(["doctor saw"] * 30, ["saw doctor"] * 30, [0, 1, 1] * 10, id=[f"h{i}" for i in range(30)])
    mixed = overlap_mix(in_domain, challenge, per_cell=8, seed=3)
    rows = list(zip(mixed.id, mixed.label, map(word_overlap, mixed.first, mixed.second), strict=True))
    cells = [(i.startswith("h"), label, value) for i, label, value in rows]
    assert {cell: cells.count(cell) for cell in cells} == {
        (False, 0, 0.0): 8,
        (False, 1, 0.0): 8,
        (False, 0, 1.0): 8,
        (False, 1, 1.0): 8,
        (True, 0, 1.0): 8,
        (True, 1, 1.0): 8,
    }
    assert mixed.id == overlap_mix(in_domain, challenge, per_cell=8, seed=3).id
    with pytest.raises(DataError, match="no balanced split"):
        overlap_mix(in_domain, challenge.rows([0]))
    with pytest.raises(DataError, match="different groups"):
        overlap_mix(in_domain, Examples(["a"], ["b"], [0], groups=TWO_WAY))


def test_word_overlap_regroup_and_concatenate():
    assert word_overlap("The doctor, saw it.", "the Doctor slept") == pytest.approx(2 / 3)
    assert word_overlap("a", "...") == 0
    three = Examples(["a"] * 3, label=[0, 1, 2], groups=THREE_WAY, classes=NLI)
    assert regroup(three, TWO_WAY).label == (0, 1, 1)
    with pytest.raises(DataError, match="coarser groups"):
        regroup(regroup(three, TWO_WAY), THREE_WAY)
    with pytest.raises(DataError, match="cannot be joined"):
        concatenate([three, regroup(three, TWO_WAY)])


def label_frame(labels, **columns):
    texts = [f"text {i}" for i in range(len(labels))]
    return pd.DataFrame({"first": texts, "label": labels, **columns})


@pytest.mark.parametrize(
    ("classes", "groups", "labels", "numbers"),
    [
        (NLI, None, ["contradiction", "Entailment", "NEUTRAL "], (2, 0, 1)),
        (("contradiction", "neutral", "entailment"), None, ["contradiction", "entailment"], (0, 2)),
        (NLI, TWO_WAY, ["non-entailment", "entailment", "neutral"], (1, 0, 1)),
        (NLI, ((1, 2), (0,)), ["not_entailment", "entailment", "contradiction"], (0, 1, 0)),
        (("duplicate", "not_duplicate"), None, ["Not Duplicate", "duplicate"], (1, 0)),
        (("red", "blue"), None, ["blue", "red", "Blue"], (1, 0, 1)),
        (NLI, None, ["no", "yes", "maybe"], (2, 0, 1)),
        (NLI, TWO_WAY, ["no", "yes"], (1, 0)),
    ],
)
def test_from_frames_maps_names_to_classes(classes, groups, labels, numbers):
    frame = label_frame(labels)
    made = Task.from_frames("t", frame, frame, {"c": frame}, classes=classes, groups=groups, overlap=frame)
    assert made.train.label == made.validation.label == made.overlap.label == made.case("c").label == numbers
    assert made.train.groups == groups


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("columns", [None, {"first": "a"}])
def test_a_table_that_was_read_with_the_wrong_separator_is_named(separator, columns, tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text(f"a{separator}b\nx{separator}1\n")
    with pytest.raises(DataError, match=re.escape(f"separated by {separator!r}: pass a frame, pd.read_csv(path, sep=")):
        Task.from_frames("t", path, columns=columns)
    with pytest.raises(DataError, match=r"no column 'b'; it has 'a'\. Rename the columns"):
        Task.from_frames("t", pd.DataFrame({"a": ["x"]}), columns={"first": "a", "label": "b"})


def test_from_frames_takes_units_from_columns():
    cells = {"verb": ["saw", None, 3], "nouns": [["a", "b"], [], ["b"]]}
    table = pd.DataFrame({"first": ["x", "y", "z"], "label": [0, 1, 0], **cells})
    both = Task.from_frames("t", cases={"c": table}, columns={"units": ["verb", "nouns"]}).case("c").units
    assert both == {"verb": (("saw",), (), ("3",)), "nouns": (("a", "b"), (), ("b",))}
    assert Task.from_frames("t", table, columns={"units": "verb"}).train.units == {"verb": both["verb"]}
    assert Task.from_frames("t", table).train.units is None
    with pytest.raises(DataError, match=r"train has no column 'noun'; it has 'first'"):
        Task.from_frames("t", table, columns={"units": ["verb", "noun"]})
    with pytest.raises(DataError, match=r"columns names \['a', 'b'\] for 'label'\. Expected the name of one column"):
        Task.from_frames("t", table, columns={"label": ["a", "b"]})


def test_from_frames_names_what_it_does_not_know():
    with pytest.raises(
        LabelError, match=r"case 'c', column 'label', has labels named 'maybe not', which are not known"
    ):
        Task.from_frames("t", cases={"c": label_frame(["entailment", "maybe not"])}, classes=NLI)
    with pytest.raises(LabelError, match="labels named 'not entailment'"):  # of three classes it could be two
        Task.from_frames("t", label_frame(["entailment", "not entailment"]), classes=NLI)
    with pytest.raises(LabelError, match="labels named 'no', which"):  # without "maybe" it could be both others
        Task.from_frames("t", label_frame(["no", "yes"]), classes=NLI)
    with pytest.raises(DataError, match=r"row 0: '1'\); expected integers"):
        Task.from_frames("t", label_frame(["1", "0"]), classes=NLI)


def test_a_label_map_does_not_contradict_the_classes():
    frame, turned = label_frame(["entailment", "other"]), {"Entailment": 1, "entailment": 1, "other": 0}
    with pytest.raises(LabelError, match=r"label_map makes 'Entailment' the label 1, but by classes=.* it is label 0"):
        Task.from_frames("t", frame, label_map=turned, groups=TWO_WAY, classes=NLI)
    made = Task.from_frames("t", frame, label_map=turned, groups=((1, 2), (0,)), classes=NLI)
    assert made.train.label == (1, 0)
    assert Task.from_frames("t", frame, label_map=turned).train.label == (1, 0)


@pytest.mark.parametrize("case", [SWAP, SWAP.replace("/", "-"), "ln_preposition", "sn_NP/S", "constituent_cn_adverb"])
@pytest.mark.parametrize("groups", [TWO_WAY, ((1, 2), (0,)), THREE_WAY])
def test_a_case_of_hans_is_not_entailed(case, groups):
    entailed = groups.index((0,))
    labels = [1 - entailed, entailed, 1 - entailed]
    for given in ({"cases": {case: label_frame(labels)}}, {"overlap": label_frame(labels, subcase=case)}):
        with pytest.raises(LabelError, match=r"1 of 3 labels that contradict .* in row 1.* Some labels are wrong"):
            Task.from_frames("t", groups=groups, classes=NLI, **given)
    examples = Examples(["a"] * 3, label=labels, id=["x0", "x1", "x2"])
    with pytest.raises(LabelError, match=r"\(id x1\): label .* are all non-entailment"):
        Task("t", cases={case: examples}, groups=groups, classes=NLI)
    right = label_frame([1 - entailed] * 3)
    assert len(Task.from_frames("t", cases={case: right}, groups=groups, classes=NLI).case(case)) == 3


def test_a_case_of_hans_is_entailed():
    frame = label_frame([1, 1], subcase=["le_passive", "se_understood_object"])
    with pytest.raises(LabelError, match=r"validation has 2 of 2 labels .* row 0: .* all entailment .* exchanged"):
        Task.from_frames("t", validation=frame, groups=TWO_WAY, classes=NLI)
    assert Task.from_frames("t", validation=frame, groups=((1, 2), (0,)), classes=NLI).validation.label == (1, 1)


@pytest.mark.parametrize("case", ["se_mine", "le_monde", "article_ln_x", "ln", "", "x"])
def test_other_ids_say_nothing(case):
    frame = label_frame([0, 1], subcase=case)
    made = Task.from_frames("t", frame, cases={case: frame}, groups=TWO_WAY, classes=NLI)
    assert made.case(case).label == (0, 1)


def test_classes_without_entailment_say_nothing():
    frame = label_frame([0, 1])
    for classes, groups in ((None, None), (("red", "blue"), None), (NLI, ((0, 1), (2,)))):
        assert Task.from_frames("t", cases={SWAP: frame}, groups=groups, classes=classes).case(SWAP).label == (0, 1)


def test_heuristics_of_hans_are_known_and_others_are_told() -> None:
    task = load_task("overlap-grammar", max_per_case=4)
    right, wrong = task.heuristics["subsequence"]
    assert all("_se_" in case for case in right)
    assert all("_sn_" in case for case in wrong)
    assert task.heuristic_label == 0
    rows = Examples(["a"], ["b"], [1], classes=["no", "yes"])
    assert Task("own", cases={"same": rows}).heuristics == {}
    own = Task("own", cases={"same/one": rows}, heuristic={"same-one": True}, heuristic_label=1)
    assert own.heuristics == {"heuristic": (("same/one",), ())}
    with pytest.raises(DataError, match="names 'other', which is no case"):
        Task("own", cases={"same": rows}, heuristic={"other": True}, heuristic_label=1)
    with pytest.raises(DataError, match="without heuristic_label"):
        Task("own", cases={"same": rows}, heuristic={"same": True})


def test_fewer_cases_keep_their_heuristics() -> None:
    task = load_task("overlap-grammar", max_per_case=4)
    case = "subsequence_sn_NP/S"
    assert replace(task, cases={case: task.case(case)}).heuristics == {"subsequence": ((), (case,))}


def test_a_notebook_shows_splits_and_cases() -> None:
    part = swaps()
    task = Task("<mine>", train=part, cases={"kept": part, SWAP: part}, classes=NLI, groups=TWO_WAY)
    html = task._repr_html_()
    assert "Task(&#x27;&lt;mine&gt;&#x27;, train 20, 2 cases)" in html
    assert "<td>train</td><td>20</td><td>10</td><td></td>" in html
    assert "<td>kept</td><td>20</td><td>10</td><td></td>" in html
    assert f"<td>{SWAP}</td><td>20</td><td>10</td><td>wrong</td>" in html


def test_heuristics_have_the_names_that_are_given():
    cases = {name: Examples(["a"], ["b"], [0]) for name in ("x/1", "x2", "y1")}
    right = {"x/1": True, "x2": False, "y1": False}
    given = {"cases": cases, "heuristic": right, "heuristic_label": 0}
    assert Task("t", **given).heuristics == {"heuristic": (("x/1",), ("x2", "y1"))}
    named = Task("t", **given, heuristic_names={"x-1": "length", "x2": "length", "y1": "negation"})
    assert named.heuristics == {"length": (("x/1",), ("x2",)), "negation": ((), ("y1",))}
    assert named.heuristic_of("y1") == "negation"
    with pytest.raises(DataError, match=r"heuristic_names= of task 't' names 'y2', of which heuristic= says nothing"):
        Task("t", **given, heuristic_names={"y2": "length"})


@pytest.mark.parametrize(
    ("more", "label", "number"),
    [
        ({"classes": ["F", "W"]}, "W", 1),
        ({"classes": ["F", "W"]}, 0, 0),
        ({"classes": NLI, "groups": TWO_WAY}, "entailment", 0),
        ({"classes": NLI, "groups": TWO_WAY}, 1, 1),
        ({}, 1, 1),
    ],
)
def test_the_label_of_the_heuristic_is_a_number_or_the_name_of_a_class(more, label, number) -> None:
    rows = Examples(["a", "b"], ["c", "d"], [1, 0])
    task = Task("own", cases={"kept": rows}, heuristic={"kept": True}, heuristic_label=label, **more)
    assert task.heuristic_label == number
    assert replace(task).heuristic_label == number


@pytest.mark.parametrize(
    ("more", "label", "known"),
    [
        ({"classes": ["F", "W"]}, "X", r"0 \(F\), 1 \(W\)"),
        ({"classes": ["F", "W"]}, 2, r"0 \(F\), 1 \(W\)"),
        ({"classes": ["F", "W"]}, -1, r"0 \(F\), 1 \(W\)"),
        ({"classes": ["F", "W"]}, True, r"0 \(F\), 1 \(W\)"),
        ({"classes": NLI, "groups": TWO_WAY}, "neutral", r"0 \(entailment\), 1"),  # it is half of a label
        ({}, 7, "0, 1"),
        ({}, "W", "0, 1"),
    ],
)
def test_a_label_of_the_heuristic_that_is_none_is_refused(more, label, known) -> None:
    rows = Examples(["a", "b"], ["c", "d"], [1, 0])
    with pytest.raises(LabelError, match=rf"heuristic_label={label!r} .*one of its labels: {known}\."):
        Task("own", cases={"kept": rows}, heuristic={"kept": True}, heuristic_label=label, **more)


def test_kinds_of_own_names_stand_for_those_that_premises_ask_about() -> None:
    part = swaps()
    pairs = {("kept", kind): ContrastPairs(part, part, part.label) for kind in ("negated", "cut", "other")}
    task = Task("own", cases={"kept": part}, pairs=pairs, stands_for={"negated": "order", "cut": "overlap"})
    assert [task.kind_for("kept", role) for role in ("order", "overlap", "other", "none")] == [
        "negated", "cut", "other", None,
    ]  # fmt: skip
    named = replace(task, pairs=pairs | {("kept", "order"): ContrastPairs(part, part, part.label)})
    assert named.kind_for("kept", "order") == "order"
    with pytest.raises(DataError, match=r"kinds 'negated', 'other'.*stands for 'order'.*leave out the others"):
        replace(task, stands_for={"negated": "order", "other": "order"}).kind_for("kept", "order")
    for wrong in ({"negated": "words"}, {"order": "overlap"}):
        with pytest.raises(DataError, match="your own name of a kind of pairs, and 'order' or 'overlap'"):
            replace(task, stands_for=wrong)
