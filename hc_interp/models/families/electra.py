"""ELECTRA (Clark et al. 2020): BERT's layers, and a head that reads the first position of the sequence."""

from dataclasses import replace

from hc_interp.models.families.bert import BERT, classified, tagger
from hc_interp.models.families.family import OWN_ADAPTERS

ELECTRA = replace(
    BERT,
    adapter=f"{OWN_ADAPTERS}:ElectraClassifierAdapter",
    trunk="electra",
    head="classifier.out_proj",
    classify=classified,
    tiny={**BERT.tiny, "embedding_size": 12},
)
CLASSES = {
    "ElectraForSequenceClassification": ELECTRA,
    "ElectraForTokenClassification": tagger(ELECTRA, f"{OWN_ADAPTERS}:ElectraTokenAdapter"),
}
