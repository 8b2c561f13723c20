"""TransformerLens adapters of Falcon, in all its variants."""

from typing import Any

from transformer_lens.model_bridge.generalized_components import (
    JointQKVPositionEmbeddingsAttentionBridge,
    LinearBridge,
)
from transformer_lens.model_bridge.supported_architectures.falcon import FalconArchitectureAdapter

from hc_interp.models.families.falcon import key_value_heads
from hc_interp.models.joint_projection import JointProjection, PartOfJoint
from hc_interp.models.transformer_lens_adapters import Scored


class FalconAttention(JointQKVPositionEmbeddingsAttentionBridge):
    """Falcon's attention. With ALiBi the module rotates nothing, and hands the bias over in the mask."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("alibi") is not None:
            kwargs["position_embeddings"] = None
        return super().forward(*args, **kwargs)


class FalconAdapter(FalconArchitectureAdapter):
    """`FalconForCausalLM`. TransformerLens' own splits grouped heads as if all q stood first, and adds ALiBi twice."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        blocks: Any = self.components["blocks"]
        blocks.submodules["attn"] = FalconAttention(
            name="self_attention",
            config=self.cfg,
            split_qkv_matrix=self._split_falcon_qkv,
            submodules={"qkv": LinearBridge(name="query_key_value"), "o": LinearBridge(name="dense")},
            requires_attention_mask=True,
        )

    def prepare_model(self, hf_model: Any) -> None:
        super().prepare_model(hf_model)
        self.cfg.n_key_value_heads = key_value_heads(hf_model.config)
        ln1 = self.components["blocks"].submodules["ln1"]
        ln1.name = "ln_attn" if hasattr(hf_model.transformer.h[0], "ln_attn") else "input_layernorm"

    def _split_falcon_qkv(self, original_attention_component: Any) -> Any:
        shared = self.cfg.n_key_value_heads or self.cfg.n_heads
        layout = JointProjection(
            (self.cfg.n_heads, shared, shared), original_attention_component.head_dim, by_head=True
        )
        return tuple(PartOfJoint(original_attention_component.query_key_value, layout, part) for part in range(3))


class FalconClassifierAdapter(Scored, FalconAdapter):
    """`FalconForSequenceClassification`."""
