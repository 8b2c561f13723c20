"""Numbers and states of a verdict in words: shares, the parts of T, premises, readings.

The words "read from" stand in no sentence but that of the answer `reads_from`; other readings say "depend on".
"""

import math
from typing import Any

from hc_interp.reading.decision import REASONS, Reading
from hc_interp.reading.records import DirectionRecord
from hc_interp.statistics.tests import Interval

# A premise in words, by its state.
PREMISE_WORDS = {
    "model_generalizes": {
        "holds": "the model generalizes",
        "fails": "the model does not generalize",
        "open": "whether the model generalizes is open",
    },
    "core_is_heuristic": {
        "holds": "its core follows the heuristic",
        "fails": "the core alone does not follow the heuristic",
        "open": "whether the core follows the heuristic is open",
    },
    "heads_generalize": {
        "holds": "the other heads carry generalization",
        "fails": "generalization does not need these heads more than others",
        "open": "whether the other heads carry generalization is open",
    },
}
DIRECTION_WORDS = {"as_is": "as they are", "reversed": "reversed"}


def parts_text(record: DirectionRecord) -> str:
    """T in parts that add up: "1 % directly, 14 % more through MLPs, 54 % only through other heads"."""
    more = {
        "directly": "directly",
        "through MLPs": "more through MLPs",
        "through other heads": "only through other heads",
    }
    parts = [f"{percent(value)} % {more[words]}" for words, value in record.parts.items() if not math.isnan(value)]
    return ", ".join(parts) if len(parts) > 1 else ""


def share_text(share: Interval) -> str:
    """A share and its interval in percent; "undefined" where it is NaN."""
    if math.isnan(float(share)):
        return "undefined"
    return f"{percent(share.value)} % [{percent(share.low)}, {percent(share.high)}]"


def percent(share: Any) -> str:
    """A share in percent without decimals; below 1 %, with one."""
    value = 100 * float(share)
    text = f"{value:.0f}" if abs(value) >= 1 else f"{value:.1f}"
    return "0" if text in ("-0.0", "0.0", "-0") else text


def few_levels(record: DirectionRecord) -> str:
    """The units with too few levels to count, in words: the result is about these levels alone."""
    words = [
        f"{'this' if n == 1 else f'these {n}'} {name}{'' if n == 1 else 's'}" for name, n in record.few.items() if n
    ]
    return f"for {' and '.join(words)}" if words else ""


def p_text(p: float) -> str:
    return "-" if math.isnan(p) else f"{p:.2g}"


def reading_text(reading: Reading, reason: str, heads: str, core: str, margin: str) -> str:
    """The reading of the paths between heads, without a stop."""
    if reading == "reads_specifically":
        return f"{heads} depend on {core} more than other heads of the same layers do"
    if reading == "shared_trunk":
        return f"{heads} depend on {core} no more than other heads of the same layers do"
    if reading == "does_not_read_from":
        return f"{heads} do not depend on {core}, to a margin of {margin} of their effect"
    if reading == "specificity_open":
        return f"{heads} depend on {core}; whether more than other heads do is open, because {REASONS[reason]}"
    return f"whether {heads} depend on {core} is undecided, because {REASONS[reason]}"
