"""`Family`: the paths of the parts in the Hugging Face modules of one class, and how the logits are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import Tensor

from hc_interp.errors import ModelError
from hc_interp.models.attention_rule import DistanceVectors
from hc_interp.records.digest import NOT_HASHED

OWN_ADAPTERS = "hc_interp.models.transformer_lens_adapters"
TRANSFORMER_LENS = "transformer_lens.model_bridge.supported_architectures"


@dataclass(frozen=True)
class Family:
    """Dotted paths of a family's parts, in which `{}` is the layer. They start at `trunk`, except that of `head`. Where
    modules of a class differ in a part, "one|other" names several paths. The first that a module has is the part.

    A family describes one class of Hugging Face modules: `hc.load(module, family=hc.Family(...))` wraps a class that
    hc_interp does not know. Loading compares every site with the module, and raises `ModelError` with the first one
    that differs.

    - `trunk`: the path of the module without its head.
    - `modules`: the config's name of the number of modules in the list of layers, where one module may compute several
      layers (ALBERT). Each computes equally many of them, one after the other. A component is then one call of it.
    - `q`, `k`, `v`, `o`: the projections of attention. `joint`: one projection computes q, k and v. "blocks": all
      heads' q stand first in its output, then all k, then all v. "heads": q, k and v of a head stand together, or the
      q of a group of heads and their k and v. `key_value_heads`: a function of the config that gives the number of
      different keys and values. Without one it is the config's `num_key_value_heads`, or that of heads.
    - `norm_1`, `norm_2`: the norms of what attention and the MLP read, or, without `norm_final`, of the stream after
      each of them is added. None: attention or the MLP reads the stream as it is. `norm_final`: the norm after the last
      block, which a family has if its stream is not normalised itself.
    - `attn_norm`, `mlp_norm`: the norms of what attention and the MLP put out, before it is added to the stream.
    - `parallel`: whether attention and the MLP of a block read the same stream and are both added to it, or the name of
      the config's field that says so. Else the MLP reads the stream to which attention was added. `adds_in_place`:
      whether the module adds to the MLP's output in place. A value that is read there is then a copy.
    - `q_bias`, `v_bias`: parameters that are added to q and v after a projection without bias.
    - `q_norm`, `k_norm`: norms of q and k before the rotation, of one head's or of all heads' together.
    - `rotary`: the module whose cosines and sines rotate q and k. `angles` gives them where no module does: a function
      of the module, a layer and the keys `[batch, pos, head, d_head]`. `neighbours`: whether neighbouring entries of a
      head are rotated together, and not those that half the rotated entries lie between.
    - `position_bias`: what is added to the attention scores, `[1, head, query, key]`: a function of the module and the
      number of positions. It may give None, for a module without one. A module with one rotates nothing.
    - `distances`: keys and queries of the distances between positions, which take part in the scores: a function of
      the module, a layer and the number of positions. `distance_projections`: the projections that only distances go
      through, of which a module may lack some.
    - `scale`: the factor of the scores, from the module, where it is neither that which its attention names nor
      `1 / sqrt(d_head)`.
    - `masked_queries`: whether padding attends to all positions alike.
    - `score_cap`, `logit_cap`: the config's names of the bounds of attention scores and logits. A number x becomes
      `bound * tanh(x / bound)`; a bound of None leaves it.
    - `softmax_in_float32`: whether the module's softmax is computed in float32, whatever the type of the model.
    - `d_mlp`: the config's name of the width of the MLP. A config without a value means `4 * d_model`.
    - `adapter`: the TransformerLens adapter, written as in an entry point, `module:class`. Without one the family has
      no `.bridge`, and nnsight runs it.
    - `padded_positions`: whether the position table starts after the padding index.
    - `causal`: whether a position attends to earlier positions only.
    - `head`: the last projection, to logits. `head_hook`: its name in TransformerLens.
    - `readout`: "classifier" if the logits are `[batch, class]` (an encoder's), "last" if they are those of the last
      position (a decoder's classifier), "token" if they are those of every position (a token classifier), and
      "vocabulary" if they are those of every position over all tokens (a language model).
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
    mlp_out: str
    modules: str | None = None
    norm_1: str | None = None
    norm_2: str | None = None
    head: str = "classifier"
    head_hook: str = "classifier"
    readout: str = "classifier"
    adapter: str | None = None
    norm_final: str | None = None
    q_norm: str | None = None
    k_norm: str | None = None
    q_bias: str | None = None
    v_bias: str | None = None
    attn_norm: str | None = None
    mlp_norm: str | None = None
    rotary: str | None = None
    angles: Callable[[Any, int, Tensor], tuple[Tensor, Tensor]] | None = None
    neighbours: bool = False
    position_bias: Callable[[Any, int], Tensor | None] | None = None
    distances: Callable[[Any, int, int], DistanceVectors] | None = None
    distance_projections: tuple[str, ...] = ()
    scale: Callable[[Any], float] | None = None
    masked_queries: bool = False
    score_cap: str | None = None
    logit_cap: str | None = None
    softmax_in_float32: bool = False
    joint: Literal["blocks", "heads"] | None = None
    key_value_heads: Callable[[Any], int] | None = None
    parallel: bool | str = False
    adds_in_place: bool = False
    causal: bool = False
    d_mlp: str = "intermediate_size"
    padded_positions: bool = False
    mlp_in: str | None = None
    activation: str | None = None
    classify: Callable[[Any, Tensor], Tensor] | None = None
    requires: Mapping[str, Any] = field(default_factory=dict, hash=False)
    tiny: Mapping[str, Any] = field(default_factory=dict, hash=False, metadata=NOT_HASHED)

    def __post_init__(self) -> None:
        if self.norm_final is None and None in (self.norm_1, self.norm_2):
            raise ModelError(
                "hc.Family was given without norm_final, so that its stream is normalised after each sum, and without "
                "norm_1 or norm_2, which do that. Name both norms, or norm_final if the stream itself has none."
            )

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
        """Whether the stream itself is not normalised, but only what is read from it or added to it."""
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
    return replace(decoder, adapter=adapter, head="score", head_hook="score", readout="last", logit_cap=None)
