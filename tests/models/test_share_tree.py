"""`share_tree` is a deep copy of the module tree over the same parameters and buffers."""

import copy
from collections import OrderedDict

import pytest
import torch
from tiny import FAMILIES, tiny_module

from hc_interp.models.transformer_lens_backend import share_tree

TABLES = (dict, OrderedDict, set)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_it_is_a_deep_copy_but_for_the_tensors(family) -> None:
    module = tiny_module(family).train()
    plain, shared = copy.deepcopy(module).eval(), share_tree(module)
    assert not shared.training
    assert module.training
    for original, expected, part in zip(module.modules(), plain.modules(), shared.modules(), strict=True):
        assert type(part) is type(expected)
        assert list(vars(part)) == list(vars(expected))
        assert part is not original
        for name, value in vars(part).items():
            assert type(value) is type(vars(expected)[name])
            if type(value) in TABLES:
                assert value is not vars(original)[name], name
                assert len(value) == len(vars(expected)[name])
    tensors = zip([*module.parameters(), *module.buffers()], [*shared.parameters(), *shared.buffers()], strict=True)
    assert all(one is other for one, other in tensors)
    assert shared.config is not module.config


def test_hooks_and_parts_of_the_copy_are_its_own() -> None:
    module = tiny_module("bert")
    shared = share_tree(module)
    shared.classifier.register_forward_hook(lambda *_: None)
    shared.classifier.more = torch.nn.Linear(2, 2)
    shared.classifier.register_buffer("table", torch.zeros(2), persistent=False)
    assert not module.classifier._forward_hooks
    assert not module.classifier._modules
    assert not module.classifier._buffers
    assert not module.classifier._non_persistent_buffers_set
    assert not share_tree(module).classifier._forward_hooks
