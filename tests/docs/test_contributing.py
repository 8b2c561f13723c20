"""The recipes of CONTRIBUTING.md run as they stand, and what they add works wherever the package's own does."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import tiny_batch

import hc_interp as hc
from hc_interp.errors import HCError, InterventionError
from hc_interp.figures.registry import FIGURES, figure
from hc_interp.heads.evidence import METHODS, evidence
from hc_interp.models.families import FAMILIES
from hc_interp.patching.sweep import is_fast
from hc_interp.search.ranking import Ranking
from hc_interp.search.screens import SCREENS, screen

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
RECIPES = ("intervention", "screen", "evidence", "figure", "family")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's blocks define, run one after the other as one file; registries are as before, after."""
    blocks = dict(re.findall(r"^```python (\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
    assert list(blocks) == ["setup", *RECIPES]
    before = [(registry, dict(registry)) for registry in (SCREENS, METHODS, FIGURES)]
    path = tmp_path_factory.mktemp("page") / "recipes.py"
    path.write_text("".join(blocks.values()))
    yield runpy.run_path(str(path))
    for registry, entries in before:
        registry.clear()
        registry.update(entries)


def test_the_intervention_limits_one_head_and_composes(page) -> None:
    run, model = page["clamped"], page["model"]
    z = run.captured[hc.Site(1, "z")]
    plain = model.run(page["batch"], capture=hc.Site(1, "z")).captured[hc.Site(1, "z")]
    torch.testing.assert_close(z[:, :, 0], plain[:, :, 0].clamp(-0.01, 0.01))
    assert torch.equal(z[:, :, 1:], plain[:, :, 1:])
    assert float(plain[:, :, 0].abs().max()) > 0.01
    assert not torch.equal(run.logits, model.logits(page["batch"], hc.Ablate("L2H1", page["means"])))


def test_the_intervention_goes_wherever_interventions_do(page) -> None:
    model, world, clamp = page["model"], page["world"], page["Clamp"](hc.Site(1, "z", head=0), 0.0)
    zeroed = hc.Ablate("L1H0", 0)
    pairs = world.pairs["order"].sample(8)
    arguments = {"senders": world.core, "receivers": world.generalizing, "joint": True}
    own = hc.path_effects(model, pairs, **arguments, interventions=clamp).to_frame()
    expected = hc.path_effects(model, pairs, **arguments, interventions=zeroed).to_frame()
    assert float(own["effect"].iloc[0]) == pytest.approx(float(expected["effect"].iloc[0]), rel=1e-4)
    batch = page["batch"]
    torch.testing.assert_close(model.logits(batch, clamp), model.logits(batch, zeroed))


def test_what_the_intervention_refuses_is_refused_before_anything_runs(page) -> None:
    with pytest.raises(InterventionError, match="Expected a limit"):
        page["model"].logits(page["batch"], page["Clamp"](hc.Site(1, "z", head=0), -1.0))


def test_the_screen_ranks_by_size_and_its_top_is_a_subnetwork(page) -> None:
    model, task = page["model"], page["task"]
    ranking = page["output_size"](model, task.train.sample(8), 0, components="heads")
    assert SCREENS["output_size"] is page["output_size"]
    assert page["subnetwork"].sparsity == pytest.approx(0.5, abs=0.02)
    batch = model.tokenize(task.train.sample(8).first, task.train.sample(8).second)
    z = model.run(batch, capture=hc.Site(1, "z", head=0)).captured[hc.Site(1, "z", head=0)]
    mask = batch.attention_mask
    expected = ((z.norm(dim=-1) * mask).sum(1) / mask.sum(1)).mean()
    score = ranking.scores[ranking.universe.index(hc.Head(1, 0))]
    assert float(score) == pytest.approx(float(expected), rel=1e-4)


def test_the_evidence_finds_heads_that_the_verdict_takes(page) -> None:
    heads, world = page["by_margin"], page["world"]
    assert heads.method == "margin"
    assert set(world.generalizing) <= {*heads.heads, *heads.relay}
    assert heads.table["fall"].notna().all()
    verdict = hc.reads_from(
        page["model"], world.pairs["order"], core=world.core, generalizing=heads, means=page["means"]
    )
    assert verdict.generalizing == heads.heads


def test_the_figure_is_drawn_and_stands_in_the_report(page, tmp_path) -> None:
    assert list(page["figures"]) == ["ranking", "dose"]
    dose = page["Dose"]((0.0, 1.0), (0.5, 0.0))
    assert "Dose and response" in hc.report([dose], tmp_path / "dose.html").read_text()
    assert hc.read(dose.save(tmp_path / "dose.json")) == dose
    ranking = hc.leave_one_out(page["model"], page["task"].train.sample(4), page["means"])
    text = hc.report(ranking, tmp_path / "report.html").read_text()
    assert "Which components matter" in text
    assert "Components by leave one out" in text


def test_a_kind_of_result_without_a_figure_is_not_drawn(page) -> None:
    with pytest.raises(HCError, match="is a MeanActivations, which has no figure"):
        hc.figures.draw(page["means"])


@pytest.mark.parametrize(
    ("register", "name"),
    [
        (figure("reading", of=Ranking, section="x"), "reading"),
        (evidence("contrast"), "contrast"),
        (screen, "leave_one_out"),
    ],
    ids=["figure", "evidence", "screen"],
)
def test_a_name_is_given_once(register, name) -> None:
    def other():
        """Another function."""

    other.__name__ = name  # a screen is known by its function's name
    with pytest.raises(HCError, match=rf"'{name}' was registered by .*Choose another name"):
        register(other)


def test_a_function_that_is_defined_again_takes_its_own_place() -> None:
    def drawn():
        """A cell of a notebook."""

    first = drawn

    def drawn():
        """The same cell, run again."""

    try:
        for function in (first, drawn):
            figure("again", of=Ranking, section="x")(function)
        assert FIGURES["again"].drawing is drawn
    finally:
        FIGURES.pop("again", None)


def test_an_intervention_without_edits_is_no_intervention() -> None:
    class Nothing(hc.Intervention):
        pass

    with pytest.raises(TypeError, match=r"abstract method '?edits"):
        Nothing()


def test_edits_are_edits_of_sites_that_are_there(tiny_bert) -> None:
    class Wrong(hc.Intervention):
        def __init__(self, edit):
            self.edit = edit

        def edits(self, model, batch, before):
            return [self.edit]

    batch = hc.Batch(torch.ones(1, 4, dtype=torch.long))
    with pytest.raises(InterventionError, match=r"Expected hc\.SiteEdit"):
        tiny_bert.run(batch, Wrong(lambda value: value))
    with pytest.raises(HCError, match="L9"):
        tiny_bert.run(batch, Wrong(hc.SiteEdit(hc.Site(9, "z"), lambda value: value)))


def test_the_family_wraps_a_class_that_the_package_does_not_know(page) -> None:
    model, batch = page["ernie"], tiny_batch(4)
    assert not page["CLASSES"].keys() & FAMILIES.keys()
    with torch.no_grad():
        plain = page["module"].eval()(batch.input_ids, batch.attention_mask, token_type_ids=batch.token_type_ids).logits
    torch.testing.assert_close(model.logits(batch), plain)
    assert is_fast(model, [])
    with pytest.raises(hc.ModelError, match="cannot wrap"):
        hc.load(page["module"], labels=model.labels)


def test_a_family_that_the_user_gave_is_part_of_the_fingerprint(page) -> None:
    family = replace(page["ERNIE"], classify=lambda module, last: module.classifier(module.ernie.pooler(last[:, None])))
    other = hc.load(page["module"], labels=page["ernie"].labels, backend="nnsight", family=family)
    assert other.fingerprint != page["ernie"].fingerprint
    assert other.family.classify(page["module"], torch.zeros(1, 24)).shape == (1, 3)
    assert page["ernie"].copy().fingerprint == page["ernie"].fingerprint
