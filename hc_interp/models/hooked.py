"""`HookedModel`: a model whose values can be read and edited at every site, on a backend that the user chooses."""

import copy
import threading
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hc_interp.components import MLP, Component, End, Head, is_upstream, universe, without_role
from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples
from hc_interp.errors import ComponentError, DataError, InterventionError, ModelError
from hc_interp.models.arguments import listed_interventions, listed_sites
from hc_interp.models.families import family_of
from hc_interp.models.families.family import Family
from hc_interp.models.fingerprint import fingerprint
from hc_interp.models.foreign_hooks import refuse_foreign_hooks
from hc_interp.models.forward import ForwardPass, SiteEdit, by_site, from_layer
from hc_interp.models.geometry import Geometry
from hc_interp.models.layer_list import cut_layers, unroll
from hc_interp.models.nnsight_backend import NNsightBackend, build_nnsight
from hc_interp.models.precision import dtype_name
from hc_interp.models.pruned import pruned_module
from hc_interp.models.read_at import ReadAt, in_words
from hc_interp.models.readout import Readout
from hc_interp.models.run import Run
from hc_interp.models.save import save_module
from hc_interp.models.site import Site, check_site, layer_kinds
from hc_interp.models.taps import Backend
from hc_interp.models.tokenize import check_known, tokenization, tokenize
from hc_interp.models.transformer_lens_backend import TransformerLensBackend, build_bridge, share_tree
from hc_interp.models.wrapped_tree import WrappedTree
from hc_interp.torch_modes import no_autocast, own_torch_modes

BACKENDS = ("transformer_lens", "nnsight")


class Intervention(Protocol):
    """A change of a model's pass. A class of your own derives from this one and defines `edits`.

    `run` checks a whole list before anything runs: `check`, then `check_batch`, of each intervention. Then it asks each
    for its `edits` of the batch, and applies them at each site in the order of the list. Wherever a list of
    interventions is asked for, one of them may be given alone.
    """

    def __iter__(self) -> Iterator[Self]:
        yield self

    def check(self, model: "HookedModel", before: Sequence["Intervention"]) -> None:
        """Raise an `HCError` if the intervention has no meaning on this model after those `before` it."""

    def check_batch(self, model: "HookedModel", batch: Batch) -> None:
        """Raise an `HCError` if the intervention does not fit this batch."""

    @abstractmethod
    def edits(self, model: "HookedModel", batch: Batch, before: Sequence["Intervention"]) -> list[SiteEdit]:
        """The edits for this batch. Runs that they need are made under `before`."""
        ...


class HookedModel:
    """A wrapped copy of a fine-tuned transformer.

    `.module` is the Hugging Face module (a copy, weights frozen, in evaluation mode); `.bridge` is a TransformerLens
    `TransformerBridge` and `.nnsight` an `NNsight` object over the same parameters. The passes of this class run in
    other copies of the module tree over these parameters, always in evaluation mode. So after `.module.train()` only
    calls of `.module` itself have dropout. `.family` says where the parts of the module are. `.labels` names the
    classes in logit order. It is None for a language model that is not read at label words.

    A weight of `.module` may be edited in place, under `torch.no_grad()`: all passes use the new value, and
    `.fingerprint` changes. After a part was replaced, or hooked, the next pass raises `ModelError` (`WrappedTree`).
    """

    def __init__(
        self,
        module: nn.Module,
        tokenizer: Any = None,
        *,
        labels: Sequence[str] | None,
        backend: str | None = None,
        name: str = "model",
        family: Family | None = None,
        one_word: bool = False,
        read_at: ReadAt | None = None,
    ) -> None:
        self.family = family or family_of(module)
        if backend is None:
            backend = "nnsight" if self.family.adapter is None else "transformer_lens"
        if backend not in BACKENDS:
            raise ModelError(f"{backend!r} is not a backend. Choose one of: {', '.join(BACKENDS)}.")
        self.module = module.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.backend_name = backend
        self._wrap()
        self.readout = Readout.of(self.geometry, tokenizer, labels, name, one_word, read_at)

    def _wrap(self) -> None:
        """Build what is derived from the module: at first, and again in each process that the model is sent to."""
        refuse_foreign_hooks(self.module, self.name)
        self.geometry = Geometry(self.shared_tree(), self.family)
        self._tree = WrappedTree.of(self.module)
        self._tails: dict[int, HookedModel] = {}
        self._fingerprint: tuple[tuple[int, ...], str] | None = None
        self._idle = threading.Lock()

    def shared_tree(self) -> nn.Module:
        """A copy of the module tree over the same parameters, in which each layer has a module of its own."""
        return unroll(share_tree(self.module), self.family)

    @property
    def own_geometry(self) -> Geometry:
        """The geometry of `.module` itself, in which one module may compute several layers."""
        return Geometry(self.module, self.family)

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The names of the classes in logit order, or None if the logits are a whole vocabulary."""
        return self.readout.labels

    @property
    def n_layers(self) -> int:
        """The number of layers. A module that computes several layers counts once for each."""
        return self.geometry.n_layers

    @property
    def n_heads(self) -> int:
        """The number of attention heads of a layer, the same in all layers. Heads that share keys count each."""
        return self.geometry.n_heads

    @property
    def d_model(self) -> int:
        """The width of the residual stream."""
        return self.geometry.d_model

    @property
    def d_head(self) -> int:
        """The width of a head's q, k, v and z."""
        return self.geometry.d_head

    @property
    def max_positions(self) -> int:
        """Longest input, in tokens."""
        return self.geometry.max_positions

    @property
    def layer_kinds(self) -> tuple[str, ...]:
        """The kinds of sites of a layer: all, but `resid_mid` where attention and MLP read the same stream."""
        return layer_kinds(parallel=self.geometry.parallel)

    def is_upstream(self, sender: Component | End, receiver: Component | End) -> bool:
        """Whether what `sender` adds to the stream can be read by `receiver`."""
        return is_upstream(sender, receiver, parallel=self.geometry.parallel)

    @cached_property
    def components(self) -> tuple[Component, ...]:
        """All heads and MLPs in execution order."""
        return universe(self.n_layers, self.n_heads)

    @property
    def bridge(self) -> Any:
        """The TransformerLens `TransformerBridge` over the same parameters. Hooks that you add stay on it only."""
        self._tree.check(self.name)
        return self._bridge

    @cached_property
    def _bridge(self) -> Any:
        return build_bridge(self.shared_tree(), self.family, self.tokenizer)

    @property
    def nnsight(self) -> Any:
        """The `NNsight` object over the same parameters. nnsight calls a submodule named `output` `E_output`."""
        self._tree.check(self.name)
        return self._nnsight

    @cached_property
    def _nnsight(self) -> Any:
        return build_nnsight(self.shared_tree())

    @cached_property
    def backend(self) -> Backend:
        """The backend of this model's passes, in a module tree that hooks on `.bridge` or `.nnsight` do not reach."""
        tree = self.shared_tree()
        self.readout.allow_batches(tree)
        if self.backend_name == "nnsight":
            return NNsightBackend(build_nnsight(tree), self.geometry)
        return TransformerLensBackend(build_bridge(tree, self.family), self.geometry)

    @property
    def device(self) -> torch.device:
        """The device of the weights. Batches are moved to it when they are run."""
        return next(self.module.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights, in which passes run."""
        return next(self.module.parameters()).dtype

    @property
    def fingerprint(self) -> str:
        """The first 16 hex digits of the SHA-256 of architecture and weights, which identify the model in results.

        A family that the user gave counts too, since it says what the sites are. It is computed once, and again after
        torch counted an edit in place. torch does not count edits through `.data`.
        """
        self._tree.check(self.name)
        versions = self._tree.versions()
        if self._fingerprint is None or self._fingerprint[0] != versions:
            self._fingerprint = versions, fingerprint(self.module, self.family)
        return self._fingerprint[1]

    def identity(self) -> tuple[Any, ...]:
        """What digests hash in place of the model: weights, settings, how classes are read, how text is tokenized."""
        return self.fingerprint, self.readout, tokenization(self.tokenizer)

    def __repr__(self) -> str:
        shape = f"{self.n_layers} layers x {self.n_heads} heads, d_model {self.d_model}"
        read = "whole vocabulary" if self.labels is None else f"labels {', '.join(self.labels)}"
        read += in_words(self.readout.read_at)
        return f"HookedModel({self.name}: {type(self.module).__name__}, {shape}, {read}, {dtype_name(self.dtype)})"

    @own_torch_modes
    def tokenize(self, first: str | Sequence[str] | Examples, second: str | Sequence[str] | None = None) -> Batch:
        """Encode texts, or `Examples` with ids, labels, answers, right-padded to the longest. Nothing is truncated.

        Raises `DataError` for an input longer than the model's positions, for different numbers of first and second
        texts, and for a tokenizer with tokens that the model does not have. Raises `ModelError` without a tokenizer.
        """
        return tokenize(self, first, second)

    def check_component(self, item: Any) -> Component:
        """Return `item` if the model has it, else raise `ComponentError`."""
        if not isinstance(without_role(item), Head | MLP) or item not in self._component_set:
            raise ComponentError(
                f"{item} is not a component of {self.name}, which has layers 0 to {self.n_layers - 1} with heads "
                f"0 to {self.n_heads - 1} and one MLP each. Name one of those, like 'L{self.n_layers - 1}H0'."
            )
        return item

    def check_site(self, site: Site) -> Site:
        """Return `site` if the model has it, else raise `ComponentError`."""
        if site.kind == "pooled" and not self.readout.pooled:
            raise ComponentError(
                f"{self.name} has no site 'pooled': its logits are a whole vocabulary at every position. Read it at "
                "label words, hc.load(..., labels=[' yes', ' no']), or use the last layer's resid_post."
            )
        return check_site(site, self.n_layers, self.n_heads, parallel=self.geometry.parallel)

    @cached_property
    def _component_set(self) -> frozenset[Component]:
        return frozenset(self.components)

    def check_interventions(self, interventions: Iterable[Intervention]) -> list[Intervention]:
        """Return one or many interventions as a list. Raises an `HCError` if the list has no meaning on this model."""
        interventions = listed_interventions(interventions)
        for index, item in enumerate(interventions):
            item.check(self, interventions[:index])
        return interventions

    def compile(self, batch: Batch, interventions: Iterable[Intervention]) -> list[SiteEdit]:
        """Check a list of interventions and turn it into edits for one batch.

        Raises an `HCError`, such as `InterventionError` or `ComponentError`, for what this model or batch cannot take.
        """
        interventions = self.check_interventions(interventions)
        for item in interventions:
            item.check_batch(self, batch)
        edits: list[SiteEdit] = []
        for index, item in enumerate(interventions):
            edits += item.edits(self, batch, interventions[:index])
        for edit in edits:
            if not isinstance(edit, SiteEdit):
                raise InterventionError(f"The edits of an intervention hold {edit!r}. Expected hc.SiteEdit(site, fn).")
            self.check_site(edit.site)
        return edits

    def run(self, batch: Batch, interventions: Iterable[Intervention] = (), capture: Iterable[Site] | Site = ()) -> Run:
        """One forward pass under `interventions`, which are applied in list order.

        `captured` of the returned `Run` holds the value of each site of `capture` after all edits. Gradients flow
        through edits. Without edits nothing is recorded for autograd, since the weights are frozen. Raises an `HCError`
        for a batch, a site or a list of interventions that does not fit the model.
        """
        sites = listed_sites(capture)
        self.check_batch(batch)
        batch = batch.to(self.device)
        return self.run_edits(batch, self.compile(batch, interventions), sites)

    def check_batch(self, batch: Any) -> None:
        """Raise `DataError` for anything but a batch, and for a batch that is too long or has unknown tokens."""
        if not isinstance(batch, Batch) or not len(batch) or batch.input_ids.shape[1] > self.max_positions:
            raise DataError(
                f"{self.name} was given {batch!r}; expected an hc.Batch of at least one row and at most "
                f"{self.max_positions} tokens. Encode texts with model.tokenize(first, second)."
            )
        check_known(batch, self.geometry.config, self.name)

    def run_edits(
        self,
        batch: Batch,
        edits: Sequence[SiteEdit],
        capture: Sequence[Site] = (),
        *,
        start: tuple[int, Float[Tensor, "batch pos d_model"]] | None = None,
        stop_after: Site | None = None,
    ) -> Run:
        """`run` of a batch for compiled edits, over all layers or a part of them; `capture` are whole sites or heads'.

        `start` is a layer and the stream that enters it (its `resid_pre`). The layers below it are not run. Edits in
        them and edits of that stream are ignored: the stream must be their result. `stop_after` is the site after which
        the pass ends, with empty logits. Raises `InterventionError` for a pass inside another one of this model,
        `ModelError` for a module that was changed after it was loaded.
        """
        self._tree.check(self.name)
        if start is not None and start[0] > 0 and not any(edit.follows for edit in edits):
            return self._run_tail(batch, edits, capture, start, stop_after)
        captures: dict[Site, list[Site]] = {}
        for site in capture:
            captures.setdefault(self.check_site(site).whole, []).append(site)
        forward = ForwardPass(
            self.geometry, self.readout, batch, by_site(edits, captures), captures, stop_after=stop_after
        )
        if not self._idle.acquire(blocking=False):
            raise InterventionError(
                f"{self.name} is in the middle of a pass: it was run again by the function of an edit, or by another "
                "thread, and would mix both passes' edits. Run it before, or use model.copy() there."
            )
        try:
            with no_autocast():
                logits = forward.run(self.backend)
        finally:
            self._idle.release()
        return Run(torch.empty(0) if logits is None else logits, forward.captured)

    def _run_tail(
        self,
        batch: Batch,
        edits: Sequence[SiteEdit],
        capture: Sequence[Site],
        start: tuple[int, Tensor],
        stop_after: Site | None,
    ) -> Run:
        first, stream = start
        shifted = from_layer(first, stream, edits)
        stop = None if stop_after is None else stop_after.shift(-first)
        run = self.tail(first).run_edits(batch, shifted, [site.shift(-first) for site in capture], stop_after=stop)
        return Run(run.logits, {site.shift(first): value for site, value in run.captured.items()})

    def tail(self, layer: int) -> "HookedModel":
        """A model of the layers from `layer` on, over the same parameters. Its `embed` is the input of that layer."""
        if layer not in self._tails:
            tree = self.shared_tree()
            cut_layers(tree, self.family, layer)
            self._tails[layer] = HookedModel(tree, name=f"{self.name} from L{layer}", **self.settings())
        return self._tails[layer]

    def logits(self, batch: Batch, interventions: Iterable[Intervention] = ()) -> Float[Tensor, "batch *class"]:
        """The class logits under `interventions` (a language model without label words: `[batch, pos, vocab]`)."""
        return self.run(batch, interventions).logits

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle or a deep copy holds of the model. The rest is built again when it is restored.

        As in a `copy()`, the restored weights are frozen and the module is in evaluation mode.
        """
        kept = ("module", "tokenizer", "readout", "name", "backend_name", "family")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.module.eval().requires_grad_(False)
        self._wrap()

    def copy(self) -> "HookedModel":
        """An independent copy with its own weights, frozen, in evaluation mode."""
        return HookedModel(copy.deepcopy(self.module), name=self.name, **self.settings())

    def save(self, folder: str | Path) -> Path:
        """Write the plain module and the tokenizer into a new folder, which transformers and `hc.load` read.

        A classifier's labels stand in its config. Words that a language model's logits are read at (`labels=`) have no
        place there: give them to `hc.load` again. Raises `HCError` for a path that exists or cannot be written.
        """
        names = self.labels if self.family.readout != "vocabulary" else None
        return save_module(self.module, folder, self.tokenizer, names)

    def pruned(self, removed: Iterable[Component], means: Any) -> nn.Module:
        """`Subnetwork.apply` by the components that are `removed`: in the module they give their `means` (or 0)."""
        return pruned_module(self, removed, means)

    def settings(self) -> dict[str, Any]:
        """The arguments of `HookedModel` that another module of the same class is wrapped with."""
        own = {k: getattr(self, k) for k in ("tokenizer", "labels", "family")} | {"backend": self.backend_name}
        return own | {k: getattr(self.readout, k) for k in ("one_word", "read_at")}
