"""Lists of interventions: order, neutral ones, captures, clean-up, and what has no meaning."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import LABELS, tiny_batch, tiny_module

from hc_interp.components import EMBED, MLP, OUTPUT, Head
from hc_interp.data.contrast import ContrastPairs
from hc_interp.errors import ComponentError, HCError, InterventionError
from hc_interp.heads.core import heuristic_core
from hc_interp.interventions.donors import Donors
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Keep, Scale, SoftMask
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit, Patch, Steer
from hc_interp.models.load import load
from hc_interp.models.site import HEAD_KINDS, LAYER_KINDS, Site
from hc_interp.subnetwork import Subnetwork

MODEL = load(tiny_module("bert"), labels=LABELS)
BATCH = tiny_batch(4)
MEANS = mean_activations(MODEL, tiny_batch(8, seed=9))
PLAIN = MODEL.logits(BATCH)
ALL = Subnetwork(frozenset(MODEL.components), MODEL.components)
STATE = {name: value.clone() for name, value in MODEL.module.state_dict().items()}

sites = st.builds(
    lambda layer, kind, head: Site(layer, kind, head if kind in HEAD_KINDS else None),
    st.integers(0, 2),
    st.sampled_from(LAYER_KINDS),
    st.none() | st.integers(0, 2),
)
items = st.sampled_from(MODEL.components)
interventions = st.one_of(
    st.builds(lambda kept: Keep(Subnetwork(frozenset(kept), MODEL.components), MEANS), st.sets(items)),
    st.builds(lambda removed: Ablate(sorted(removed, key=str), with_=0), st.sets(items, min_size=1)),
    st.builds(lambda item, factor: Scale(item, factor), items, st.floats(-2, 2)),
    st.builds(lambda site, factor: Edit(site, lambda value: value * factor), sites, st.floats(0, 1.5)),
    st.builds(lambda row: SoftMask(torch.full((12,), row, dtype=torch.float64), MEANS), st.floats(0, 1)),
)


def _hooks(module) -> int:
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return sum(len(getattr(part, name)) for part in module.modules() for name in names)


@pytest.mark.parametrize("site", [Site(1, kind) for kind in LAYER_KINDS] + [Site.embed(), Site.pooled()], ids=str)
def test_patching_own_value_is_bit_equal(any_model, site) -> None:
    batch = tiny_batch(5)
    run = any_model.run(batch, capture=[site])
    assert torch.equal(any_model.logits(batch, [Patch(site, run.captured[site])]), run.logits)


def test_neutral_interventions_are_bit_equal(any_model) -> None:
    batch = tiny_batch(5)
    plain = any_model.logits(batch)
    means = mean_activations(any_model, batch)
    full = Subnetwork(frozenset(any_model.components), any_model.components)
    for neutral in (
        Keep(full, means),
        SoftMask(torch.ones(len(any_model.components), dtype=torch.float64), means),
        Scale(Head(1, 1), 1.0),
        Scale(MLP(1), 1.0),
        Ablate([], with_=0),
    ):
        assert torch.equal(any_model.logits(batch, [neutral]), plain)
    with torch.no_grad():
        module = any_model.module(batch.input_ids, **any_model.geometry.inputs(batch)).logits
    if any_model.geometry.family.causal:  # TransformerLens takes a decoder's attention apart, and rounds otherwise
        torch.testing.assert_close(module, plain, atol=1e-13, rtol=0)
    else:
        assert torch.equal(module, plain)


@settings(max_examples=40, deadline=None)
@given(st.lists(interventions, max_size=4), sites)
def test_random_lists_leave_the_model_as_it_was(listed, site) -> None:
    before = _hooks(MODEL.backend.bridge)
    run = MODEL.run(BATCH, listed, capture=[site])
    assert torch.isfinite(run.logits).all()
    assert set(run.captured) == {site}
    assert _hooks(MODEL.backend.bridge) == before
    assert torch.equal(MODEL.logits(BATCH), PLAIN)
    assert all(torch.equal(value, STATE[name]) for name, value in MODEL.module.state_dict().items())


@settings(max_examples=40, deadline=None)
@given(st.lists(interventions, max_size=3), sites)
def test_captures_come_after_all_edits(listed, site) -> None:
    """What is captured is what stands there: patching it back last changes nothing but rounding."""
    run = MODEL.run(BATCH, listed, capture=[site])
    again = MODEL.logits(BATCH, [*listed, Patch(site, run.captured[site])])
    torch.testing.assert_close(again, run.logits, atol=1e-9, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(sites, st.floats(0.2, 3), st.floats(-1, 1))
def test_edits_apply_in_list_order(site, factor, shift) -> None:
    scale, add = Edit(site, lambda value: value * factor), Edit(site, lambda value: value + shift)
    both = Edit(site, lambda value: value * factor + shift)
    torch.testing.assert_close(MODEL.logits(BATCH, [scale, add]), MODEL.logits(BATCH, [both]), atol=1e-10, rtol=0)


def test_an_error_in_a_run_leaves_no_hook() -> None:
    def fails(value):
        raise RuntimeError("mine")

    before = _hooks(MODEL.backend.bridge)
    with pytest.raises(RuntimeError, match="mine"):
        MODEL.logits(BATCH, [Edit(Site(1, "z"), fails)])
    assert _hooks(MODEL.backend.bridge) == before
    assert torch.equal(MODEL.logits(BATCH), PLAIN)


def _pairs() -> ContrastPairs:
    corrupt = type(BATCH)(
        torch.where(BATCH.attention_mask.bool(), tiny_batch(4, seed=50).input_ids.clamp(min=5), BATCH.input_ids),
        BATCH.attention_mask, BATCH.token_type_ids, ids=BATCH.ids,
    )  # fmt: skip
    return ContrastPairs(BATCH, corrupt, [0, 1, 0, 1], groups=((0,), (1, 2)))


def test_patch_from_pairs_and_rows_of_them() -> None:
    pairs = _pairs()
    value = MODEL.run(pairs.corrupt, capture=[Site(1, "z")]).captured[Site(1, "z")]
    expected = MODEL.logits(BATCH, [Edit(Site(1, "z", 2), lambda own: value[:, :, 2])])
    assert torch.equal(MODEL.logits(BATCH, [Patch(Head(1, 2), pairs)]), expected)
    rows = [2, 0]
    torch.testing.assert_close(
        MODEL.logits(BATCH.rows(rows), [Patch("L1H2", pairs)]), expected[rows], atol=1e-12, rtol=0
    )
    assert torch.equal(MODEL.logits(pairs.corrupt, [Patch(Head(1, 2), pairs)]), MODEL.logits(pairs.corrupt))


def test_pairs_are_run_under_what_stands_before() -> None:
    pairs, steer = _pairs(), Steer(Site(0, "resid_pre"), torch.ones(24, dtype=torch.float64))
    value = MODEL.run(pairs.corrupt, [steer], capture=[Site(1, "z")]).captured[Site(1, "z")]
    expected = MODEL.logits(BATCH, [steer, Edit(Site(1, "z", 2), lambda own: value[:, :, 2])])
    assert torch.equal(MODEL.logits(BATCH, [steer, Patch(Head(1, 2), pairs)]), expected)


def test_captures_at_a_receiver_show_what_arrives() -> None:
    path = PatchPath([Head(0, 0), MLP(0)], Head(2, 1), through=("v",), source=MEANS)
    names = ("q_in", "v_in", "q", "v", "pattern", "z")
    at = {name: Site(2, name, 1) for name in names}
    plain, patched = MODEL.run(BATCH, capture=at.values()), MODEL.run(BATCH, [path], capture=at.values())
    for name in ("q_in", "q", "pattern"):
        assert torch.equal(patched.captured[at[name]], plain.captured[at[name]])
    for name in ("v_in", "v", "z"):
        assert not torch.allclose(patched.captured[at[name]], plain.captured[at[name]])
    weight = MODEL.geometry.w_in(2, "v")[1]
    bias = MODEL.geometry.b_in(2, "v")[1]
    torch.testing.assert_close(
        patched.captured[at["v_in"]] @ weight + bias, patched.captured[at["v"]], atol=1e-10, rtol=0
    )
    z = patched.captured[at["pattern"]] @ patched.captured[at["v"]]
    torch.testing.assert_close(z, patched.captured[at["z"]], atol=1e-10, rtol=0)
    other = MODEL.run(BATCH, [path], capture=[Site(2, "v", 0)]).captured
    assert torch.equal(other[Site(2, "v", 0)], MODEL.run(BATCH, capture=[Site(2, "v", 0)]).captured[Site(2, "v", 0)])


@pytest.mark.parametrize("receivers", [[Head(1, 0)], [Head(1, 0), Head(2, 1)], [Head(2, 0)], [MLP(1)]])
def test_paths_that_lead_nowhere_change_nothing(receivers) -> None:
    later = [Head(2, 0), Head(2, 1), Head(2, 2)]
    assert torch.equal(MODEL.logits(BATCH, [PatchPath(later, receivers, source=0)]), PLAIN)


@pytest.mark.parametrize("layer", [1, 2])
def test_a_tail_continues_the_pass(any_model, layer) -> None:
    batch, edit = tiny_batch(5), [Edit(Site(2, "z"), lambda value: value * 2)]
    edit += [Edit(Site(place, "resid_pre"), lambda value: value * 3) for place in range(3)]
    whole = any_model.run(batch, edit, capture=[Site(layer, "resid_pre"), Site(2, "q", 1)])
    edits = any_model.compile(batch, edit)
    stream = whole.captured[Site(layer, "resid_pre")]
    tail = any_model.run_edits(batch, edits, [Site(2, "q", 1)], start=(layer, stream))
    assert torch.equal(tail.logits, whole.logits)
    assert torch.equal(tail.captured[Site(2, "q", 1)], whole.captured[Site(2, "q", 1)])


@pytest.mark.parametrize("through", ["q", "v", "kv"])
def test_unnamed_inputs_stay_clean_even_after_another_receiver(through) -> None:
    """An earlier receiver changes what the later one would read in step 3; its captures still show step 2."""
    path = PatchPath([Head(0, 0), MLP(0)], [Head(1, 0), Head(2, 1)], through=through, source=MEANS)
    at = {name: Site(2, name, 1) for name in ("q_in", "k_in", "v_in", "q", "k", "v", "pattern", "z")}
    plain, patched = MODEL.run(BATCH, capture=at.values()), MODEL.run(BATCH, [path], capture=at.values())
    for name in "qkv":
        for site in (at[name], at[f"{name}_in"]):
            same = torch.allclose(patched.captured[site], plain.captured[site], atol=1e-12)
            assert same == (name not in through)
    q, k = patched.captured[at["q"]], patched.captured[at["k"]]
    pattern = MODEL.geometry.pattern(2, q[:, :, None], k[:, :, None], BATCH.attention_mask)[:, 0]
    torch.testing.assert_close(patched.captured[at["pattern"]], pattern, atol=1e-10, rtol=0)
    torch.testing.assert_close(pattern @ patched.captured[at["v"]], patched.captured[at["z"]], atol=1e-10, rtol=0)


def test_a_path_into_a_removed_head_does_nothing() -> None:
    keep = Keep(ALL - Subnetwork(frozenset([Head(2, 1)]), MODEL.components), MEANS)
    path = PatchPath([Head(0, 0)], Head(2, 1), source=0)
    assert torch.equal(MODEL.logits(BATCH, [keep, path]), MODEL.logits(BATCH, [keep]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ablate(Head(7, 0), with_=0), "layers 0 to 2"),
        (lambda: Ablate("L1Q2", with_=0), "is not a component"),
        (lambda: Keep(Subnetwork(frozenset(), [Head(0, 9)]), MEANS), "heads 0 to 2"),
        (lambda: Ablate(Head(0, 0), with_=3), "is not a source"),
        (lambda: Ablate(EMBED, with_=0), "is not a component"),
        (lambda: SoftMask(torch.ones(5), MEANS), "shape \\(5,\\) for 12 components"),
        (lambda: SoftMask(torch.ones(3, 12), MEANS), "3 rows of masks for a batch of 4"),
        (lambda: Patch(Site(1, "z"), torch.zeros(2, 9, 3, 8)), "same shape"),
        (lambda: Patch(Site(5, "z"), 0), "layers 0 to 2"),
        (lambda: Patch("output", 0), "cannot be patched"),
        (lambda: Steer(Site(1, "z"), torch.zeros(5)), "does not broadcast"),
        (lambda: Steer(Site(1, "z"), [1.0]), "direction of type list"),
        (lambda: Steer("L0H0", torch.ones(8)), "as its site"),
        (lambda: Edit("L0H0", torch.sin), "as its site"),
        (lambda: Scale("L0H0", "two"), "expected one number"),
        (lambda: Scale("L0H0", torch.ones(7)), "expected one number"),
        (lambda: SoftMask([1.0] * 12, MEANS), "mask of type list"),
        (lambda: Keep(["L0H0"], MEANS), "expected a Subnetwork"),
        (lambda: Edit(Site(1, "z"), lambda value: value[:1]), "expected a tensor of shape"),
        (lambda: Edit(Site(1, "z"), "no"), "expected a function"),
        (lambda: PatchPath([Head(0, 0)], [OUTPUT, Head(1, 1)], source=0), "of its own"),
        (lambda: PatchPath([OUTPUT], [Head(1, 1)], source=0), "cannot be a sender"),
        (lambda: PatchPath([Head(0, 0)], [EMBED], source=0), "cannot be a receiver"),
        (lambda: PatchPath([], [Head(1, 1)], source=0), "at least one sender"),
        (lambda: PatchPath([Head(0, 0)], [Head(1, 1)], through=("x",), source=0), "give some of q, k, v"),
        (lambda: PatchPath([Head(0, 0)], [Head(1, 1)], through="each", source=0), "give some of q, k, v"),
        (lambda: PatchPath([Head(0, 0)], [Head(1, 1)], source=0, route="side"), "choose one of"),
        (lambda: PatchPath([Head(0, 0)], [Head(1, 1)]), "has no source"),
        (lambda: PatchPath("L9H0", "L9H1", source=0), "layers 0 to 2"),
        (lambda: "Keep", "not an intervention"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(make, message) -> None:
    with pytest.raises(HCError, match=message):
        MODEL.logits(BATCH, [make()])


@pytest.mark.parametrize(
    "last",
    [
        SoftMask(torch.ones(3, 12), MEANS),
        Patch(Site(1, "z"), torch.zeros(2, 9, 3, 8)),
        Steer(Site(1, "z"), torch.ones(5)),
        Ablate("L9H0", 0),
        PatchPath("L0H0", "L9H1", source=0),
    ],
)
def test_a_list_is_refused_before_anything_runs(last, monkeypatch) -> None:
    """The path before it takes runs of its own; none is made when a later item does not fit."""
    runs = []
    plain = type(MODEL).run_edits
    monkeypatch.setattr(type(MODEL), "run_edits", lambda *args, **named: runs.append(1) or plain(*args, **named))
    with pytest.raises(HCError):
        MODEL.logits(BATCH, [PatchPath("L0H0", "L2H1", source=0), last])
    assert not runs
    MODEL.logits(BATCH, [PatchPath("L0H0", "L2H1", source=0)])
    assert len(runs) > 1


@pytest.mark.parametrize(
    "fields",
    [
        {"source": None}, {"route": "side"}, {"through": ()}, {"through": 3}, {"through": "qx"},
        {"through": ("q", ["k"])},
        {"senders": []}, {"senders": "output"}, {"receivers": "embed"}, {"receivers": ["output", "L1H1"]},
        {"senders": "L0X1"},
    ],
    ids=str,
)  # fmt: skip
def test_a_path_that_cannot_be_is_refused_when_it_is_built(fields) -> None:
    with pytest.raises((InterventionError, ComponentError)):
        PatchPath(**({"senders": "L0H0", "receivers": "L1H1", "source": 0} | fields))


def test_paths_take_results_and_inputs_as_one_text() -> None:
    core = heuristic_core([Subnetwork(frozenset(["L0H0", "L0H2", "L0MLP"]), MODEL.components)])
    named = PatchPath([Head(0, 0), Head(0, 2)], [Head(2, 1)], through=("v", "q"), source=MEANS)
    short = PatchPath(core, "L2H1", through="qv", source=MEANS)
    assert (short.senders, short.receivers, short.through) == (named.senders, named.receivers, ("q", "v"))
    assert torch.equal(MODEL.logits(BATCH, [short]), MODEL.logits(BATCH, [named]))
    assert PatchPath(Subnetwork(frozenset(["L0MLP"]), MODEL.components), "L2H1", source=0).senders == (MLP(0),)


@pytest.mark.parametrize("one", [Ablate("L0H0", 0), Scale("L1H1", 2.0), PatchPath("L0H0", "L2H1", source=0)])
def test_one_intervention_is_a_list_of_one(one) -> None:
    expected = MODEL.logits(BATCH, [one])
    assert not torch.equal(expected, PLAIN)
    assert torch.equal(MODEL.logits(BATCH, one), expected)
    assert torch.equal(MODEL.run(BATCH, one).logits, expected)
    assert torch.equal(MODEL.logits(BATCH, (item for item in [one])), expected)
    assert [*one, *one] == [one, one]
    means, listed = (mean_activations(MODEL, BATCH, interventions=given) for given in (one, [one]))
    assert torch.equal(means.values["z"], listed.values["z"])


@pytest.mark.parametrize("length", [1, 9, 40])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_one_row_of_any_length_in_half_precision(family, length) -> None:
    """Each intervention on a bfloat16 model is about what it is on the same weights in float64."""
    half = load(tiny_module(family, dtype=torch.bfloat16), labels=LABELS)
    whole = load(half.module, labels=LABELS, dtype=torch.float64)
    batch, data = tiny_batch(1, length=length), tiny_batch(6, length=40, seed=9)
    plain = whole.logits(batch)
    answers = {}
    for model in (half, whole):
        means = mean_activations(model, data)
        kept = Subnetwork(frozenset(["L0H0", "L1H1", "L2MLP"]), model.components)
        mask = torch.linspace(0.2, 1, 12)
        answers[model] = [
            model.logits(batch, item)
            for item in (
                Keep(kept, means),
                Ablate("L1H0", 0),
                SoftMask(mask, means),
                Patch("L1MLP", means),
                PatchPath("L0MLP", "L2H1", source=means, route="all"),
                Scale("L0H2", 3.0),
                Steer(Site(1, "resid_pre"), torch.linspace(-1, 1, 24)),
                Edit(Site(1, "pattern"), lambda value: value / 2),
            )
        ]
    for result, expected in zip(answers[half], answers[whole], strict=True):
        assert result.dtype == torch.bfloat16
        assert float((result - expected).abs().max()) < 0.3  # logits are a few units
    assert sum(float((logits - plain).abs().max()) > 0.3 for logits in answers[whole]) >= 5


@pytest.mark.parametrize(
    ("kind", "head"), [*((kind, None) for kind in LAYER_KINDS), *((kind, 1) for kind in sorted(HEAD_KINDS))]
)
def test_a_function_may_write_into_what_it_is_given(any_model, kind, head) -> None:
    """As hooks of TransformerLens and nnsight do: it is as if it had returned a new tensor."""
    batch = tiny_batch(4)
    site, below = Site(1, kind, head), Site(0, "resid_post")
    plain = any_model.run(batch, capture=[below, site])
    new, in_place = Edit(site, lambda value: value * 0.5), Edit(site, lambda value: value.mul_(0.5))
    result, expected = (any_model.run(batch, item, capture=[below, site]) for item in (in_place, new))
    assert torch.equal(result.logits, expected.logits)
    assert not torch.equal(result.logits, plain.logits)
    for at in (below, site):
        assert torch.equal(result.captured[at], expected.captured[at])
    assert torch.equal(result.captured[below], plain.captured[below])
    value = plain.captured[site].clone()
    any_model.logits(batch, [Patch(site, value), in_place])
    assert torch.equal(value, plain.captured[site]), "a user's own tensor is left as it is"


def test_donors_may_stand_before_pairs_but_not_after() -> None:
    """Each side of the pairs is resampled by donors of its own; a donor has no other side."""
    pairs = _pairs()
    others = [
        type(BATCH)(
            torch.where(BATCH.attention_mask.bool(), tiny_batch(4, seed=seed).input_ids.clamp(min=5), BATCH.input_ids),
            BATCH.attention_mask,
            BATCH.token_type_ids,
        )
        for seed in (70, 71, 72)
    ]
    donors, ablated, site = Donors(MODEL, others, seed=0), Head(0, 1), Site(1, "z")
    first = [Ablate(ablated, with_=donors), Patch(Head(1, 2), pairs)]

    def resampled(batch):
        value = MODEL.run(donors.batch_for(batch), capture=[Site(0, "z", 1)]).captured[Site(0, "z", 1)]
        return Edit(Site(0, "z", 1), lambda own: value)

    corrupt = MODEL.run(pairs.corrupt, resampled(pairs.corrupt), capture=[site]).captured[site]
    expected = MODEL.logits(BATCH, [resampled(BATCH), Edit(Site(1, "z", 2), lambda own: corrupt[:, :, 2])])
    assert torch.equal(MODEL.logits(BATCH, first), expected)
    with pytest.raises(InterventionError, match="no row of the pairs"):
        MODEL.check_interventions(first[::-1])
    MODEL.check_interventions([Patch("L0H0", pairs), Ablate("L1H0", MEANS), Patch("L2H0", pairs)])


@pytest.mark.parametrize("given", [3, "Keep", None])
def test_what_is_no_list_of_interventions(given) -> None:
    with pytest.raises(InterventionError, match="expected one intervention or a list"):
        MODEL.logits(BATCH, given)


@pytest.mark.parametrize(("route", "free"), [("direct", ()), ("mlps", ("L1MLP",)), ("all", ("L1MLP", "L1H1"))])
def test_a_path_into_the_output_holds_what_its_route_holds(route, free) -> None:
    first = PatchPath("L0H0", "output", source=MEANS, route=route)
    for receiver in ("L1H1", "L1MLP", "output"):
        second = PatchPath("L0H1", receiver, source=MEANS)
        if receiver in free:
            assert not torch.equal(MODEL.logits(BATCH, [first, second]), MODEL.logits(BATCH, first))
            continue
        with pytest.raises(InterventionError, match=f"share the receiver {receiver}"):
            MODEL.logits(BATCH, [first, second])


def test_two_paths_into_one_receiver() -> None:
    paths = [PatchPath([Head(0, i)], [Head(2, 1)], source=0) for i in (0, 1)]
    with pytest.raises(InterventionError, match="share the receiver L2H1"):
        MODEL.logits(BATCH, paths)


def test_means_and_donors_of_another_model() -> None:
    other = load(tiny_module("bert", seed=5), labels=LABELS)
    with pytest.raises(InterventionError, match="fingerprint"):
        other.logits(BATCH, [Ablate(Head(0, 0), with_=MEANS)])
    with pytest.raises(InterventionError, match="another model"):
        other.logits(BATCH, [Ablate(Head(0, 0), with_=Donors(MODEL, BATCH))])


def test_a_length_without_a_donor_is_named() -> None:
    with pytest.raises(InterventionError, match="No donor of 7 tokens"):
        MODEL.logits(tiny_batch(1, length=7), [Ablate(Head(0, 0), with_=Donors(MODEL, tiny_batch(1, length=12)))])


def test_pairs_that_do_not_know_the_batch() -> None:
    with pytest.raises(InterventionError, match="not among the 4 pairs"):
        MODEL.logits(type(BATCH)(BATCH.input_ids, ids=["x"] * 4), [Patch(Head(1, 1), _pairs())])
    with pytest.raises(InterventionError, match="other tokens"):
        MODEL.logits(
            type(BATCH)(BATCH.input_ids.flip(0), BATCH.attention_mask, ids=BATCH.ids), [Patch(Head(1, 1), _pairs())]
        )
    with pytest.raises(InterventionError, match="has no ids"):
        MODEL.logits(tiny_batch(4, ids=False), [Patch(Head(1, 1), _pairs())])


def test_means_lack_a_kind_until_asked() -> None:
    with pytest.raises(ComponentError, match="kinds=\\['q'\\]"):
        MODEL.logits(BATCH, [Patch(Site(1, "q", 0), MEANS)])
    means = mean_activations(MODEL, tiny_batch(8, seed=9), kinds=["q"])
    run = MODEL.run(BATCH, [Patch(Site(1, "q", 0), means)], capture=[Site(1, "q", 0)])
    torch.testing.assert_close(
        run.captured[Site(1, "q", 0)], means.values["q"][1, 0].expand(4, 9, 8), atol=1e-12, rtol=0
    )


def test_positional_means_end_where_the_data_ended() -> None:
    means = mean_activations(MODEL, tiny_batch(8, length=6, seed=9), positional=True)
    with pytest.raises(InterventionError, match="has 9 positions, these positional means 6"):
        MODEL.logits(BATCH, [Ablate(Head(0, 0), with_=means)])


@pytest.mark.parametrize("name", ["heads", "mlps", "heads,mlps", "L0H1,L1MLP", ["mlps", "L0H1"]])
def test_kinds_of_components_are_named_wherever_components_are(name) -> None:
    kinds = {"heads": Head, "mlps": MLP}
    parts = [part for text in ([name] if isinstance(name, str) else name) for part in text.split(",")]
    meant = [c for c in MODEL.components if any(str(c) == p or isinstance(c, kinds.get(p, ())) for p in parts)]
    one_by_one = [Scale(item, 0.5) for item in meant]
    assert torch.equal(MODEL.logits(BATCH, Ablate(name, MEANS)), MODEL.logits(BATCH, Ablate(meant, MEANS)))
    assert torch.equal(MODEL.logits(BATCH, Scale(name, 0.5)), MODEL.logits(BATCH, one_by_one))
    assert torch.equal(MODEL.logits(BATCH, Patch(name, MEANS)), MODEL.logits(BATCH, Patch(meant, MEANS)))
    mask = torch.linspace(0, 1, len(meant), dtype=torch.float64)
    named, listed = (SoftMask(mask, MEANS, items) for items in (name, tuple(meant)))
    if name != ["mlps", "L0H1"] and name != "heads,mlps":  # in the order given
        assert torch.equal(MODEL.logits(BATCH, named), MODEL.logits(BATCH, listed))


def test_a_value_of_ones_own_is_no_source_and_the_error_says_where_it_goes() -> None:
    message = r"a tensor of shape \(8,\) is not a source.*hc\.Patch\(component, tensor\)"
    for make in (
        lambda: Ablate("L0H0", torch.zeros(8)),
        lambda: Keep(Subnetwork(frozenset(), MODEL.components), torch.zeros(8)),
    ):
        with pytest.raises(InterventionError, match=message):
            MODEL.logits(BATCH, make())
