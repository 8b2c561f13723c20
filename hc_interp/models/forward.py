"""One forward pass with edits and captures at sites: the meaning of every site, written once for all backends.

A backend only offers taps (`taps.py`). Sites that no tap shows are derived here. Where a derived value is edited, the
*difference* that the edit made is projected onto the nearest tap and added there. So an edit that changes nothing
leaves the logits bit-equal, whatever attention kernel the backend runs.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from einops import repeat
from jaxtyping import Float
from torch import Tensor

from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.models.attention_rule import attend
from hc_interp.models.geometry import Geometry
from hc_interp.models.readout import Readout
from hc_interp.models.site import Site
from hc_interp.models.taps import Backend, Handler, StopForward, Tap


@dataclass(frozen=True)
class SiteEdit:
    """`fn` maps the value of `site` to the value that replaces it: a new tensor of the same shape.

    For a site with `head=` that is the head's own value, without the head axis. `fn` must not write into its argument.
    `display` marks an edit that no later value depends on. It is applied only where the site is captured. `early` marks
    one that stands for a change of the site's input: it is applied before all others. No other edit may stand at its
    sites `alone`, which it could not follow. `follows` marks one that needs what edits of earlier layers kept in the
    same pass, which then starts at layer 0.
    """

    site: Site
    fn: Callable[[Tensor], Tensor]
    display: bool = False
    early: bool = False
    alone: tuple[Site, ...] = ()
    follows: bool = False


@dataclass
class ForwardPass:
    """Builds the handlers of one pass over `batch`. Edits apply in list order, and captures come after all edits.

    `captures[site]` lists the sites, of single heads or of all, that are read where `site` is computed.
    """

    geometry: Geometry
    readout: Readout
    batch: Batch
    edits: dict[Site, list[Callable[[Tensor], Tensor]]] = field(default_factory=dict)
    captures: dict[Site, list[Site]] = field(default_factory=dict)
    captured: dict[Site, Tensor] = field(default_factory=dict)
    stop_after: Site | None = None

    def run(self, backend: Backend) -> Tensor | None:
        """The class logits, or None when the pass stopped at `stop_after`."""
        try:
            return self.readout.classes(backend.execute(self.batch, self.handlers()))
        except StopForward:
            return None

    def handlers(self) -> dict[Tap, Handler]:
        """The handlers of all taps that this pass needs."""
        handlers: dict[Tap, Handler] = {}
        for layer in range(self.geometry.n_layers):
            if any(self.touched(site) for site in self._sites_of(layer)):
                handlers.update(LayerPass(self, layer).handlers())
        if self.readout.at_one_position:
            handlers[Tap(None, "head_in")] = self.read_one_position
        elif self.touched(Site.pooled()):
            handlers[Tap(None, "head_in")] = lambda value: self.visit(Site.pooled(), value)
        return handlers

    def read_one_position(self, value: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos_read d_model"]:
        """The handler of the head's input where the classes are read at one position of each row."""
        row = value[torch.arange(len(value), device=value.device), self.readout.positions(self.batch)]
        return self.readout.head_input(self.visit(Site.pooled(), row), value.shape[1])

    def _sites_of(self, layer: int) -> Iterable[Site]:
        touched = {*self.edits, *self.captures, *([self.stop_after] if self.stop_after else [])}
        return [s for s in touched if s.layer == layer or (s == Site.embed() and layer == 0)]

    def touched(self, site: Site) -> bool:
        """Whether this pass edits the site, captures it or stops after it."""
        return site in self.edits or site in self.captures or site == self.stop_after

    def visit(self, site: Site, value: Tensor) -> Tensor:
        """Apply the edits of a site, capture its value if requested, and return the value for the rest of the pass."""
        for fn in self.edits.get(site, ()):
            edited = fn(value)
            if not isinstance(edited, Tensor) or edited.shape != value.shape:
                got = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
                raise InterventionError(
                    f"An edit at {site} returned {got}; expected a tensor of shape {tuple(value.shape)}. "
                    "Return a new tensor of the shape that the function was given."
                )
            value = edited.to(value.dtype)  # a float32 mean or direction in a half-precision model
        for capture in self.captures.get(site, ()):
            self.captured[capture] = value if capture.head is None else value.select(site.head_axis, capture.head)
        if site == self.stop_after:
            raise StopForward
        return value


class LayerPass:
    """The handlers of one layer's taps, and the values that the handler of one tap keeps for that of a later tap."""

    def __init__(self, forward: ForwardPass, layer: int) -> None:
        self.forward = forward
        self.geometry = forward.geometry
        self.layer = layer
        self.stream: Tensor | None = None
        self.input_change: dict[str, Tensor] = {}
        self.attention: dict[str, Tensor] = {}
        self.shared: dict[str, Tensor] = {}  # keys and values that the module attends with, if heads share them
        self.result_change: Tensor | None = None

    def touched(self, *kinds: str) -> bool:
        return any(self.forward.touched(Site(self.layer, kind)) for kind in kinds)

    def edited(self, kind: str) -> bool:
        return Site(self.layer, kind) in self.forward.edits

    def visit(self, kind: str, value: Tensor) -> Tensor:
        return self.forward.visit(Site(self.layer, kind), value)

    def handlers(self) -> dict[Tap, Handler]:
        family = self.geometry.family
        # No module outputs the sum `resid_mid` of such a family.
        sums = family.pre_norm and self.touched("resid_mid")
        normed = family.attn_norm is not None
        at_embed = self.layer == 0 and self.forward.touched(Site.embed())
        by_tap: dict[str, tuple[bool, Handler]] = {  # is the handler of this tap needed, and the handler
            "block_in": (
                at_embed or self.touched("resid_pre") or sums,
                self.block_in,
            ),
            "qkv_in": (self.touched("q_in", "k_in", "v_in"), self.qkv_in),
            "q": (self.reattends or self.touched("q_in", "q"), lambda value: self.projected("q", value)),
            "k": (self.reattends or self.touched("k_in", "k"), lambda value: self.projected("k", value)),
            "v": (self.reattends or self.touched("v_in", "v"), lambda value: self.projected("v", value)),
            "z": (self.reattends or self.touched("z", "result"), self.z),
            "o_out": (normed and self.touched("result"), self.with_results),
            "attn_out": (self.touched("attn_out") or sums or (not normed and self.touched("result")), self.attn_out),
            "mid": (not family.pre_norm and self.touched("resid_mid"), lambda value: self.visit("resid_mid", value)),
            "mlp_out": (self.touched("mlp_out"), self.mlp_out),
            "block_out": (self.touched("resid_post"), lambda value: self.visit("resid_post", value)),
        }
        return {Tap(self.layer, name): handler for name, (needed, handler) in by_tap.items() if needed}

    def block_in(self, value: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        if self.layer == 0:
            value = self.forward.visit(Site.embed(), value)
        self.stream = self.visit("resid_pre", value)
        return self.stream

    def qkv_in(self, value: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        for name in ("q", "k", "v"):
            if self.touched(f"{name}_in"):
                copies = repeat(value, "batch pos d_model -> batch pos head d_model", head=self.geometry.n_heads)
                edited = self.visit(f"{name}_in", copies)
                if self.edited(f"{name}_in"):
                    self.input_change[name] = edited - copies
        return value

    def projected(
        self, name: str, value: Float[Tensor, "batch pos group d_head"]
    ) -> Float[Tensor, "batch pos group d_head"]:
        """The handler of `q`, `k` or `v`, of each head or of each group of heads that share it."""
        shared = name != "q" and self.geometry.grouped
        by_head = self.geometry.copies(value, 2) if shared else value
        if shared:
            self.shared[name] = by_head
        if name in self.input_change:
            weight = self.geometry.w_in(self.layer, name)
            by_head = by_head + torch.einsum("bphm,hmd->bphd", self.input_change[name], weight)
        by_head = self.visit(name, by_head)
        self.attention[name] = by_head
        return value if shared else by_head  # the module has no keys of single heads: `reattended` attends with them

    def z(self, value: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos head d_head"]:
        if self.reattends:
            value = self.reattended(value)
        value = self.visit("z", value)
        if self.touched("result"):
            result = torch.einsum("bphd,hdm->bphm", value, self.geometry.w_out(self.layer))
            edited = self.visit("result", result)
            if self.edited("result"):
                self.result_change = (edited - result).sum(dim=2)
        return value

    @property
    def reattends(self) -> bool:
        """Whether attention must be computed here: for its pattern, or because edits gave heads of a group different
        keys or values."""
        return self.touched("pattern") or (
            self.geometry.grouped and any(self.edited(kind) for kind in ("k", "v", "k_in", "v_in"))
        )

    def reattended(self, value: Float[Tensor, "batch pos head d_head"]) -> Float[Tensor, "batch pos head d_head"]:
        """`z` plus the change that edits of the pattern, or of single heads' keys and values, make to it."""
        q, k, v = (self.attention[name] for name in ("q", "k", "v"))
        mask = self.forward.batch.attention_mask
        pattern = self.geometry.pattern(self.layer, q, k, mask)
        edited = self.visit("pattern", pattern)
        if self.shared and any(self.edited(kind) for kind in ("k", "v", "k_in", "v_in")):
            unedited = self.geometry.pattern(self.layer, q, self.shared["k"], mask)
            return value + (attend(edited, v) - attend(unedited, self.shared["v"]))
        if self.edited("pattern"):
            return value + attend(edited - pattern, v)
        return value

    def with_results(self, value: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """The output of the output projection, with the change that edits of single heads' results make to it."""
        return value if self.result_change is None else value + self.result_change

    def attn_out(self, value: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        if self.geometry.family.attn_norm is None:
            value = self.with_results(value)
        value = self.visit("attn_out", value)
        if self.geometry.family.pre_norm and self.touched("resid_mid"):
            # The change that edits make to the sum is added to its last term.
            assert self.stream is not None
            mid = self.stream + value
            value = value + (self.visit("resid_mid", mid) - mid)
        return value

    def mlp_out(self, value: Tensor) -> Tensor:
        """The handler of the MLP's output. The MLP of OPT has rows and positions in one axis."""
        if value.ndim == 3:
            value = self.visit("mlp_out", value)
            return value.clone() if self.geometry.family.adds_in_place else value
        return self.visit("mlp_out", value.unflatten(0, self.forward.batch.input_ids.shape)).flatten(0, 1)


def by_site(edits: Sequence[SiteEdit], captured: Container[Site] = ()) -> dict[Site, list[Callable[[Tensor], Tensor]]]:
    """The functions of the edits at each site, early ones first, else in list order.

    Display edits are left out where nothing is captured. Raises `InterventionError` for an edit at a site that another
    one has to itself.
    """
    shown = [edit for edit in edits if not edit.display or edit.site.whole in captured]
    grouped: dict[Site, list[Callable[[Tensor], Tensor]]] = {}
    for edit in sorted(shown, key=lambda edit: not edit.early):
        grouped.setdefault(edit.site.whole, []).append(on_head(edit.site, edit.fn))
    edited = {edit.site.whole for edit in shown if not edit.alone}
    for edit in edits:
        if both := edited.intersection(edit.alone):
            site = min(both, key=str)
            instead = edit.site.kind if len(edit.alone) == 1 else "z"
            raise InterventionError(
                f"{site.kind} of layer {site.layer} is edited in a pass in which PatchEdges gives heads of that layer "
                f"another stream. Such an edit would not see it: edit {instead} instead, or use PatchPath."
            )
    return grouped


def from_layer(first: int, stream: Tensor, edits: Sequence[SiteEdit]) -> list[SiteEdit]:
    """The edits in a model of the layers from `first` on, which `stream` enters. Edits before that are left out."""
    shifted = [SiteEdit(Site.embed(), lambda _: stream)]
    for edit in edits:
        if edit.site in (Site.embed(), Site(first, "resid_pre")):
            continue
        if edit.site.layer is None or edit.site.layer >= first:
            shifted.append(replace(edit, site=edit.site.shift(-first)))
    return shifted


def on_head(site: Site, fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """Lift a function of one head's value to the value of all heads; without `head` it is the function itself."""
    if site.head is None:
        return fn

    axis, head = site.head_axis, site.head

    def lifted(value: Tensor) -> Tensor:
        edited = value.clone()
        edited.select(axis, head).copy_(fn(value.select(axis, head)))
        return edited

    return lifted
