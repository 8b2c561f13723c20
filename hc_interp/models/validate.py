"""Checks the wrapper once, when a model is loaded.

Each block and the logits must be the module's. Each site must have the value that its name says. An edit at a site must
change what is computed from that site.
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import HCError, ModelError, in_one_line
from hc_interp.models.attention_rule import attend
from hc_interp.models.families import FAMILIES
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Run
from hc_interp.models.precision import dtype_name
from hc_interp.models.site import Site

SHIFT = 1.0  # the largest number that the check adds at a site
_COARSE = (torch.bfloat16, torch.float16)


@torch.no_grad()
def validate(model: HookedModel) -> None:
    """Raise `ModelError` for a module that does not run by itself, and for a wrapper that disagrees with its module.

    The message for the latter names the site and the versions of the packages.
    """
    batch, readout = _probe_batch(model), model.readout
    _check_module(model, batch)
    if readout.read_at is not None:  # a rule for the user's texts, which random tokens need not fit
        model.readout = replace(readout, read_at=_last_tokens)
    try:
        _compare(model, batch)
    except HCError:
        raise
    except Exception as error:  # a tap of another shape, or one that is never reached, fails in any way
        where = _first_unreadable(model, batch)
        raise ModelError(_wrong(model, f"{where}, which cannot be read ({in_one_line(error)})")) from error
    finally:
        model.readout = readout


def _last_tokens(batch: Batch) -> Tensor:
    return batch.attention_mask.sum(1) - 1


def _check_module(model: HookedModel, batch: Batch) -> None:
    """Raise `ModelError` unless the module itself runs and gives numbers. Later errors are then the wrapper's."""
    try:
        logits = torch.cat([_plain_logits(model, part) for _, part in _parts(model, batch)])
    except Exception as error:  # foreign code
        raise ModelError(
            f"{model.name} ({type(model.module).__name__}) does not run by itself, unwrapped ({in_one_line(error)}). "
            f"Expected a module that takes {len(batch)} rows of {batch.input_ids.shape[1]} tokens. Mend it so that "
            "module(input_ids, attention_mask=...) runs, and load it then."
        ) from error
    if not bool(torch.isfinite(logits).all()):
        low = "Load it in float32: hc.load(..., dtype='float32'), --dtype float32."
        raise ModelError(
            f"{model.name} by itself, unwrapped, gives NaN or infinite logits in {dtype_name(model.dtype)}. "
            f"{low if model.dtype in _COARSE else 'Take another checkpoint.'}"
        )


def _all_sites(model: HookedModel) -> list[Site]:
    sites = [Site(layer, kind) for layer in range(model.n_layers) for kind in model.layer_kinds]
    return [Site.embed(), *sites, *([Site.pooled()] if model.readout.pooled else [])]


def _first_unreadable(model: HookedModel, batch: Batch) -> str:
    """The first site, in execution order, that cannot be read together with those before it."""
    sites = _all_sites(model)
    for n, site in enumerate(sites, start=1):
        try:
            model.run(batch, capture=sites[:n])
        except Exception:  # of any kind: the caller has it
            return str(site)
    return "a site after an edit"


def _compare(model: HookedModel, batch: Batch) -> None:
    sites = _all_sites(model)
    run = model.run(batch, capture=sites)
    _check_shapes(model, batch, run)
    _check_blocks(model, batch, run)
    _check_sites(model, batch, run, 0)
    # The sites are checked again with a ripple (numbers that differ at every entry) added at each of them but the
    # pattern, which no tap shows. If a backend ignores edits of a site, the values computed from it do not fit.
    edits = [SiteEdit(site, lambda value: value + _ripple(value, SHIFT)) for site in sites if site.kind != "pattern"]
    _check_sites(model, batch, model.run_edits(batch, edits, sites), SHIFT)


def _check_shapes(model: HookedModel, batch: Batch, run: Run) -> None:
    rows, n = batch.input_ids.shape
    by_head, copies = (rows, n, model.n_heads, model.d_head), (rows, n, model.n_heads, model.d_model)
    shapes: dict[str, tuple[int, ...]] = {}
    shapes |= dict.fromkeys(("q", "k", "v", "z"), by_head)
    shapes |= dict.fromkeys(("q_in", "k_in", "v_in", "result"), copies)
    shapes["pattern"] = (rows, model.n_heads, n, n)
    for site in _all_sites(model):
        expected = shapes.get(site.kind, (rows, n, model.d_model))
        if site != Site.pooled() and run.captured[site].shape != expected:
            raise ModelError(_wrong(model, f"{site}: shape {tuple(run.captured[site].shape)}, expected {expected}"))


def _check_blocks(model: HookedModel, batch: Batch, run: Run) -> None:
    """Check that each block, and the head, of the module computes from its input what the wrapper does.

    Each block of the module is given the wrapper's stream, so that they differ by the rounding of one block only. Over
    the whole depth the rounding of a coarse type grows until nothing can be compared.
    """
    streams = [run.captured[Site(layer, "resid_post")] for layer in range(model.n_layers)]
    logits = []
    for rows, part in _parts(model, batch):
        mask = part.attention_mask.bool()
        wrapped = [stream[rows, : mask.shape[1]] for stream in streams]
        with _streams_replaced(model, wrapped) as computed:
            logits.append(_plain_logits(model, part))
        for layer, (stream, plain) in enumerate(zip(wrapped, computed, strict=True)):
            _agree(model, f"L{layer}.resid_post", stream[mask], plain[mask])
    _check_logits(model, batch, run.logits, torch.cat(logits))


@contextmanager
def _streams_replaced(model: HookedModel, streams: list[Tensor]) -> Iterator[list[Tensor]]:
    """A context in which `streams[i]` replaces what the module computes for layer `i`. Yields that."""
    computed: list[Tensor] = []

    def replace(block: Any, inputs: Any, output: Any) -> Any:
        first, *rest = output if isinstance(output, tuple) else (output,)
        computed.append(first)
        stream = streams[len(computed) - 1]
        return (stream, *rest) if isinstance(output, tuple) else stream

    blocks = [model.own_geometry.part("block", layer) for layer in range(model.n_layers)]
    handles = [block.register_forward_hook(replace) for block in dict.fromkeys(blocks)]  # one may compute many layers
    try:
        yield computed
    finally:
        for handle in handles:
            handle.remove()


def _parts(model: HookedModel, batch: Batch) -> list[tuple[list[int], Batch]]:
    """The batches that the module itself is run on, with their rows.

    It is the whole batch, or single rows for a decoder's classifier without a padding token, which refuses batches.
    """
    if model.readout.kind == "last" and model.readout.pad_token is None:
        return [([row], batch.rows([row]).trim()) for row in range(len(batch))]
    return [(list(range(len(batch))), batch)]


def _plain_logits(model: HookedModel, batch: Batch) -> Tensor:
    return model.module(batch.input_ids, **model.geometry.inputs(batch)).logits


def _check_logits(model: HookedModel, batch: Batch, wrapped: Tensor, plain: Tensor) -> None:
    real = batch.attention_mask.bool()
    if model.labels is None:
        wrapped, plain = wrapped[real], plain[real]
    elif model.readout.kind in ("token", "vocabulary"):
        rows, tokens = torch.arange(len(batch), device=plain.device), model.readout.tokens
        plain = plain[rows, model.readout.positions(batch)]
        plain = plain if tokens is None else plain[:, list(tokens)]
    _agree(model, "the logits", wrapped, plain)


def _check_sites(model: HookedModel, batch: Batch, run: Run, shift: float) -> None:
    """Check that the value of every site follows from those of the sites before it, plus the ripple added there.

    `z` is compared at positions without padding (`real`) only: a padded query in a window may see no key at all.
    """
    at = run.captured
    real = batch.attention_mask.bool()
    for layer in range(model.n_layers):
        before = at[Site(layer - 1, "resid_post") if layer else Site.embed()]
        _agree(model, f"L{layer}.resid_pre", before, _unshifted(at[Site(layer, "resid_pre")], shift))
        _check_layer(model, layer, {kind: at[Site(layer, kind)] for kind in model.layer_kinds}, shift, real)
    _check_head(model, batch, run, shift)
    if model.readout.pooled:
        head = model.geometry.part("head")
        projected = model.geometry.capped(head(at[Site.pooled()]))
        if model.readout.tokens is not None:
            projected = projected[:, list(model.readout.tokens)]
        _agree(model, "pooled projected to logits", projected, run.logits)


def _check_head(model: HookedModel, batch: Batch, run: Run, shift: float) -> None:
    """Check what the family says of the way from the last stream to the logits, which the fast engine computes."""
    family, last = model.family, run.captured[Site(model.n_layers - 1, "resid_post")]
    if family.classify is not None and shift == 0:
        _agree(model, "classify of the last stream", family.classify(model.geometry.module, last[:, 0]), run.logits)
    if not family.causal or not family.pre_norm:  # an encoder's head may compute more
        return
    if model.readout.at_one_position:
        normed = model.geometry.part("norm_final")(last)
        normed = normed[torch.arange(len(batch), device=normed.device), model.readout.positions(batch)]
        _agree(model, "last stream normalised to pooled", normed, _unshifted(run.captured[Site.pooled()], shift))
    else:
        real = batch.attention_mask.bool()
        logits = model.geometry.logits(last)
        _agree(model, "last stream normalised and projected to logits", logits[real], run.logits[real])


def _check_layer(model: HookedModel, layer: int, at: dict[str, Tensor], shift: float, real: Tensor) -> None:
    geometry, family = model.geometry, model.family
    computed = {kind: _unshifted(value, shift) for kind, value in at.items()}  # before the ripple was added
    if family.pre_norm:
        normed = geometry.attention_input(layer, at["resid_pre"])[:, :, None].expand(-1, -1, model.n_heads, -1)
        _agree(model, f"L{layer}.resid_pre normalised to q_in", normed, computed["q_in"])
    for name in ("q", "k", "v"):
        projected = torch.einsum("bphm,hmd->bphd", at[f"{name}_in"], geometry.w_in(layer, name))
        projected = projected + geometry.b_in(layer, name)
        _agree(model, f"L{layer}.{name}_in projected", projected, computed[name])
    z = attend(at["pattern"], at["v"])[real]
    _agree(model, f"L{layer}.pattern applied to v", z, computed["z"][real], _softmax_rounding(model, layer, at, real))
    added = geometry.attention_added(layer, at["result"].sum(2) + geometry.b_out(layer))
    normed = " and normalised" if family.attn_norm is not None else ""
    _agree(model, f"L{layer}.result summed{normed}", added, computed["attn_out"])
    _check_sums(model, layer, at, computed)


def _check_sums(model: HookedModel, layer: int, at: dict[str, Tensor], computed: dict[str, Tensor]) -> None:
    """Check what the MLP reads and adds, and the sums of the stream, by the order that the family says."""
    geometry, family = model.geometry, model.family
    read = "resid_pre" if geometry.parallel else "resid_mid"
    mid = at["resid_pre"] + at["attn_out"]
    if family.pre_norm or family.mlp_in is not None:
        through = "mlp_in, activation and mlp_out" if family.mlp_in is not None else "the MLP"
        norm = "norm_2 and " * (family.pre_norm and family.norm_2 is not None)
        norm_after = " and mlp_norm" * (family.mlp_norm is not None)
        added = geometry.mlp(layer, at[read])
        _agree(model, f"L{layer}.{read} through {norm}{through}{norm_after}", added, computed["mlp_out"])
    if geometry.parallel:
        post = mid + at["mlp_out"]
        _agree(model, f"L{layer}.resid_pre + attn_out + mlp_out to resid_post", post, computed["resid_post"])
        return
    how = "added" if family.pre_norm else "normalised"
    mid, post = geometry.after_attention(layer, mid), geometry.after_mlp(layer, at["resid_mid"] + at["mlp_out"])
    _agree(model, f"L{layer}.resid_pre + attn_out {how} to resid_mid", mid, computed["resid_mid"])
    _agree(model, f"L{layer}.resid_mid + mlp_out {how} to resid_post", post, computed["resid_post"])


def _softmax_rounding(model: HookedModel, layer: int, at: dict[str, Tensor], real: Tensor) -> float:
    """How much the rounding of scores alone changes z: the larger the scores, the coarser the pattern.

    It is taken from q, k and v alone, so that a wrong pattern is not taken for a rounded one.
    """
    if model.dtype == torch.float64:
        return 0.0
    exact = torch.float32 if model.device.type == "mps" else torch.float64  # MPS has no float64
    narrow, wide = (
        attend(model.geometry.pattern(layer, q, k, real.long()), v)[real]
        for q, k, v in ((at[name].to(dtype) for name in ("q", "k", "v")) for dtype in (model.dtype, exact))
    )
    return float((narrow - wide).abs().max())


def _ripple(value: Tensor, height: float) -> Tensor:
    """Numbers up to `height`, different at every entry: neither a LayerNorm nor a softmax removes them."""
    return height * torch.arange(value.numel(), device=value.device).sin().view(value.shape).to(value.dtype)


def _unshifted(value: Tensor, shift: float) -> Tensor:
    return value - _ripple(value, shift) if shift else value


def _probe_batch(model: HookedModel) -> Batch:
    vocabulary = model.geometry.config.vocab_size
    generator = torch.Generator().manual_seed(0)
    length = min(9, model.max_positions)
    low = min(5, vocabulary - 1)
    ids = torch.randint(low, vocabulary, (3, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    pad = model.geometry.config.pad_token_id or 0
    ids[ids == pad] = (pad + 1) % vocabulary
    if model.readout.kind == "last":
        ids[0, 1 % length], ids[2, length // 2 :] = pad, pad  # texts may contain the padding token
    ids[mask == 0] = pad
    types = torch.zeros_like(ids)
    types[:, length // 3 :] = 1
    return Batch(ids, mask, types).to(model.device)


def _agree(model: HookedModel, what: str, actual: Tensor, expected: Tensor, rounding: float = 0.0) -> None:
    if difference := disagreement(model, actual, expected, rounding):
        raise ModelError(_wrong(model, f"{what}: {difference}"))


def disagreement(model: HookedModel, actual: Tensor, expected: Tensor, rounding: float = 0.0) -> str:
    """How two tensors differ that should be equal up to the rounding of one operation, or "" if they are equal.

    `rounding` is the error that each may have in addition.
    """
    tolerance = 0.05 if model.dtype in _COARSE else 1e-5
    if model.dtype == torch.float16 and actual.shape == expected.shape:  # with a ripple numbers may overflow
        finite = torch.isfinite(expected)
        actual, expected = actual.where(finite, 0), expected.where(finite, 0)
    error = float((actual - expected).abs().max()) if actual.shape == expected.shape else float("nan")
    if error <= tolerance * max(1.0, float(expected.abs().max())) + 2 * rounding:
        return ""
    return f"shapes {tuple(actual.shape)} and {tuple(expected.shape)}, largest difference {error:.2g}"


def _wrong(model: HookedModel, where: str) -> str:
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "transformer-lens", "nnsight"))
    if model.family is not FAMILIES.get(type(model.module).__name__):
        return (
            f"The family given for {model.name} does not fit a {type(model.module).__name__}: it is off at {where}. "
            "Correct the parts of hc.Family from which this site is computed."
        )
    return (
        f"The wrapper of {model.name} ({type(model.module).__name__}, backend {model.backend_name}) is wrong at "
        f"{where} (Python {platform.python_version()}, {versions}). Install the versions in constraints.txt, and "
        "report this message if it stays."
    )
