"""XLM-RoBERTa (Conneau et al. 2020): RoBERTa's layers."""

from hc_interp.models.families.roberta import roberta_like

CLASSES = roberta_like("XLMRoberta")
