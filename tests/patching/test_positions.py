"""Paths between components at roles equal the twin with plain hooks; all roles of a component together are it."""

from dataclasses import replace

import pytest
import torch
from path_pairs import GROUPS, make_pairs, pairs_with_roles
from tiny import LABELS, tiny_batch, tiny_module
from twin import Twin

from hc_interp.components import EMBED, MLP, OUTPUT, Head, component
from hc_interp.errors import ComponentError, DataError, HCWarning, InterventionError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate, Scale
from hc_interp.interventions.path_steps import ROUTES
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sites import Edit
from hc_interp.metrics import MetricRows, logit_diff
from hc_interp.models.load import load
from hc_interp.models.site import Site
from hc_interp.patching.effects import PathEffects
from hc_interp.patching.path_effects import path_effects

SENDERS = [Head(0, 1).at("a"), Head(1, 2).at("b"), MLP(0).at("a"), EMBED.at("b"), Head(0, 0)]
RECEIVERS = [Head(1, 0).at("b"), Head(2, 1).at("a"), MLP(1).at("a"), MLP(2).at("b"), Head(2, 0), OUTPUT]
NEUTRAL = Edit(Site(0, "z"), lambda value: value)  # changes nothing; only the general engine takes it
# Overlapping roles of one component, a whole one beside a role, an MLP in a receiving head's layer, later receivers.
GROUPS_OF_ENDS = [
    ("L0H0@a, L0H0@c, L1H1@b, L0MLP@c", "L1H0@a, L1H0@c, L2H2@b"),
    ("embed@a, embed@c, L0H1", "L1H1@b, L1MLP@a, L2H0, L2H0@c, L2MLP@c"),
    ("L0H2@c, L0H2", "L0MLP@b, L1H2@c"),
]


def twin_effect(model, pairs, senders, receivers, through, route, **more):
    """The effect of the path with plain hooks, the values of the clean run, and the receivers' new ones."""
    twin, rows = Twin(model.module), MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)
    clean_logits, clean = twin.run(pairs.clean, more.get("base_edits"))
    more["roles"] = pairs.clean.roles
    logits, new = twin.path(pairs.clean, pairs.corrupt, senders, receivers, through, route, **more)
    return logit_diff(logits, rows) - logit_diff(clean_logits, rows), clean, new


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fast", [True, False])
def test_paths_between_roles_equal_the_twin(any_model, route, fast) -> None:
    pairs, given = pairs_with_roles(3), [] if fast else [NEUTRAL]
    result = path_effects(any_model, pairs, SENDERS, RECEIVERS, route=route, interventions=given)
    assert (result.effects.abs().max(0).values > 1e-6).sum() > 12
    for sender in SENDERS:
        for receiver in RECEIVERS:
            expected, *_ = twin_effect(any_model, pairs, [sender], [receiver], "qkv", route)
            torch.testing.assert_close(result.per_example(sender, receiver), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("bert", 1e-10), ("gpt2", 1e-10), ("GPTJForSequenceClassification", 1e-6)],  # parallel blocks, float32 inside
)
@pytest.mark.parametrize("ends", GROUPS_OF_ENDS)
def test_joint_paths_node_effects_and_responses_equal_the_twin(name, tolerance, ends) -> None:
    model, pairs = load(tiny_module(name), labels=LABELS), pairs_with_roles(3)
    senders, receivers = ([component(part.strip()) for part in text.split(",")] for text in ends)
    twin, rows = Twin(model.module), MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)
    if twin.parallel and MLP(0) in [getattr(item, "whole", item) for item in receivers]:
        receivers = receivers[1:]  # of a parallel block no sender before it leads to the first MLP
    for route in ROUTES:
        expected, clean, new = twin_effect(model, pairs, senders, receivers, "kv", route)
        corrupt = twin.run(pairs.corrupt)[1]
        # The node effect: path patching of the definition with corrupt values instead of new ones.
        node = logit_diff(held(twin, pairs, receivers, corrupt), rows) - logit_diff(held(twin, pairs, [], clean), rows)
        explained = extent = torch.zeros(len(pairs), dtype=torch.float64)
        for item, value in new.items():
            change, full = (of(item, side) - of(item, clean) for side in ({item: value}, corrupt))
            seen = where(item, receivers, pairs)[:, :, None]
            explained, extent = explained + (change * full * seen).sum((1, 2)), extent + (full**2 * seen).sum((1, 2))
        for given in ([], [NEUTRAL]):
            options = {"route": route, "joint": True, "interventions": given}
            result = path_effects(model, pairs, senders, receivers, "kv", **options)
            expectations = {"effects": expected, "node": node, "explained": explained, "extent": extent}
            for key, value in expectations.items():
                torch.testing.assert_close(getattr(result, key)[:, 0], value, atol=tolerance, rtol=tolerance)


def of(item, values):
    """A component's value among those of a run by site, or of step 2 by component."""
    if item in values:
        return values[item]
    return values[item.layer, "z"][:, :, item.head] if isinstance(item, Head) else values[item.layer, "mlp_out"]


def where(item, ends, pairs):
    """The positions of all ends that are this component."""
    mask = torch.zeros_like(pairs.clean.input_ids, dtype=torch.bool)
    for end in ends:
        if getattr(end, "whole", end) == item:
            mask = mask | (pairs.clean.roles[end.role] if hasattr(end, "role") else pairs.clean.attention_mask.bool())
    return mask


def held(twin, pairs, receivers, values):
    """Logits of a clean run in which the receivers hold these values where they stand."""
    edits = {}
    for item in dict.fromkeys(getattr(end, "whole", end) for end in receivers):
        key, seen = (item.layer, "z" if isinstance(item, Head) else "mlp_out"), where(item, receivers, pairs)
        before = edits.get(key, lambda value: value)

        def hold(value, item=item, seen=seen[:, :, None], before=before):
            value = before(value).clone()
            if isinstance(item, Head):
                value[:, :, item.head] = torch.where(seen, of(item, values), value[:, :, item.head])
                return value
            return torch.where(seen, of(item, values), value)

        edits[key] = hold
    return twin.run(pairs.clean, edits)[0]


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_under_interventions_at_roles(name) -> None:
    model, pairs = load(tiny_module(name), labels=LABELS), pairs_with_roles(3)
    means = mean_activations(model, tiny_batch(5, seed=5))
    inside = [Ablate("L0H0@a, L1MLP@b", means), Scale("L1H1@b", 0.5)]
    roles = {key: mask[:, :, None] for key, mask in pairs.clean.roles.items()}

    def first(value):
        value = value.clone()
        value[:, :, 0] = torch.where(roles["a"], means.values["z"][0, 0], value[:, :, 0])
        return value

    def second(value):
        value = value.clone()
        value[:, :, 1] = torch.where(roles["b"], value[:, :, 1] * 0.5, value[:, :, 1])
        return value

    base = {(0, "z"): first, (1, "z"): second}
    base[1, "mlp_out"] = lambda value: torch.where(roles["b"], means.values["mlp_out"][1], value)
    senders, receivers = [Head(0, 0), Head(0, 1).at("a")], [Head(1, 1).at("b"), MLP(1), Head(2, 0).at("a")]
    for given in ([], [NEUTRAL]):
        result = path_effects(model, pairs, senders, receivers, route="all", interventions=[*given, *inside])
        for sender in senders:
            for receiver in receivers:
                expected, *_ = twin_effect(model, pairs, [sender], [receiver], "qkv", "all", base_edits=base)
                torch.testing.assert_close(result.per_example(sender, receiver), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize("method", ["exact", "attribution"])
def test_all_roles_of_a_component_together_are_the_component(any_model, method) -> None:
    pairs, options = pairs_with_roles(3), {"method": method}
    parts = [tuple(item.at(role) for role in ("a", "b", "c")) for item in (Head(0, 1), MLP(0), EMBED)]
    targets = [tuple(item.at(role) for role in ("a", "b", "c")) for item in (Head(1, 0), Head(2, 1), MLP(2))]
    placed = path_effects(any_model, pairs, parts, targets, **options)
    wholes = [item[0].whole for item in parts], [item[0].whole for item in targets]
    expected = path_effects(any_model, pairs, *wholes, **options)
    for key in ("effects",) if method == "attribution" else ("effects", "node", "explained", "extent"):
        torch.testing.assert_close(getattr(placed, key), getattr(expected, key), atol=1e-12, rtol=0)


def test_what_cannot_be_reached_is_exactly_0() -> None:
    pairs = pairs_with_roles(4)
    read = {"bert": lambda mask: mask & (torch.arange(mask.shape[1]) == 0), "gpt2": None}
    for name, first in read.items():
        model = load(tiny_module(name), labels=LABELS)
        mask = pairs.clean.attention_mask.bool()
        last = mask & (mask.cumsum(1) == mask.sum(1, keepdim=True))
        position = torch.arange(mask.shape[1]).expand_as(mask)
        roles = {"early": mask & (position < 2), "late": mask & (position >= 2) & ~last, "end": last}
        own = replace(pairs, clean=replace(pairs.clean, roles=roles))
        ends = "L0H1, L0MLP", "L1H0, L1MLP, L2H1, L2MLP"
        effects = path_effects(model, own, *ends, positions=[("early", "late"), ("late", "early"), ("early", "end")])
        frame = effects.to_frame()
        # An MLP reads its own position, and the last layer is read at one position.
        never = frame["receiver"].str.startswith("L1MLP") | frame["receiver"].str.startswith("L2MLP")
        read_role = "early" if first else "end"
        never |= frame["receiver"].str.startswith("L2") & (frame["receiver_role"] != read_role)
        if name == "gpt2":  # nothing reads what comes after it
            never |= (frame["sender_role"] == "late") & (frame["receiver_role"] == "early")
        # In the MLP of the read position nothing arrives either: it stands at another role than the sender.
        assert 0 < never.sum() < len(frame)
        assert bool((effects.effects[:, never.tolist()] == 0).all())
        assert bool((effects.effects[:, (~never).tolist()] != 0).any(0).all())


def test_other_positions_of_a_receiver_stay() -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(4)
    path = PatchPath("L0H1@a, L0H1@c", "L1H0@b", source=pairs, route="direct")
    sites = [Site(0, "z"), Site(1, "z")]
    before, after = (model.run(pairs.clean, given, capture=sites).captured for given in ([], [path]))
    assert torch.equal(before[sites[0]], after[sites[0]])
    changed = (before[sites[1]] != after[sites[1]]).any(-1)
    assert torch.equal(changed[:, :, 0], pairs.clean.roles["b"])
    assert not changed[:, :, 1:].any()


def test_the_intervention_equals_the_sweep() -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(4)
    rows = MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)
    for ends in GROUPS_OF_ENDS:
        path = PatchPath(*ends, through="qv", source=pairs, route="all")
        effect = logit_diff(model.logits(pairs.clean, path), rows) - logit_diff(model.logits(pairs.clean), rows)
        options = {"route": "all", "joint": True}
        result = path_effects(model, pairs, *(text.split(",") for text in ends), "qv", **options)
        torch.testing.assert_close(result.effects[:, 0], effect, atol=1e-12, rtol=0)


def test_a_sweep_by_roles_has_each_pair_of_roles(tmp_path) -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(4)
    result = path_effects(model, pairs, "L0H1, L0MLP", "L1H0, output", positions="roles")
    roles = ("last", "a", "b", "c")  # the model has no tokenizer, which would know more
    expected = {(f"{s}@{one}", f"L1H0@{two}") for s in ("L0H1", "L0MLP") for one in roles for two in roles}
    expected |= {(f"{s}@{one}", "output") for s in ("L0H1", "L0MLP") for one in roles}
    assert {row[:2] for row in result.rows} == expected
    assert len(result) == len(expected)
    for sender, receiver in expected:
        single = path_effects(model, pairs, sender, receiver)
        torch.testing.assert_close(result.per_example(sender, receiver), single.effects[:, 0], atol=1e-12, rtol=0)
    result.save(tmp_path / "roles.json")
    again = PathEffects.load(tmp_path / "roles.json")
    assert again.rows == result.rows
    frame = again.to_frame()
    assert set(frame["sender_role"]) == set(roles)
    assert set(frame["receiver_role"]) == {*roles, ""}
    assert "sender_role" not in path_effects(model, pairs, "L0H1", "L1H0").to_frame()
    named = path_effects(model, pairs, "L0H1", "L1H0", positions=["a", "b"])
    assert [row[:2] for row in named.rows] == [(f"L0H1@{s}", f"L1H0@{t}") for s in "ab" for t in "ab"]
    half = path_effects(model, pairs, "L0H1", "L1H0", positions=[("a", None)], joint=True)
    assert [row[:2] for row in half.rows] == [("L0H1@a", "L1H0")]


def test_shards_and_blocks_of_a_sweep_by_roles(tmp_path) -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(4)
    ends, options = ("L0H1, L0MLP", "L1H0"), {"positions": ["a", "b"]}
    whole = path_effects(model, pairs, *ends, **options)
    parts = [path_effects(model, pairs, *ends, shard=f"{i}/2", resume=tmp_path, **options) for i in (1, 2)]
    torch.testing.assert_close(PathEffects.join(parts).effects, whole.effects, atol=1e-12, rtol=0)


def test_roles_that_rows_lack() -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(4)
    roles = {**pairs.clean.roles, "some": pairs.clean.roles["a"].clone()}
    roles["some"][2] = False
    pairs = replace(pairs, clean=replace(pairs.clean, roles=roles))
    for given in ({"senders": "L0H1@some"}, {"receivers": "L1H0@some"}, {"positions": [("some", "a")]}):
        ends = {"senders": "L0H1", "receivers": "L1H0", **given}
        with pytest.raises(DataError, match="Row 'row-2' has no position of the role 'some'"):
            path_effects(model, pairs, **ends)
    with pytest.raises(DataError, match="Row 'row-2' has no position of the role 'some'"):
        path_effects(model, pairs, "L0H1", "L1H0", interventions=Ablate("L0H0@some", 0))
    with pytest.raises(DataError, match=r"no position of the role 'first_text'.*without a tokenizer"):
        path_effects(model, pairs, "L0H1@first_text", "L1H0")
    with pytest.warns(HCWarning, match="leaves out roles that only some pairs have: some, which row 'row-2' lacks"):
        result = path_effects(model, pairs, "L0H1", "L1H0", positions="roles")
    assert not any("some" in name for row in result.rows for name in row)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"positions": "role"}, InterventionError, "positions='role' was given. Expected 'roles'"),
        ({"positions": []}, InterventionError, "positions=\\[\\] was given"),
        ({"positions": [("a", "b", "c")]}, InterventionError, "pairs of the sender's and the receiver's role"),
        ({"positions": ["a b"]}, ComponentError, "'a b' names no role"),
        ({"positions": "roles", "senders": "L0H1@a"}, InterventionError, "L0H1@a stands at a role, and positions="),
        ({"receivers": "output@a"}, ComponentError, "output was given the role 'a'. Expected a head, an MLP or"),
        ({"senders": "output@a"}, ComponentError, "output was given the role 'a'"),
        ({"receivers": "embed@a"}, InterventionError, "embed cannot be a receiver"),
        ({"senders": "L9H0@a"}, ComponentError, "L9H0 is not a component"),
    ],
)
def test_what_has_no_meaning(given, error, message) -> None:
    model = load(tiny_module("bert"), labels=LABELS)
    with pytest.raises(error, match=message):
        path_effects(model, pairs_with_roles(2), **{"senders": "L0H1", "receivers": "L1H0", **given})


def test_a_receiver_that_a_path_holds_at_another_role_is_refused() -> None:
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(2)
    held_before = PatchPath("L0H0", "L1H0@a", source=pairs)
    for receiver in ("L1H0", "L1H0@b"):
        with pytest.raises(InterventionError, match=f"Two paths share the receiver {receiver}"):
            path_effects(model, pairs, "L0H1", receiver, interventions=held_before)


def test_the_corrupt_side_may_name_its_own_roles() -> None:
    """Interventions on the corrupt run stand where that side says; sides without roles have those of the clean one."""
    model, pairs = load(tiny_module("bert"), labels=LABELS), pairs_with_roles(3)
    swapped = {"a": pairs.clean.roles["b"], "b": pairs.clean.roles["a"], "c": pairs.clean.roles["c"]}
    own = replace(pairs, corrupt=replace(pairs.corrupt, roles=swapped))
    means = mean_activations(model, make_pairs(4, seed=3).clean)
    inside = Ablate("L0H0@a", means)
    one, other = (
        path_effects(model, part, "L0H0", "output", route="all", interventions=inside) for part in (pairs, own)
    )
    assert not torch.allclose(one.total, other.total)
    given = [Ablate("L0H0@b", means)]
    rows = MetricRows.labelled(torch.tensor(pairs.gold), GROUPS)
    corrupt = logit_diff(model.logits(replace(pairs.corrupt, roles=pairs.clean.roles), given), rows)
    clean = logit_diff(model.logits(pairs.clean, inside), rows)
    torch.testing.assert_close(other.total, corrupt - clean, atol=1e-12, rtol=0)
