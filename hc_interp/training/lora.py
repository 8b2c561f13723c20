"""LoRA (Hu et al. 2021, arXiv 2106.09685): a low-rank update of each projection is trained in place of its weight."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Tensor, nn

from hc_interp.errors import ModelError, TrainingError
from hc_interp.models.checkpoints import ADAPTED
from hc_interp.models.geometry import Geometry

_KEYS = ("r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules")  # of peft's LoraConfig


@dataclass(frozen=True)
class LoraSettings:
    """The rank and the factor of the updates, and the dotted paths of the adapted projections.

    The update of a weight is `scaling B A` with B `[out, rank]` and A `[rank, in]`. `head` are the parameters after the
    trunk, which are trained whole, as no update of rank 16 makes a classifier. A language model has none.
    """

    rank: int
    scaling: float
    alpha: float
    dropout: float
    rank_stabilised: bool
    targets: tuple[str, ...]
    head: tuple[str, ...]

    @classmethod
    def of(cls, lora: Any, geometry: Geometry) -> Self | None:
        """The settings that a user gave: None, a rank, or the fields of peft's `LoraConfig` (or such an object).

        Defaults are alpha = 2 rank, no dropout, and all projections of attention and MLPs. Raises `TrainingError` for
        other fields, for values without meaning, and for targets that the model lacks; `ModelError` without peft.
        """
        if lora is None:
            return None
        fields = _fields(lora)
        rank, alpha = fields["r"], fields.get("lora_alpha")
        alpha = 2 * rank if alpha is None else alpha
        dropout, stabilised = fields.get("lora_dropout") or 0.0, bool(fields.get("use_rslora"))
        targets = _targets(geometry, fields.get("target_modules"))
        head = () if geometry.family.readout == "vocabulary" else _outside_trunk(geometry)
        return cls(rank, alpha / (rank**0.5 if stabilised else rank), alpha, dropout, stabilised, targets, head)

    def record(self) -> dict[str, Any]:
        """The settings in a card."""
        return asdict(self)

    def inject(self, module: nn.Module, seed: int) -> None:
        """Add the adapters to a module, in place. A is random by `seed` and B is 0, so that nothing changes yet."""
        import peft

        torch.manual_seed(seed)
        transposed = not all(isinstance(module.get_submodule(path), nn.Linear) for path in self.targets)
        # peft annotates lora_alpha as a whole number and takes any.
        fields: dict[str, Any] = {"r": self.rank, "lora_alpha": self.alpha, "lora_dropout": self.dropout}
        fields |= {"use_rslora": self.rank_stabilised, "target_modules": list(self.targets)}
        peft.inject_adapter_in_model(peft.LoraConfig(**fields, fan_in_fan_out=transposed), module)

    def choose_trained(self, module: nn.Module) -> None:
        """Let only the adapters and the head record gradients."""
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(".lora_" in name or name in self.head)

    def tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """The adapters and the head under the names that peft gives them in `adapter_model.safetensors`."""
        return {
            ADAPTED + name.replace(".default.", "."): parameter.detach()
            for name, parameter in module.named_parameters()
            if ".lora_" in name or name in self.head
        }


def _fields(lora: Any) -> dict[str, Any]:
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            f"lora={lora!r} was given, but peft is not installed. Install it: pip install 'hc-interp[lora]'."
        ) from error
    if isinstance(lora, Integral) and not isinstance(lora, bool):
        lora = {"r": int(lora)}
    elif isinstance(lora, peft.LoraConfig):
        plain = peft.LoraConfig().to_dict()
        lora = {name: value for name, value in lora.to_dict().items() if value != plain.get(name) or name == "r"}
        lora.pop("task_type", None)  # says which class to load, not how to train
    if not isinstance(lora, Mapping) or (unknown := [name for name in lora if name not in _KEYS]):
        named = f" with {unknown[0]}={lora[unknown[0]]!r}" if isinstance(lora, Mapping) else ""
        raise TrainingError(
            f"lora={lora!r} was given{named}. Expected a rank, like lora=16, or some of {', '.join(_KEYS)}."
        )
    lora = {name: value for name, value in lora.items() if value is not None}
    rank, dropout, alpha = lora.get("r"), lora.get("lora_dropout", 0), lora.get("lora_alpha", 1)
    if isinstance(rank, bool) or not isinstance(rank, Integral) or rank < 1:
        raise TrainingError(f"lora was given with rank r={rank!r}. Expected a whole number from 1, like 16.")
    if (
        not isinstance(dropout, Real)
        or not 0 <= float(dropout) < 1
        or not isinstance(alpha, Real)
        or not float(alpha) > 0
    ):
        raise TrainingError(
            f"lora was given with lora_alpha={alpha!r} and lora_dropout={dropout!r}. Expected a positive number, and "
            "one from 0 up to but without 1."
        )
    return dict(lora)


def _targets(geometry: Geometry, names: Any) -> tuple[str, ...]:
    """The paths of the projections that are adapted. As in peft, a name means every path that ends with it."""
    layers = range(geometry.n_layers)
    if names is None:
        attention = (geometry.path(name, layer) for layer in layers for name in "qkvo")
        mlps = (path for layer in layers for path in geometry.mlp_projections(layer))
        return tuple(dict.fromkeys([*attention, *mlps]))  # a joint projection is the path of q, k and v
    names = [names] if isinstance(names, str) else list(names)
    trunk = f"{geometry.family.trunk}."
    paths = [
        path
        for path, part in geometry.module.named_modules()
        if path.startswith(trunk) and (isinstance(part, nn.Linear) or type(part).__name__ == "Conv1D")
    ]
    matches = {name: [path for path in paths if path == name or path.endswith(f".{name}")] for name in names}
    if missing := [name for name in names if not matches[name]] or not names:
        raise TrainingError(
            f"lora names target_modules={names!r}, of which {missing!r} is no projection of the model's trunk. "
            f"Expected the ends of paths like {paths[0]} or {paths[-1]}."
        )
    return tuple(dict.fromkeys(path for name in names for path in matches[name]))


def _outside_trunk(geometry: Geometry) -> tuple[str, ...]:
    trunk = f"{geometry.family.trunk}."
    return tuple(name for name, _ in geometry.module.named_parameters() if not name.startswith(trunk))
