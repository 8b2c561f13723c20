"""What a run cannot finish it does not begin: refused before its folder exists."""

from dataclasses import replace

import pytest
from built_reading import CLASSES, GROUPS, built_model, examples, pairs

import hc_interp as hc
from hc_interp.data.overlap import concatenate
from hc_interp.data.task import Task
from hc_interp.errors import HCError
from hc_interp.experiment.preflight import check_task, kinds_of
from hc_interp.heads.by_contrast import select_pairs

SMALL = {
    "case": "mine", "seeds": 2, "search_steps": 3, "exchanges": 0, "eval_per_case": 20, "permutations": 5,
    "train_examples": 40, "mean_examples": 20, "test_pairs": 16, "select_pairs": 16,
}  # fmt: skip


def signs(words: str, n: int, prefix: str):
    parts = [examples(n, word, label, seed=label, prefix=f"{prefix}{word}") for label, word in enumerate(words)]
    return concatenate(parts)


def task(**changes) -> Task:
    own = {
        "train": signs("pn", 20, "train"),
        "validation": signs("bo", 30, "inside"),
        "cases": {"mine": signs("am", 30, "outside")},
        "pairs": {("mine", "order"): pairs(60, split=None)},
    }
    return Task("own", **{**own, **changes}, groups=GROUPS, classes=CLASSES)


TOO_LONG = replace(examples(2), first=("w1 " * 50, "p"))
OWN_KIND = {("mine", "negation"): pairs(60, split=None, kind="negation")}
UNALIGNED = replace(pairs(60, split=None), corrupt=replace(pairs(60).corrupt, first=("n",) * 60))


@pytest.fixture(scope="module")
def model():
    return built_model("direct")


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        (task(cases=None), {}, "lacks cases"),
        (task(validation=None), {}, "lacks validation"),
        (task(), {"case": "another"}, r"has no case 'another'; it has mine.*settings=\{'case': \.\.\.\}, or --case"),
        (task(pairs=None), {}, "no contrast pairs for mine.*Cases with pairs: none"),
        (task(pairs=OWN_KIND), {}, r"no such pairs.*pairs of negation: hc\.RunSettings\(kinds='negation'\)"),
        (task(pairs=OWN_KIND), {"kinds": "order, overlap"}, "no such pairs"),
        (task(train=TOO_LONG), {}, r"cannot read 1 of 2 in train.*too_long='drop'"),
        (task(validation=TOO_LONG), {}, "cannot read 1 of 2 in validation"),
        (task(cases={"mine": signs("am", 30, "outside"), "long": TOO_LONG}), {}, "cannot read 1 of 2 in case long"),
        (task(pairs={("mine", "order"): UNALIGNED}), {}, "Pair e1 is not aligned"),
        (task(validation=replace(examples(4), classes=("x", "y", "z"))), {}, "cannot be matched by name"),
        (task(cases={"mine": replace(examples(4), classes=("x", "y", "z"))}), {}, "cannot be matched by name"),
        (task(), {"too_long": "cut"}, "Expected one of refuse, drop"),
    ],
)
def test_it_is_refused_before_the_folder_exists(model, given, settings, message, tmp_path) -> None:
    with pytest.raises(HCError, match=message):
        hc.run(model, given, tmp_path / "run", settings={**SMALL, **settings})
    assert not (tmp_path / "run").exists()


def test_a_task_with_one_case_and_a_kind_of_ones_own_runs_to_a_verdict(model, tmp_path) -> None:
    """Rows that do not fit are left out, and said."""
    given = task(cases={"mine": concatenate([signs("am", 30, "outside"), TOO_LONG])}, pairs=OWN_KIND)
    said = []
    settings = {**SMALL, "kinds": ["negation"], "too_long": "drop"}
    found = hc.run(model, given, tmp_path / "run", settings=settings, say=said.append)
    assert found.generalizing.settings["kinds"] == ("negation",)
    assert [*found.verdict.records] == ["negation"]
    assert "  case mine: 1 of 62 rows left out, which BertForSequenceClassification has no positions for" in said
    assert found.evaluation.ids["mine"].count("e0") == 0


def test_pairs_of_a_known_task_do_not_fail_on_a_case_of_ones_own() -> None:
    known = hc.load_task("overlap-grammar", max_per_case=4)
    own = replace(known, cases={**known.cases, "mine": known.validation})
    assert own.pair_kinds("mine") == ()
    assert own.pair_kinds("lexical_overlap_ln_passive") == known.pair_kinds("lexical_overlap_ln_passive")


def test_a_kind_that_stands_for_order_chooses_the_heads_by_default(model) -> None:
    own = task(pairs=OWN_KIND, stands_for={"negation": "order"})
    settings = hc.RunSettings(**SMALL)
    assert settings.kinds == "order"
    check_task(own, settings)
    assert list(select_pairs(model, own, None, kinds_of(settings), 8, 0)) == ["mine"]
