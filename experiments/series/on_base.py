"""Packs checkpoints on a public base as a small series: `start/` has no weights, adapters a lower rank, in float16.

Used by the scripts of this folder. A series that `hc.finetune` wrote with `lora=` is packed as it is; adapters in
folders of peft are read by `read_peft`.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from hc_interp.checksum import write_checked
from hc_interp.models.bases import Base
from hc_interp.models.checkpoints import ADAPTED, CARD, SERIES_FORMAT, START
from hc_interp.models.hashed_files import sha256_of

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
StateDict = dict[str, Tensor]


def read_peft(folder: Path) -> tuple[StateDict, float]:
    """The tensors of an adapter's folder under peft's names, and the scaling of its updates."""
    config = json.loads((folder / "adapter_config.json").read_text())
    return load_file(folder / "adapter_model.safetensors"), config["lora_alpha"] / config["r"]


def lower_rank(adapter: Mapping[str, Tensor], scaling: float, rank: int) -> StateDict:
    """The adapter with the `rank` largest terms of each update and scaling 1, in float16; the head is kept whole.

    Names of the head are the module's own, as `hc.finetune` writes them.
    """
    packed: StateDict = {}
    for name, value in adapter.items():
        if name.endswith(DOWN):
            path = name.removesuffix(DOWN)
            packed[name], packed[path + UP] = _truncated(value.double(), scaling * adapter[path + UP].double(), rank)
        elif not name.endswith(UP):
            packed[name.removeprefix(ADAPTED)] = value
    return {name: value.half().contiguous() for name, value in packed.items()}


def _truncated(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors `[rank, in]` and `[out, rank]` of the best approximation of `up @ down`, with numbers of like size."""
    q_up, r_up = torch.linalg.qr(up)
    q_down, r_down = torch.linalg.qr(down.T)
    u, s, v = torch.linalg.svd(r_up @ r_down.T)
    root = s[:rank].sqrt()
    return root[:, None] * (v[:rank] @ q_down.T), (q_up @ u[:, :rank]) * root


def pack(
    out: Path, base: Base, config: Any, tokenizer: Any, labels: Sequence[str], checkpoints: Mapping[int, StateDict],
    **described: Any,
) -> dict[str, Any]:  # fmt: skip
    """Write the series to a new folder, and return its card, without metrics (`write_card` writes it again)."""
    shutil.rmtree(out, ignore_errors=True)
    start = out / START
    config.save_pretrained(start)
    tokenizer.save_pretrained(start)
    card = {
        "series": SERIES_FORMAT, "finished": True, "weights": "lora", "labels": list(labels), "dtype": "float32",
        "lora": {"scaling": 1.0}, **described, "metrics": [], "checkpoints": {},
        "start": {
            "name": config.architectures[0], "fingerprint": base["sha256"][:16], "base": dict(base),
            "files": {path.name: sha256_of(path) for path in sorted(start.iterdir())},
        },
    }  # fmt: skip
    for step, tensors in checkpoints.items():
        path = out / f"step-{step:07d}.safetensors"
        save_file(tensors, path, {"format": "pt"})
        card["checkpoints"][str(step)] = {
            "file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size,
        }  # fmt: skip
    write_card(out, card)
    return card


def write_card(out: Path, card: dict[str, Any]) -> None:
    write_checked(out / CARD, card)
