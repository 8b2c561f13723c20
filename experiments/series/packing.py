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

import hc_interp as hc
from hc_interp.checksum import write_checked
from hc_interp.models.bases import Base
from hc_interp.models.checkpoints import ADAPTED, SERIES_FORMAT, START
from hc_interp.models.hashed_files import sha256_of
from hc_interp.models.zoo_cards import CARD

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
RIDGE = 1e-4  # of the mean second moment, so that the moments have a root
StateDict = dict[str, Tensor]


def read_peft(folder: Path) -> tuple[StateDict, float]:
    """The tensors of an adapter's folder under peft's names, and the scaling of its updates."""
    config = json.loads((folder / "adapter_config.json").read_text())
    return load_file(folder / "adapter_model.safetensors"), config["lora_alpha"] / config["r"]


def lower_rank(
    adapter: Mapping[str, Tensor], scaling: float, rank: int, moments: Mapping[str, Tensor] | None = None
) -> StateDict:
    """The adapter with updates of this rank and scaling 1, in float16, and the head whole under the module's own names.

    Of all updates of this rank, each is the one that changes the outputs least for inputs with the second moments
    `moments[path]` `[in, in]` (`input_moments`); without them, the nearest in the Frobenius norm.
    """
    packed: StateDict = {}
    for name, value in adapter.items():
        if name.endswith(DOWN):
            path = name.removesuffix(DOWN)
            down, up = value.double(), scaling * adapter[path + UP].double()
            seen = None if moments is None else moments[path.removeprefix(ADAPTED)]
            packed |= dict(zip((path + DOWN, path + UP), _truncated(down, up, rank, seen), strict=True))
        elif not name.endswith(UP):
            packed[name.removeprefix(ADAPTED)] = value
    return {name: value.half().contiguous() for name, value in packed.items()}


def _truncated(down: Tensor, up: Tensor, rank: int, moments: Tensor | None) -> tuple[Tensor, Tensor]:
    """Factors `[rank, in]` and `[out, rank]`: `up @ down` projected onto its largest outputs' directions."""
    if moments is not None:
        small = RIDGE * moments.trace() / len(moments) * torch.eye(len(moments), dtype=moments.dtype)
        root = torch.linalg.cholesky(moments + small)
    q_up, r_up = torch.linalg.qr(up)
    u, _, _ = torch.linalg.svd(r_up @ (down if moments is None else down @ root), full_matrices=False)
    directions = q_up @ u[:, :rank]
    return directions.T @ up @ down, directions


def input_moments(model: hc.HookedModel, parts: Sequence[hc.Examples], paths: Sequence[str]) -> dict[str, Tensor]:
    """Sums of `x x^T` over the inputs x of the projections at `paths`, at all tokens that are no padding."""
    found: dict[str, Tensor] = {}
    hooks, real = [], torch.zeros(0, dtype=torch.bool)

    def adds(path: str) -> Any:
        def hook(module: Any, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0][real].double()
            found[path] = found.get(path, 0) + x.T @ x

        return hook

    module = model.module
    try:
        hooks = [module.get_submodule(path).register_forward_pre_hook(adds(path)) for path in paths]
        with torch.no_grad():
            for part in parts:
                batch = model.tokenize(part)
                real = batch.attention_mask.bool()
                module(input_ids=batch.input_ids, attention_mask=batch.attention_mask)
    finally:
        for hook in hooks:
            hook.remove()
    return found


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
