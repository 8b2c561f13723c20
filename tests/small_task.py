"""A part of the grammar's task: splits that are encoded in a moment, and two cases of each label of each heuristic."""

from dataclasses import replace

import hc_interp as hc

CASES = (
    "lexical_overlap_le_passive", "lexical_overlap_le_conjunction", "lexical_overlap_ln_subject/object_swap",
    "lexical_overlap_ln_passive", "subsequence_se_adjective", "subsequence_se_PP_on_obj", "subsequence_sn_NP/S",
    "subsequence_sn_PP_on_subject", "constituent_ce_adverb", "constituent_ce_embedded_under_since",
    "constituent_cn_adverb", "constituent_cn_embedded_under_if",
)  # fmt: skip


def part_of(task: hc.Task, n: int = 300) -> hc.Task:
    """At most `n` examples of each split but the cases, in the order in which `sample` gives them."""
    splits = {name: getattr(task, name).sample(n, 0) for name in ("train", "validation", "overlap")}
    return replace(task, cases={case: task.cases[case] for case in CASES}, **splits)
