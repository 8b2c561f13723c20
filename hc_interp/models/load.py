"""`hc.load`: a checkpoint by name, folder, hub id or live module, as a validated `HookedModel`."""

import copy
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.families import FAMILIES, family_of, unsupported
from hc_interp.models.foreign_hooks import copy_without_hooks
from hc_interp.models.hooked import HookedModel
from hc_interp.models.precision import dtype_named
from hc_interp.models.validate import validate
from hc_interp.models.weight_files import check_weight_files
from hc_interp.models.zoo import load_zoo
from hc_interp.torch_modes import own_torch_modes

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@own_torch_modes
def load(
    source: str | Path | nn.Module,
    *,
    tokenizer: Any = None,
    labels: Sequence[str] | None = None,
    backend: str = "transformer_lens",
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    foreign_hooks: Literal["refuse", "strip"] = "refuse",
) -> HookedModel:
    """Load a sequence classifier or a language model and wrap a copy of it.

    `source` is a model of the zoo (`"zoo:minilm-nli"`, a BERT of 6 layers x 12 heads, fine-tuned on NLI), a folder that
    `save_pretrained` wrote, a hub id, or a live module. `labels` names a classifier's classes in logit order where the
    checkpoint does not. For a language model `labels` are words of one token each, like `[" yes", " no"]`: its logits
    `[batch, class]` are then those words' at the last position that is no padding (in a masked model at the first mask
    token of a row that has one); without them its logits stay `[batch, pos, vocab]`. A classifier on a decoder is read
    where its module reads it: at the last token that is not its config's `pad_token_id`.

    A live module may carry foreign hooks: forward and backward hooks, a `forward` of its own, parametrizations, pruning
    masks. They are refused; `foreign_hooks="strip"` takes hooks off the wrapped copy, keeps parametrized weights as
    they are, and says so in an `HCWarning`. Hooks of accelerate's device maps stay.

    Weights are read from safetensors inside the checkpoint's own folder only; no remote code is run. The default device
    is CUDA if there is one (a live module stays where it is). `dtype` is a floating type of torch or its name. Without
    it weights stay in the type that their config names, which may be half precision: `repr(model)` and every result say
    which. Before it is returned the wrapper is compared with the unwrapped module at every site.

    Raises `ModelError` for what cannot be wrapped, `LabelError` for unnamed labels.
    """
    if isinstance(source, nn.Module):
        name = type(source).__name__
        module = copy_without_hooks(source, name, foreign_hooks)
    else:
        module, tokenizer, name = _from_name(source, tokenizer)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    family_of(module, name)  # raises for what cannot be wrapped
    precision = dtype_named(dtype)
    cast(Any, module.config).return_dict = True  # a checkpoint may ask for bare tuples, which have no named logits
    try:
        module = module.to(device=device, dtype=precision)
    except (RuntimeError, AssertionError) as error:  # no such device, or torch was built without it
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{name} cannot be moved to device={device!r} ({reason}). Use device='cpu', or one that torch sees."
        ) from error
    _check_weights(module, name)
    tokenizer = _with_padding(tokenizer)
    model = HookedModel(module, tokenizer, labels=labels, backend=backend, name=name)
    validate(model)
    return model


def _from_name(source: Any, tokenizer: Any) -> tuple[nn.Module, Any, str]:
    """Module, tokenizer (the given one, else the checkpoint's) and name of a zoo model, folder or hub id."""
    if isinstance(source, str) and source.startswith("zoo:"):
        module, found = load_zoo(source.removeprefix("zoo:"))
        return module, found if tokenizer is None else tokenizer, source
    if isinstance(source, str | Path) and Path(source).is_dir():
        return *_from_pretrained(str(source), tokenizer, local=True), Path(source).resolve().name
    if not isinstance(source, str) or Path(source).exists() or not _HUB_ID.fullmatch(source):
        raise ModelError(
            f"{source} is neither a folder, nor zoo:<name>, nor a hub id like 'user/model'. Pass the folder that "
            "save_pretrained wrote (it holds config.json and model.safetensors)."
        )
    return *_from_pretrained(source, tokenizer, local=False), source


def _from_pretrained(source: str, tokenizer: Any, *, local: bool) -> tuple[nn.Module, Any]:
    import transformers
    from safetensors import SafetensorError

    try:
        config = transformers.AutoConfig.from_pretrained(source, local_files_only=local, trust_remote_code=False)
        architecture = next((name for name in config.architectures or () if name in FAMILIES), None)
        if architecture is None:
            raise ModelError(unsupported(f"{source} holds {config.architectures or 'no named architecture'}"))
        check_weight_files(source, config, local=local)
        module, info = getattr(transformers, architecture).from_pretrained(
            source,
            config=config,
            local_files_only=local,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
        if tokenizer is None:
            found = transformers.AutoTokenizer.from_pretrained(source, local_files_only=local, trust_remote_code=False)
            # Where a checkpoint has no tokenizer, transformers makes one that knows special tokens and no words.
            tokenizer = found if len(found) > len(set(found.all_special_tokens)) else None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, json.JSONDecodeError) as error:
        mend = (
            "Check that the folder holds a whole config.json, model.safetensors (safetensors only: pickled weights are "
            "refused) and tokenizer files, as save_pretrained writes them."
            if local
            else "There is no folder of this name, so it was looked for on the hub. Check the spelling, your "
            "connection and access, or download it and pass the folder."
        )
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ModelError(f"{source} could not be loaded ({type(error).__name__}: {first_line}). {mend}") from error
    if missing := sorted(info["missing_keys"]):
        raise ModelError(
            f"{source} lacks {len(missing)} of the weights of {architecture} (first: {missing[0]}); they would be "
            "random. Load a checkpoint that was fine-tuned and saved with its classification head."
        )
    if ignored := sorted(key for key in info["unexpected_keys"] if re.search(r"\.layer\.\d+\.", key)):
        raise ModelError(
            f"{source} holds {len(ignored)} weights of layers that its config.json does not have (first: "
            f"{ignored[0]}); they would be left out. Restore the config.json that was saved with these weights."
        )
    return module, tokenizer


def _with_padding(tokenizer: Any) -> Any:
    """A tokenizer without a padding token, as GPT-2's, pads with its end token: padding is masked, so any will do."""
    if tokenizer is None or tokenizer.pad_token_id is not None or tokenizer.eos_token_id is None:
        return tokenizer
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _check_weights(module: nn.Module, name: str) -> None:
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{name} has NaN or infinite values in its weights (first in {key}). "
                "The training that made it diverged or the file is damaged: take another checkpoint."
            )
