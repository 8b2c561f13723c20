"""The estimates, `auto`, shards and resuming: what they promise about the exact method."""

import pytest
import torch
from path_pairs import GROUPS, RECEIVERS, SENDERS, make_pairs

from hc_interp.components import EMBED, MLP, Head
from hc_interp.data.align import encode_pairs
from hc_interp.errors import HCError, ResultError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.sites import Steer
from hc_interp.metrics import logit_diff
from hc_interp.models.site import Site
from hc_interp.patching.blocks import SweepBench
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.estimate.attribution import Attribution
from hc_interp.patching.path_effects import path_effects
from hc_interp.patching.rows import rows_of
from hc_interp.patching.shards import BlockStore
from hc_interp.patching.sweep import Sweep

ENDS = ([*SENDERS, Head(1, 1), (Head(0, 0), Head(1, 2), MLP(0)), EMBED], [*RECEIVERS, (Head(2, 0), Head(2, 2))], "each")
MANY = ([Head(0, h) for h in range(3)], [Head(layer, h) for layer in (1, 2) for h in range(3)], "each")


def sweep_of(model, pairs, ends, interventions=()):
    encoded = encode_pairs(model, pairs)
    rows = rows_of(*ends, joint=False, among=model.components)
    return Sweep(model, encoded, rows, "pair", list(interventions), logit_diff, GROUPS, "direct", 64, 256)


@pytest.mark.parametrize("inside", [False, True])
def test_attribution_is_the_first_order_of_the_exact_effect(any_model, family, inside) -> None:
    # Llama's norms round to float32 whatever the weights are: changes must stay above that.
    scales = (1e-1, 1e-2) if family == "llama" else (1e-3, 1e-4)
    means = mean_activations(any_model, make_pairs(5).clean)
    sweep = sweep_of(any_model, make_pairs(5), ENDS, [Ablate([Head(1, 0), MLP(0)], means)] if inside else [])
    errors = []
    for scale in scales:
        worst = 0.0
        for part in sweep.parts:
            with torch.no_grad():
                state = sweep._run(part)
                clean, corrupt = state.paths.clean, state.paths.corrupt
                nearer = {site: clean[site] + scale * (value - clean[site]) for site, value in corrupt.items()}
                state.paths.corrupt = nearer
                exact = torch.stack(
                    [m["effects"] for _, m in sorted(sweep.engine(state).measure(range(len(sweep.rows))))]
                )
                estimate = Attribution(sweep.stack_of(part.clean), state, sweep.rows, 1, 256).measure().T
            assert bool((estimate[~exact.bool().any(1)] == 0).all())
            assert exact.abs().max() / scale > 1e-2
            worst = max(worst, float((exact - estimate).abs().max() / exact.abs().max()))
        errors.append(worst)
    assert errors[1] < 100 * scales[1]
    assert errors[1] < errors[0] / 8  # the error is of second order in the change


@pytest.mark.parametrize("method", ["attribution", "auto"])
def test_rows_say_which_are_estimates(tiny_bert, tmp_path, method) -> None:
    pairs = make_pairs(20)
    exact = path_effects(tiny_bert, pairs, *MANY)
    result = path_effects(tiny_bert, pairs, *MANY, method=method, top=0.1)
    frame = result.to_frame()
    estimated = frame["method"] == "estimate"
    assert set(exact.to_frame()["method"]) == {"exact"}
    assert bool(frame["response"][estimated].isna().all() & frame["node_share"][estimated].isna().all())
    assert bool(frame["effect"].notna().all())
    assert estimated.any()
    assert bool(estimated.all()) == (method == "attribution")
    for place in (~estimated).to_numpy().nonzero()[0]:
        for name in ("effects", "node", "explained", "extent"):
            torch.testing.assert_close(
                getattr(result, name)[:, place], getattr(exact, name)[:, place], atol=1e-12, rtol=0, equal_nan=True
            )
    torch.testing.assert_close(result.total, exact.total, atol=1e-12, rtol=0)
    assert PathEffects.load(result.save(tmp_path / "effects.json")).methods == result.methods


def test_auto_settles_what_is_largest(tiny_bert) -> None:
    """Its exact rows hold the largest of the rows that it took for candidates; with all candidates, of all."""
    pairs = make_pairs(20)
    exact = path_effects(tiny_bert, pairs, *MANY).effects.mean(0).abs()
    result = path_effects(tiny_bert, pairs, *MANY, method="auto", top=0.5)
    settled = {place for place, method in enumerate(result.methods) if method == "exact"}
    largest = set(exact.topk(len(exact) // 2).indices.tolist())
    assert len(largest & settled) >= 0.95 * len(largest)


def test_estimates_of_what_cannot_be_estimated(tiny_bert) -> None:
    steer = Steer(Site(1, "resid_pre"), torch.ones(tiny_bert.d_model, dtype=torch.float64))
    for method in ("attribution", "auto"):
        with pytest.raises(HCError, match="of direct paths"):
            path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", route="mlps", method=method)
        with pytest.raises(HCError, match="these interventions"):
            path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", interventions=steer, method=method)
        with pytest.raises(HCError, match="cannot resume"):
            path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", resume="there", method=method)
    with pytest.raises(HCError, match="L1H0\\+L2H2 together"):
        path_effects(tiny_bert, make_pairs(5), "L0H1", [("L1H0", "L2H2")], method="attribution")
    with pytest.raises(HCError, match="choose one of exact, attribution, auto"):
        path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", method="eap")
    with pytest.raises(HCError, match="ranks all paths"):
        path_effects(tiny_bert, make_pairs(5), ["L0H1", "L0H2"], "L2H1", shard="1/2", method="auto")
    for steps in (0, -1, 2.0, None):
        with pytest.raises(HCError, match=f"ig_steps={steps} was given. Expected a whole number from 1"):
            path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", method="attribution", ig_steps=steps)
    with pytest.raises(HCError, match="top=0"):
        path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", method="auto", top=0)


@pytest.mark.parametrize("n", [1, 2, 3, 20])
@pytest.mark.parametrize("method", ["exact", "attribution"])
def test_shards_join_to_the_whole(tiny_bert, tmp_path, n, method) -> None:
    pairs = make_pairs(5)
    whole = path_effects(tiny_bert, pairs, *MANY, method=method)
    parts = [path_effects(tiny_bert, pairs, *MANY, method=method, shard=f"{i}/{n}") for i in range(1, n + 1)]
    parts = [PathEffects.load(part.save(tmp_path / f"{i}.json")) for i, part in enumerate(parts)]
    joined = PathEffects.join(parts[::-1])
    assert joined.rows == whole.rows
    assert joined.methods == whole.methods
    assert joined.part == ()
    torch.testing.assert_close(joined.effects, whole.effects, atol=1e-12, rtol=0)
    for name in ("node", "explained", "extent"):
        torch.testing.assert_close(getattr(joined, name), getattr(whole, name), atol=1e-12, rtol=0, equal_nan=True)
    if n > 1:
        for wrong in (parts[1:], [*parts, parts[0]]):
            with pytest.raises(ResultError, match="Give every shard once"):
                PathEffects.join(wrong)


def test_what_is_no_shard(tiny_bert) -> None:
    for shard in ("0/2", "3/2", "1", "a/b", "1/0"):
        with pytest.raises(HCError, match="expected 'i/N'"):
            path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", shard=shard)
    with pytest.raises(HCError, match="Use at most 1 shards"):
        path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", shard="1/2")
    one, other = (
        path_effects(tiny_bert, make_pairs(5, seed=s), ["L0H1", "L0H2"], "L2H1", shard=f"{s + 1}/2") for s in (0, 1)
    )
    with pytest.raises(ResultError, match="not shards of one sweep"):
        PathEffects.join([one, other])
    with pytest.raises(ResultError, match="0 are shards"):
        PathEffects.join([path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1")])


def test_an_interrupted_sweep_goes_on_where_it_stopped(tiny_bert, tmp_path, monkeypatch) -> None:
    pairs = make_pairs(7)
    args = (tiny_bert, pairs, list(tiny_bert.components), ["L2H1", "L2MLP", "output"])
    whole = path_effects(*args)
    written, put = [], BlockStore.put

    def interrupted(self, name, block):
        if len(written) == 2:
            raise KeyboardInterrupt
        put(self, name, block)
        written.append(name)

    with monkeypatch.context() as patch:
        patch.setattr(BlockStore, "put", interrupted)
        with pytest.raises(KeyboardInterrupt):
            path_effects(*args, resume=tmp_path)
    assert len(list(tmp_path.glob("block-*.json"))) == 2
    measured, make = [], SweepBench.make
    monkeypatch.setattr(SweepBench, "make", lambda self, key, *rest: measured.append(key) or make(self, key, *rest))
    resumed = path_effects(*args, resume=tmp_path)
    n_blocks = len(list(tmp_path.glob("block-*.json")))
    assert len(measured) == n_blocks - 2 > 0
    for name in ("effects", "node", "explained", "extent", "total"):
        assert torch.equal(torch.nan_to_num(getattr(resumed, name)), torch.nan_to_num(getattr(whole, name)))
    measured.clear()
    path_effects(*args, resume=tmp_path)
    assert measured == []


def test_a_sweep_does_not_go_on_from_another(tiny_bert, tmp_path) -> None:
    pairs = make_pairs(5)
    path_effects(tiny_bert, pairs, "L0H1", "L2H1", resume=tmp_path)
    others = {
        "route": "all",
        "metric": "prob_diff",
        "interventions": Ablate("L0H2", 0),
        "corruption": 0,
        "batch_size": 2,
    }
    for options in ({name: value} for name, value in others.items()):
        with pytest.raises(ResultError, match="another model, pairs, paths or settings"):
            path_effects(tiny_bert, pairs, "L0H1", "L2H1", resume=tmp_path, **options)
    with pytest.raises(ResultError, match="another model, pairs, paths or settings"):
        path_effects(tiny_bert, pairs.rows([1, 0, 2, 3, 4]), "L0H1", "L2H1", resume=tmp_path)
    next(tmp_path.glob("block-*.json")).write_text("{")
    with pytest.raises(ResultError, match="is not a saved Block"):
        path_effects(tiny_bert, pairs, "L0H1", "L2H1", resume=tmp_path)


def test_a_folder_that_cannot_hold_blocks_is_refused_before_any_is_measured(tiny_bert, tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(SweepBench, "make", lambda *_: pytest.fail("a block was measured"))
    with pytest.raises(HCError, match=r"cannot keep finished blocks.*a folder that you may write to"):
        path_effects(tiny_bert, make_pairs(5), "L0H1", "L2H1", resume=tmp_path / "file" / "below")
