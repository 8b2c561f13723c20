"""`Family`: the paths of the parts in the Hugging Face modules of one class, and how the logits are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

OWN_ADAPTERS = "hc_interp.models.transformer_lens_adapters"
TRANSFORMER_LENS = "transformer_lens.model_bridge.supported_architectures"


@dataclass(frozen=True)
class Family:
    """Dotted paths of a family's parts, in which `{}` is the layer. They start at `trunk`, except that of `head`.

    A family describes one class of Hugging Face modules: `hc.load(module, family=hc.Family(...))` wraps a class that
    hc_interp does not know. Loading compares every site with the module, and raises `ModelError` with the first one
    that differs.

    - `trunk`: the path of the module without its head.
    - `q`, `k`, `v`, `o`: the projections of attention. `joint`: q, k and v are thirds of one projection.
    - `norm_1`, `norm_2`: the norms of a block. `norm_final`: the norm after the last block of a pre-LN family.
    - `q_norm`, `k_norm`: norms of one head's q and k, before the rotation by `rotary`.
    - `d_mlp`: the config's name of the width of the MLP. A config without a value means `4 * d_model`.
    - `adapter`: the TransformerLens adapter, written as in an entry point, `module:class`. Without one the family has
      no `.bridge`, and `backend="nnsight"` runs it.
    - `padded_positions`: whether the position table starts after the padding index.
    - `causal`: whether a position attends to earlier positions only.
    - `head`: the last projection, to logits. `head_hook`: its name in TransformerLens.
    - `readout`: "classifier" if the logits are `[batch, class]` (an encoder's), "last" if they are those of the last
      position (a decoder's classifier), "vocabulary" if they are those of every position (a language model).
    - `mlp_in`, `activation`, `classify`: needed by the fast engine of path patching, of encoders only. `classify` maps
      a module and the last stream at the first position, `[row, d_model]`, to class logits.
    - `requires`: values that fields of the config must have. With another value the module computes what the family
      does not say.
    - `tiny`: the fields of a config of a small model, on which the tests compare the family with its module.
    """

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
    adapter: str | None = None
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
    requires: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def blocks(self) -> str:
        """The dotted path of the list of all blocks in the module."""
        return f"{self.trunk}.{self.block.removesuffix('.{}')}"

    @property
    def mlp(self) -> str:
        """The module that holds `mlp_out`: the MLP. BERT has no such module, but one with its second projection."""
        return self.mlp_out.rsplit(".", 1)[0]

    @property
    def pre_norm(self) -> bool:
        """Whether attention and MLP are applied to a normalised copy of the stream, which itself is not normalised."""
        return self.norm_final is not None


TINY_SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "intermediate_size": 32,
    "vocab_size": 60,
    "max_position_embeddings": 40,
    "num_labels": 3,
}
TINY_DECODER = {"pad_token_id": 1, "bos_token_id": 2, "eos_token_id": 2}


def scored(decoder: Family, adapter: str) -> Family:
    """The family of a decoder whose language-model head is replaced by a classifier, `score`."""
    return replace(decoder, adapter=adapter, head="score", head_hook="score", readout="last")
