"""RoBERTa (Liu et al. 2019): BERT's layers, with a classifier that reads the first position, or as a masked LM."""

from dataclasses import replace

from hc_interp.models.families.bert import BERT, classified, masked, tagger
from hc_interp.models.families.family import OWN_ADAPTERS, TRANSFORMER_LENS, Family

ROBERTA = replace(
    BERT,
    adapter=f"{OWN_ADAPTERS}:RobertaClassifierAdapter",
    trunk="roberta",
    head="classifier.out_proj",
    padded_positions=True,
    classify=classified,
)
CLASSES = {
    "RobertaForSequenceClassification": ROBERTA,
    "RobertaForMaskedLM": masked(ROBERTA, f"{TRANSFORMER_LENS}.roberta:RobertaArchitectureAdapter", "lm_head.decoder"),
    "RobertaForTokenClassification": tagger(ROBERTA, f"{OWN_ADAPTERS}:RobertaTokenAdapter"),
}


def roberta_like(name: str) -> dict[str, Family]:
    """The module classes of a family with RoBERTa's layers and names of parts."""
    return {name + head.removeprefix("Roberta"): family for head, family in CLASSES.items()}
