"""DistilBERT (Sanh et al. 2019), with a classifier."""

from hc_interp.models.families.family import OWN_ADAPTERS, Family

DISTILBERT = Family(
    adapter=f"{OWN_ADAPTERS}:DistilBertClassifierAdapter",
    trunk="distilbert",
    block="transformer.layer.{}",
    q="transformer.layer.{}.attention.q_lin",
    k="transformer.layer.{}.attention.k_lin",
    v="transformer.layer.{}.attention.v_lin",
    o="transformer.layer.{}.attention.out_lin",
    norm_1="transformer.layer.{}.sa_layer_norm",
    d_mlp="hidden_dim",
    mlp_in="transformer.layer.{}.ffn.lin1",
    activation="transformer.layer.{}.ffn.activation",
    mlp_out="transformer.layer.{}.ffn.lin2",
    norm_2="transformer.layer.{}.output_layer_norm",
    classify=lambda module, first: module.classifier(module.pre_classifier(first).relu()),
)
CLASSES = {"DistilBertForSequenceClassification": DISTILBERT}
