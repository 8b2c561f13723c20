"""`hc-interp finetune --phase`: the phases of `hc.finetune`, from the task's split and from files."""

import json

import pytest

import hc_interp as hc


@pytest.fixture
def words(tiny_folder, tmp_path):
    extra = tmp_path / "extra.csv"
    extra.write_text(
        "first,second,label\nThe nurse left.,The guard left.,neutral\nThe nurse left.,A nurse left.,entailment\n"
    )
    common = ["finetune", "--model", tiny_folder, "--task", "overlap-grammar", "--steps", "3", "--batch-size", "4",
              "--max-per-case", "2", "--pull-pairs", "0", "--out", str(tmp_path / "series")]  # fmt: skip
    return common, extra


def test_phases_of_the_split_and_a_file(words, hc_interp_call, small_task, tmp_path) -> None:
    common, extra = words
    done = hc_interp_call(
        *common, "--phase", "0:train=1", "--phase", f"2:train=0.5,{extra}=0.5", "--export-dtype", "float16"
    )
    assert done.code == 0, done.err
    card = hc.load_series(tmp_path / "series").card
    phases = card["recipe"]["phases"]
    assert [phase["first_step"] for phase in phases] == [0, 2]
    assert [[part["share"] for part in phase["parts"]] for phase in phases] == [[1.0], [0.5, 0.5]]
    assert phases[1]["parts"][1]["examples"] == 2
    assert phases[0]["parts"][0]["data"] == phases[1]["parts"][0]["data"]
    assert card["recipe"]["export_dtype"] == "float16"
    assert json.dumps(card)


@pytest.mark.parametrize("text", ["train=1", "0:train", "0:train=half", "x:train=1", "0:", "0:train=1,=2,x"])
def test_a_phase_of_another_form_is_refused(text, words, hc_interp_call, small_task, tmp_path) -> None:
    done = hc_interp_call(*words[0], "--phase", text)
    assert done.code == 2
    assert "Expected STEP:NAME=SHARE" in done.err
    assert not (tmp_path / "series").exists()


def test_a_name_that_is_no_file_and_shares_that_do_not_sum_to_1_are_refused(words, hc_interp_call, small_task) -> None:
    assert "is no file. Expected train or a file" in hc_interp_call(*words[0], "--phase", "0:nothing.csv=1").err
    assert "sum to 0.5" in hc_interp_call(*words[0], "--phase", "0:train=0.5").err


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--steps", "first"], "--steps 'first' was given. Expected steps of the series"),
        (["--steps", "0,9"], "no checkpoint at step 9"),
        (["--analysis", "premises", "--core", "L0H0"], "without --generalizing"),
        (["--analysis", "everything"], "everything"),
        (["--analysis", "subnetworks", "--sparsities", "half"], "--sparsities 'half' was given. Expected shares"),
        (["--figure", "nowhere/f.svg/g.svg"], "nowhere"),
    ],
)
def test_over_training_refuses_before_any_work(
    more, error, hc_interp_call, small_task, finished_series, tmp_path
) -> None:
    (tmp_path / "nowhere").write_text("")
    more = [word.replace("nowhere", str(tmp_path / "nowhere")) for word in more]
    common = ["over-training", "--series", str(finished_series), "--task", "overlap-grammar"]
    done = hc_interp_call(*common, "--out", str(tmp_path / "found.json"), *more)
    assert done.code == 2, done.err
    assert error in " ".join((done.out + done.err).split()).replace("│ ", "")
    assert not (tmp_path / "found.json").exists()


@pytest.mark.filterwarnings("ignore::hc_interp.HCWarning")
def test_over_training_of_subnetworks_shows_effective_sizes(
    hc_interp_call, small_task, finished_series, tmp_path
) -> None:
    out, drawn = tmp_path / "found.json", tmp_path / "sizes.svg"
    done = hc_interp_call(
        "over-training", "--series", str(finished_series), "--task", "overlap-grammar", "--analysis", "subnetworks",
        "--sparsities", "0.25,0.75", "--seeds", "1", "--search-steps", "1", "--max-per-case", "2",
        "--mean-examples", "8", "--steps", "0,3", "--out", str(out), "--figure", str(drawn),
    )  # fmt: skip
    assert done.code == 0, done.err
    found = hc.read(out)
    full, *pruned = found[3].subnetworks
    assert full is None
    assert [item.sparsity for item in pruned] == pytest.approx([0.25, 0.75])
    sizes = found.effective_sizes(hc.load_task("overlap-grammar"))
    assert all(name in done.out and name in drawn.read_text() for name in sizes)


@pytest.fixture(scope="module")
def finished_series(tiny_folder, grammar_task, tmp_path_factory):
    """The folder of a series. Tests only read it."""
    out = tmp_path_factory.mktemp("finished") / "series"
    hc.finetune(hc.load(tiny_folder), grammar_task, out, steps=3, batch_size=4, max_per_case=2, pull_pairs=0)
    return out
