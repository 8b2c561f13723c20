"""BERT (Devlin et al. 2019), with a classifier or as a masked language model."""

from dataclasses import replace

from hc_interp.models.families.family import OWN_ADAPTERS, TRANSFORMER_LENS, Family

BERT = Family(
    adapter=f"{OWN_ADAPTERS}:BertClassifierAdapter",
    trunk="bert",
    block="encoder.layer.{}",
    q="encoder.layer.{}.attention.self.query",
    k="encoder.layer.{}.attention.self.key",
    v="encoder.layer.{}.attention.self.value",
    o="encoder.layer.{}.attention.output.dense",
    norm_1="encoder.layer.{}.attention.output.LayerNorm",
    mlp_in="encoder.layer.{}.intermediate.dense",
    activation="encoder.layer.{}.intermediate.intermediate_act_fn",
    mlp_out="encoder.layer.{}.output.dense",
    norm_2="encoder.layer.{}.output.LayerNorm",
    classify=lambda module, first: module.classifier(module.bert.pooler(first[:, None])),
)
CLASSES = {
    "BertForSequenceClassification": BERT,
    "BertForMaskedLM": replace(
        BERT,
        adapter=f"{TRANSFORMER_LENS}.bert:BertArchitectureAdapter",
        head="cls.predictions.decoder",
        head_hook="unembed",
        readout="vocabulary",
        classify=None,
    ),
}
