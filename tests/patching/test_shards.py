"""Blocks on disk are those of the rows that are asked for."""

import pytest
import torch

from hc_interp.errors import ResultError
from hc_interp.patching.shards import Block, BlockStore, block_name


def test_a_block_of_other_rows_is_not_taken_for_one_of_these(tmp_path) -> None:
    kept, arrays = BlockStore(tmp_path, "settings"), {"effects": torch.ones(3, 2)}
    kept.put(block_name(0, [4, 5]), Block((4, 5), arrays))
    block = kept.read(0, [4, 5])
    assert block is not None
    assert torch.equal(block.arrays["effects"], arrays["effects"])
    assert kept.read(1, [4, 5]) is None
    with pytest.raises(ResultError, match="another model, pairs, paths or settings"):
        kept.read(0, [4, 6])  # of other shards: the same batch and first row, so the same name
    with pytest.raises(ResultError, match="another model, pairs, paths or settings"):
        BlockStore(tmp_path, "others").read(0, [4, 5])
