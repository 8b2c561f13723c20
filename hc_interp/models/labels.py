"""Which class a logit stands for. Never guessed: checkpoints order the same labels differently."""

import re
from collections.abc import Sequence
from typing import Any

from hc_interp.errors import LabelError

_NUMBERED = re.compile(r"((label|class)[ _-]?)?\d+")


def read_labels(config: Any, labels: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Class names in logit order, lower case: `labels` if given, else the checkpoint's `id2label`.

    Raises `LabelError` if the checkpoint does not name its labels or `labels` has the wrong length.
    """
    count = config.num_labels
    if isinstance(labels, str):
        raise LabelError(f"labels={labels!r} is one text. Give a list with one name for each logit, in logit order.")
    if labels is not None and (not isinstance(labels, Sequence) or not all(isinstance(label, str) for label in labels)):
        raise LabelError(
            f"labels={labels!r} has no order or no names. Give a list of texts, one a logit, in logit order."
        )
    if labels is not None:
        given = tuple(str(label).strip().lower() for label in labels)
        if len(given) != count or len(set(given)) != count:
            raise LabelError(
                f"labels={list(labels)} has {len(set(given))} different names, but {name} has {count} classes. "
                "Give one name for each logit, in logit order."
            )
        return given
    named = [str(config.id2label.get(i, "")).strip().lower() for i in range(count)]
    if any(not label or _NUMBERED.fullmatch(label) for label in named) or len(set(named)) != count:
        raise LabelError(
            f"{name} does not name its labels (id2label is {dict(config.id2label)}), so the order of its classes "
            "cannot be read. Say which logit is which: hc.load(..., labels=['entailment', 'neutral', 'contradiction'])."
        )
    return tuple(named)
