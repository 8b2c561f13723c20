"""RoBERTa (Liu et al. 2019): BERT's layers, and a head that reads the first position of the sequence."""

from dataclasses import replace

from hc_interp.models.families.bert import BERT
from hc_interp.models.families.family import OWN_ADAPTERS

ROBERTA = replace(
    BERT,
    adapter=f"{OWN_ADAPTERS}:RobertaClassifierAdapter",
    trunk="roberta",
    head="classifier.out_proj",
    padded_positions=True,
    classify=lambda module, first: module.classifier(first[:, None]),
)
CLASSES = {"RobertaForSequenceClassification": ROBERTA}
