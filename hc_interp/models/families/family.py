"""`Family`: where the Hugging Face modules of one class keep their parts, and how their output is read."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

OWN_ADAPTERS = "hc_interp.models.transformer_lens_adapters"
TRANSFORMER_LENS = "transformer_lens.model_bridge.supported_architectures"


@dataclass(frozen=True)
class Family:
    """Dotted paths of a family's parts; `{}` is the layer. All are below `trunk` but `head`, the last projection.

    `adapter` names the TransformerLens adapter as an entry point does, `module:class`. `head_hook` is what
    TransformerLens calls the head.
    `readout` says what the module's logits are: "classifier" (an encoder's, `[batch, class]`), "last" (a classifier
    on a decoder: the last position's), "vocabulary" (a language model's, at every position). `joint` is a family whose
    q, k and v are thirds of one projection; `q_norm` and `k_norm` are norms of one head's q and k before the rotation.
    `d_mlp` is the config's name for the width of the MLP; a config without a value there means `4 * d_model`.
    `padded_positions` is a family whose position table starts after its padding index.
    `mlp_in`, `activation` and `classify` are what the fast engine of path patching needs of an encoder: `classify`
    gives class logits from a module and the last stream at the first position, `[row, d_model]`.
    """

    adapter: str
    trunk: str
    block: str
    q: str
    k: str
    v: str
    o: str
    norm_1: str
    mlp_out: str
    norm_2: str
    head: str = "classifier"
    head_hook: str = "classifier"
    readout: str = "classifier"
    norm_final: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    rotary: str | None = None
    joint: bool = False
    causal: bool = False
    d_mlp: str = "intermediate_size"
    padded_positions: bool = False
    mlp_in: str | None = None
    activation: str | None = None
    classify: Callable[[Any, Tensor], Tensor] | None = None

    @property
    def blocks(self) -> str:
        """Dotted path of the list of all blocks, in the module."""
        return f"{self.trunk}.{self.block.removesuffix('.{}')}"

    @property
    def mlp(self) -> str:
        """The MLP as one module; BERT has none, only its two projections."""
        return self.mlp_out.rsplit(".", 1)[0]

    @property
    def pre_norm(self) -> bool:
        """Whether norms stand before attention and MLP, so that the stream itself is never normalised."""
        return self.norm_final is not None


def scored(decoder: Family, adapter: str) -> Family:
    """A decoder with a classifier, `score`, in the place of its language-model head."""
    return replace(decoder, adapter=adapter, head="score", head_hook="score", readout="last")
