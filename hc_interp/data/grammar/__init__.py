"""The grammar: templates and words that make examples of the 30 diagnostic cases, and in-domain examples."""

from hc_interp.data.grammar.cases import CASES, CaseParts, case_examples, case_key, case_of
from hc_interp.data.grammar.claims import claim_examples
from hc_interp.data.grammar.in_domain import in_domain_examples

__all__ = ["CASES", "CaseParts", "case_examples", "case_key", "case_of", "claim_examples", "in_domain_examples"]
