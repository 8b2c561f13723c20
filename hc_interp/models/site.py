"""`Site`: the name of a value in a forward pass that can be read or edited."""

import re
from dataclasses import dataclass
from numbers import Integral
from typing import Self

from hc_interp.errors import ComponentError

# In execution order. `embed` is the input of layer 0, and `pooled` the input of a classifier's last linear layer.
LAYER_KINDS = (
    "resid_pre",
    "q_in",
    "k_in",
    "v_in",
    "q",
    "k",
    "v",
    "pattern",
    "z",
    "result",
    "attn_out",
    "resid_mid",
    "mlp_out",
    "resid_post",
)
SITE_KINDS = ("embed", *LAYER_KINDS, "pooled")
HEAD_KINDS = frozenset({"q_in", "k_in", "v_in", "q", "k", "v", "pattern", "z", "result"})


_TEXT = re.compile(r"(?:L(?P<layer>\d+)(?:H(?P<head>\d+))?\.)?(?P<kind>\w+)")


@dataclass(frozen=True)
class Site:
    """The value of kind `kind` in a layer. `head` selects one head of a per-head kind and drops that axis.

    Shapes: `q k v z` are `[batch, pos, head, d_head]`; `q_in k_in v_in result` `[batch, pos, head, d_model]`; `pattern`
    `[batch, head, query, key]`; `pooled` `[batch, d_model]`; the rest `[batch, pos, d_model]`. Raises `ComponentError`
    for a kind that does not exist or a head on a kind without heads.
    """

    layer: int | None
    kind: str
    head: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in SITE_KINDS:
            raise ComponentError(f"{self.kind!r} is not a kind of site. Choose one of: {', '.join(SITE_KINDS)}.")
        for name, value in (("layer", self.layer), ("head", self.head)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, Integral)):
                raise ComponentError(f"Site has {name}={value!r}; expected a whole number, like Site(3, 'z', head=7).")
        if (self.layer is None) != (self.kind in ("embed", "pooled")):
            raise ComponentError(
                f"Site({self.layer}, {self.kind!r}): embed and pooled have no layer, every other kind needs one. "
                "Use Site.embed(), Site.pooled() or Site(layer, kind)."
            )
        if self.head is not None and self.kind not in HEAD_KINDS:
            raise ComponentError(
                f"{self.kind!r} has no head axis, so head={self.head} selects nothing. "
                f"Kinds with heads: {', '.join(k for k in LAYER_KINDS if k in HEAD_KINDS)}."
            )

    @classmethod
    def embed(cls) -> Self:
        """The output of the embeddings, `[batch, pos, d_model]`."""
        return cls(None, "embed")

    @classmethod
    def pooled(cls) -> Self:
        """What the classifier reads, `[batch, d_model]`."""
        return cls(None, "pooled")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The site of which `text` is the `str`. Raises `ComponentError` for any other text."""
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ComponentError(f"{text!r} names no site. Expected a text like 'L2.attn_out', 'L2H3.z' or 'embed'.")
        layer, head = (None if match[part] is None else int(match[part]) for part in ("layer", "head"))
        return cls(layer, match["kind"], head)

    @property
    def head_axis(self) -> int:
        """The index of the head axis in the value of all heads."""
        return 1 if self.kind == "pattern" else 2

    @property
    def whole(self) -> "Site":
        """The same site with all heads."""
        return self if self.head is None else Site(self.layer, self.kind)

    def shift(self, layers: int) -> "Site":
        """The same site in another layer, `layers` later (earlier if negative)."""
        return self if self.layer is None else Site(self.layer + layers, self.kind, self.head)

    def __str__(self) -> str:
        if self.layer is None:
            return self.kind
        return f"L{self.layer}.{self.kind}" if self.head is None else f"L{self.layer}H{self.head}.{self.kind}"


def layer_kinds(*, parallel: bool) -> tuple[str, ...]:
    """The kinds of sites of a layer. A parallel layer has no stream between attention and MLP."""
    return tuple(kind for kind in LAYER_KINDS if not (parallel and kind == "resid_mid"))


def check_site(site: Site, n_layers: int, n_heads: int, *, parallel: bool = False) -> Site:
    """Return `site` if a model of this size has it, else raise `ComponentError`.

    `parallel`: attention and MLP of a layer read the same stream.
    """
    if parallel and site.kind == "resid_mid":
        raise ComponentError(
            f"{site} does not exist: attention and the MLP of a layer read the same stream, resid_pre, and no stream "
            "is between them. Use resid_pre, attn_out, mlp_out or resid_post."
        )
    if site.layer is not None and not 0 <= site.layer < n_layers:
        raise ComponentError(f"{site} does not exist: the model has layers 0 to {n_layers - 1}.")
    if site.head is not None and not 0 <= site.head < n_heads:
        raise ComponentError(f"{site} does not exist: the model has heads 0 to {n_heads - 1} in each layer.")
    return site
