"""The grammar: examples whose labels are right by construction, for the 30 diagnostic cases and in domain."""

from hc_interp.data.grammar.cases import CASES, case_examples
from hc_interp.data.grammar.in_domain import in_domain_examples

__all__ = ["CASES", "case_examples", "in_domain_examples"]
