"""Every family x every way to patch paths x nothing, an edit that changes nothing, and an ablation.

An edit is served by the general engine, an ablation by the fast one where it serves the family: both must be there for
whatever is asked.
"""

import numpy as np
import pytest
import torch
from path_pairs import make_pairs
from texts import word_tokenizer
from tiny import FAMILIES, LABELS, LANGUAGE_MODELS, WINDOWED, tiny_batch, tiny_module

import hc_interp as hc
from hc_interp.models.load import load

CORE, READERS = [hc.Head(0, 0)], [hc.Head(2, 0)]
DATA = tiny_batch(24, length=6, seed=3)
FEATURE = np.tile([0.0, 1.0], 12)

INTERVENTIONS = {
    "nothing": (),
    "a neutral edit": (hc.Edit(hc.Site(1, "resid_pre"), lambda value: value.clone()),),
    "an ablation": (hc.Ablate("L0H2", 0),),
}


def path_effects(model, interventions):
    return hc.path_effects(model, make_pairs(2), CORE, READERS, "each", interventions=interventions).effects


def reads_from(model, interventions):
    verdict = hc.reads_from(
        model, make_pairs(2), core=CORE, generalizing=READERS, n_permutations=1, n_size_controls=1,
        routes=("all", "direct"), interventions=interventions,
    )  # fmt: skip
    record = verdict.records["given"].directions["as_is"]
    return torch.from_numpy(np.stack([*record.effects.values(), record.node, record.total]))


def probe_paths(model, interventions):
    result = hc.probe_paths(
        model, DATA, READERS, FEATURE, senders=CORE, source=0, inputs=("v",), max_tokens=60, n_random=1,
        n_folds=3, sources=range(24), interventions=interventions,
    )  # fmt: skip
    return torch.from_numpy(np.concatenate([result.cut, result.random[0]])).double()


WAYS = {function.__name__: function for function in (path_effects, reads_from, probe_paths)}


@pytest.fixture(scope="module", params=[*FAMILIES, *WINDOWED, *LANGUAGE_MODELS])
def wrapped(request):
    """A classifier, or a language model that is read at three words."""
    if request.param in LANGUAGE_MODELS:
        words = ["yes", "no", "maybe"]
        return load(tiny_module(request.param), tokenizer=word_tokenizer([" ".join(words)]), labels=words)
    return load(tiny_module(request.param), labels=LABELS)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_patch_paths_is_there_under_every_intervention(wrapped, way) -> None:
    result = {name: WAYS[way](wrapped, given) for name, given in INTERVENTIONS.items()}
    assert all(torch.isfinite(values).all() for values in result.values())
    assert result["nothing"].abs().max() > 1e-3
    torch.testing.assert_close(result["a neutral edit"], result["nothing"], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(result["an ablation"], result["nothing"], atol=1e-5)
