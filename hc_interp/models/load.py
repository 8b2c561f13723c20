"""`hc.load`: a zoo model, a folder, a hub id or a live module as a validated `HookedModel`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from hc_interp.errors import HCError, ModelError, in_one_line
from hc_interp.models.adapter import Adapter
from hc_interp.models.checkpoints import Checkpoint
from hc_interp.models.config import read_config, settle_config
from hc_interp.models.families import FAMILIES, family_of, unsupported
from hc_interp.models.families.family import Family
from hc_interp.models.foreign_hooks import copy_without_hooks
from hc_interp.models.hooked import HookedModel
from hc_interp.models.live import check_parts, merged, refuse_wrapped
from hc_interp.models.names import folder_or_hub_id
from hc_interp.models.on_base import on_base
from hc_interp.models.precision import dtype_named
from hc_interp.models.quiet import no_bars_of_transformers
from hc_interp.models.read_at import ReadAt
from hc_interp.models.tokenizer import given_tokenizer, read_tokenizer, with_padding
from hc_interp.models.validate import validate
from hc_interp.models.weight_files import check_weight_files
from hc_interp.models.zoo import load_zoo, whole_folder
from hc_interp.models.zoo_cards import WHOLE
from hc_interp.torch_modes import own_torch_modes

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

# The name of a layer's weight. Excepted are buffers that old versions of transformers stored, and new ones compute.
_IN_A_LAYER = re.compile(r".*\.(layers?|h)\.\d+\.(?!.*rotary_emb\.inv_freq$)(?!attn\.(masked_)?bias$).*")
Loaded = tuple[nn.Module, Any, str]  # module, tokenizer, name


@own_torch_modes
def load(
    source: str | Path | nn.Module,
    *,
    tokenizer: "PreTrainedTokenizerBase | Tokenizer | str | Path | None" = None,
    labels: Sequence[str] | None = None,
    backend: str | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    foreign_hooks: Literal["refuse", "strip"] = "refuse",
    family: Family | None = None,
    read_at: ReadAt | None = None,
) -> HookedModel:
    """Load a sequence classifier, a token classifier or a language model and wrap a copy of it.

    `source` is a model of the zoo (`"zoo:minilm-nli"`, a BERT of 6 layers x 12 heads, fine-tuned on NLI; `hc-interp
    models` lists all), a folder that `save_pretrained` wrote, a hub id, or a live module. "FOLDER@STEP" is one
    checkpoint of a series that `hc.finetune` wrote, "zoo:NAME@STEP" one of a series of the zoo. Adapters of peft
    (LoRA), in a folder or in a live model, are merged into their base, in a copy; this needs `hc-interp[lora]`.
    `tokenizer` replaces the checkpoint's own. It is a tokenizer of transformers or `tokenizers`, or the folder or hub
    id of one.

    `labels` names a classifier's classes in logit order, if the checkpoint does not. A classifier on a decoder is read
    where its module reads it: at the last token that is not the `pad_token_id` of its config. For a language model
    `labels` are words of one token each, like `[" yes", " no"]`. Its logits `[batch, class]` are then the logits of
    these words at each row's last position without padding, or in a masked model at the row's first mask token if it
    has one. Without `labels` the logits of a language model are `[batch, pos, vocab]`.

    A token classifier has classes at every token. `read_at` says which token is the answer: a position counted from 0,
    or from -1, which is a row's last token, or a function that gives `[batch]` positions from 0 of an `hc.Batch`. The
    function is called with every batch that is run, also with some of the rows, so a row's position must depend on that
    row alone. A checkpoint of a series that was trained with a position is read there again.
    `backend` runs the passes: "transformer_lens" or "nnsight", with the same numbers. The default is TransformerLens,
    or nnsight for a family of which TransformerLens has no adapter. Such a model has no `.bridge`.

    A live module may have foreign hooks: forward and backward hooks, a replaced `forward`, parametrizations, pruning
    masks. They are refused. `foreign_hooks="strip"` removes hooks from the wrapped copy, keeps the present values of
    parametrized weights, and gives an `HCWarning`. Hooks of accelerate's device maps are kept.

    Weights are read only from safetensors in the checkpoint's own folder, and no remote code is run. The default device
    is CUDA if there is one; a live module stays on its device. `dtype` is a floating type of torch or its name. Without
    it, weights keep the type that the config names, which may be half precision: `repr(model)` and every result name
    the type. Before the wrapper is returned, it is compared with the unwrapped module at every site.

    `family` says where the parts of a module are whose class hc_interp does not know, or knows otherwise. The
    comparison then proves it: a family that does not fit is refused with the first site that is off.

    Raises `ModelError` for a source that cannot be wrapped and for a `read_at` that does not fit it, and `LabelError`
    for labels that are not named.
    """
    if family is not None and not isinstance(family, Family):
        raise ModelError(
            f"family={family!r} was given. Expected an hc.Family, which says where the parts of a module are."
        )
    precision = dtype_named(dtype)
    tokenizer = given_tokenizer(tokenizer)
    if isinstance(source, nn.Module):
        plain = merged(source, type(source).__name__, foreign_hooks)
        name = type(plain).__name__
        refuse_wrapped(plain, name, family)
        module = copy_without_hooks(plain, name, foreign_hooks)
        family = family or family_of(module, name)
        settle_config(module.config, family, name)
        check_parts(module, name, family)
    else:
        module, tokenizer, name, checkpoint = _from_name_or_step(source, tokenizer, precision, family)
        if checkpoint is not None:
            labels = checkpoint.labels if labels is None else labels
            read_at = checkpoint.read_at if read_at is None else read_at
        if family is not None:
            check_parts(module, name, family)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    module = _moved(module, device, precision, name)
    _check_weights(module, name)
    tokenizer = with_padding(tokenizer, module.config.pad_token_id)
    model = HookedModel(module, tokenizer, labels=labels, backend=backend, name=name, family=family, read_at=read_at)
    validate(model)
    return model


def _from_name_or_step(
    source: Any, tokenizer: Any, dtype: torch.dtype | None, family: Family | None
) -> tuple[nn.Module, Any, str, Checkpoint | None]:
    """Load the model of a name or of a step of a series, which is returned too.

    A series' weights are put together in the type in which they were trained, and converted to `dtype` after that.
    """
    checkpoint = Checkpoint.named(source)
    if checkpoint is None:
        return *_from_name(source, tokenizer, dtype, family=family), None
    series = checkpoint.series
    if series.base is not None:
        module, own, undefined = on_base(series.start, series.base)
        tokenizer = own if tokenizer is None else tokenizer
        checkpoint.load_into(module, undefined)
    else:
        with no_bars_of_transformers():
            module, tokenizer, _ = _from_name(series.start, tokenizer, series.dtype, family=family)
        checkpoint.load_into(module)
    return module, tokenizer, checkpoint.name, checkpoint


def _from_name(
    source: Any,
    tokenizer: Any,
    dtype: torch.dtype | None,
    adapter: Adapter | None = None,
    family: Family | None = None,
) -> Loaded:
    """Load a zoo model, a folder or a hub id, as the base of `adapter` if there is one, or as one of `family`.

    `tokenizer`, unless it is None, replaces the checkpoint's own.
    """
    if isinstance(source, str) and (name := source.removeprefix("zoo:")) != source and name in WHOLE:
        folder = str(whole_folder(name))
        return *_from_pretrained(folder, tokenizer, dtype, adapter, family, local=True), source
    if isinstance(source, str) and source.startswith("zoo:"):
        module, zoo_tokenizer = load_zoo(source.removeprefix("zoo:"))
        return module, zoo_tokenizer if tokenizer is None else tokenizer, source
    folder_or_id, local = folder_or_hub_id(source)
    name = Path(folder_or_id).resolve().name if local else folder_or_id
    return *_from_pretrained(folder_or_id, tokenizer, dtype, adapter, family, local=local), name


def _from_pretrained(
    source: str,
    tokenizer: Any,
    dtype: torch.dtype | None,
    adapter: Adapter | None,
    family: Family | None,
    *,
    local: bool,
) -> tuple[nn.Module, Any]:
    import transformers

    mend = (
        "Check that the folder holds a whole config.json, model.safetensors (safetensors only: pickled weights are "
        "refused) and tokenizer files, as save_pretrained writes them."
        if local
        else "There is no folder of this name, so it was looked for on the hub. Check the spelling, your "
        "connection and access, or download it and pass the folder."
    )
    with _reading(source, mend):
        if (inner := Adapter.find(source, local=local)) is not None:
            if family is not None:
                raise ModelError(
                    f"{source} is an adapter, and family= was given. Expected a whole model. Merge the adapter first: "
                    "model.merge_and_unload().save_pretrained(folder)."
                )
            return _merged(inner, source, tokenizer, dtype, adapter, local=local)
        config = read_config(source, local=local, dtype=dtype)
        if adapter is not None:
            architecture = adapter.architecture(config, source)
        else:
            known = FAMILIES if family is None else dir(transformers)
            architecture = next((name for name in config.architectures or () if name in known), None)
        if architecture is None:
            raise ModelError(_without_class(config, source))
        family = family or FAMILIES[architecture]
        settle_config(config, family, source)
        n_labels = None if adapter is None else adapter.n_labels(family)
        if n_labels not in (None, config.num_labels):
            config.num_labels = n_labels
        check_weight_files(source, config, local=local)
        module, info = getattr(transformers, architecture).from_pretrained(
            source,
            config=config,
            local_files_only=local,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype or "auto",
            ignore_mismatched_sizes=True,  # `_check_loaded` refuses them with their names
            output_loading_info=True,
        )
    _check_loaded(info, adapter, source, architecture)
    return module, read_tokenizer(source, local=local, config=config) if tokenizer is None else tokenizer


def _check_loaded(info: dict[str, Any], adapter: Adapter | None, source: str, architecture: str) -> None:
    """Raise `ModelError` unless each weight of the module was read or `adapter` replaces it."""
    missing, differ = info["missing_keys"], info["mismatched_keys"]
    if adapter is not None:
        missing = {key for key in missing if not adapter.holds(key)}
        differ = {item for item in differ if not adapter.holds(item[0])}
    if missing:
        raise ModelError(
            f"{source} lacks {len(missing)} of the weights of {architecture} (first: {min(missing)}); they would be "
            "random. Load a checkpoint that was fine-tuned and saved with its classification head."
        )
    if differ:
        key, stored, expected = min(differ)
        raise ModelError(
            f"{source} holds {len(differ)} weights of another shape than its config.json says (first: {key} of shape "
            f"{tuple(stored)}, expected {tuple(expected)}). Restore the config.json that was saved with these "
            "weights; the number of classes is that of the names in id2label."
        )
    if ignored := sorted(key for key in info["unexpected_keys"] if _IN_A_LAYER.fullmatch(key)):
        raise ModelError(
            f"{source} holds {len(ignored)} weights of layers that its config.json does not have (first: "
            f"{ignored[0]}); they would be left out. Restore the config.json that was saved with these weights."
        )


def _merged(
    adapter: Adapter, source: str, tokenizer: Any, dtype: torch.dtype | None, outer: Adapter | None, *, local: bool
) -> tuple[nn.Module, Any]:
    """Load the base of an adapter and merge the adapter into it. The adapter's tokenizer replaces the base's."""
    if outer is not None:
        raise ModelError(
            f"{outer.folder} is an adapter on {source}, which is an adapter itself. Expected a whole model as its "
            "base. Merge the inner one first: model.merge_and_unload().save_pretrained(folder)."
        )
    if tokenizer is None and adapter.has_tokenizer:
        tokenizer = read_tokenizer(source, local=local)
    base, tokenizer, _ = _from_name(adapter.base, tokenizer, dtype, adapter)
    module = adapter.merge(base)
    check_parts(module, source, family_of(module, source))
    return module, tokenizer


@contextmanager
def _reading(source: str, mend: str) -> Iterator[None]:
    """Turn every error but the package's own into a `ModelError`: on a broken file other code fails in any way."""
    try:
        yield
    except HCError:
        raise
    except Exception as error:
        raise ModelError(f"{source} could not be loaded ({in_one_line(error)}). {mend}") from error


def _without_class(config: Any, source: str) -> str:
    import transformers

    held = unsupported(
        f"{source} holds {config.architectures or 'no named architecture'}",
        next(iter(config.architectures or ()), None),
    )
    fitting = [name for name in FAMILIES if isinstance(config, getattr(transformers, name).config_class)]
    if config.architectures or not fitting:
        return held
    return f'{held} Name the class that was saved in config.json, like "architectures": ["{fitting[0]}"].'


def _moved(module: Any, device: Any, dtype: torch.dtype | None, name: str) -> Any:
    """The module on `device` and in `dtype`, unless they are None."""
    try:
        # A module whose weights have the type is not converted: transformers keeps some of its buffers in float32.
        same = all(tensor.dtype == dtype for tensor in module.parameters())
        moved = module.to(device=device, dtype=None if same else dtype)
    except (RuntimeError, AssertionError, TypeError) as error:  # no such device, or torch was built without it
        reason = in_one_line(error)
    else:
        reason = "it holds no values" if any(tensor.is_meta for tensor in moved.parameters()) else ""
        if not reason:
            return moved
    raise ModelError(
        f"{name} cannot be moved to device={device!r} ({reason}). Use device='cpu', or one that torch sees."
    )


def _check_weights(module: nn.Module, name: str) -> None:
    for key, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"{name} has NaN or infinite values in its weights (first in {key}). {_why_not_finite(tensor.dtype)}"
            )


def _why_not_finite(dtype: torch.dtype) -> str:
    damaged = "The training that made it diverged or the file is damaged: take another checkpoint."
    if dtype != torch.float16:
        return damaged
    return (
        f"Numbers above 65,504 do not fit into float16: try hc.load(..., dtype='float32'), --dtype float32. {damaged}"
    )
