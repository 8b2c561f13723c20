"""Reads which class each logit belongs to. It is never guessed: checkpoints order the same labels differently."""

from collections.abc import Mapping, Sequence
from typing import Any

from hc_interp.data.labels import in_another_order, is_name, normalise, same_order
from hc_interp.errors import LabelError, ModelError


def check_single_label(config: Any, outputs: int, name: str) -> None:
    """Raise `ModelError` for a regression or a multi-label model, whose largest logit is not its answer."""
    problem = getattr(config, "problem_type", None)
    if outputs > 1 and problem in (None, "single_label_classification"):
        return
    reason = f"{outputs} output" if outputs == 1 else f"problem_type={problem!r} in its config"
    raise ModelError(
        f"{name} has {reason}, so it does not choose one of several classes. Expected a classifier with one output for "
        "each class, of which one is right. Load such a checkpoint; where the config is wrong, set "
        "problem_type='single_label_classification' in config.json or module.config."
    )


def read_labels(config: Any, outputs: int, labels: Sequence[str] | None, name: str) -> tuple[str, ...]:
    """Class names in logit order, lower case: `labels` if given, else the `id2label` of the checkpoint's config.

    `outputs` is the number of logits, and so of names. Raises `LabelError` if the config does not name its labels, if
    its `id2label` and `label2id` contradict each other, if `labels` has the wrong length, and if `labels` has the names
    of the config in another order.
    """
    by_id, by_name = _in_order(config.id2label, outputs), _in_order(_inverted(config), outputs)
    if labels is None:
        return _stored_names(config, by_id, by_name, outputs, name)
    cleaned = _cleaned_names(labels, outputs, name)
    stored = [names for names in (by_id, by_name) if names is not None]
    moved = any(in_another_order(cleaned, names) for names in stored)
    if moved and not any(same_order(cleaned, names) for names in stored):
        raise LabelError(
            f"labels={list(labels)} puts the classes of {name} in another order than the checkpoint does, which names "
            f"its outputs {list(stored[0])}. Leave labels= out to read them in that order. Where the checkpoint's own "
            "names are wrong, correct id2label and label2id in its config.json (or module.config)."
        )
    return cleaned


def _cleaned_names(labels: Sequence[str], outputs: int, name: str) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise LabelError(f"labels={labels!r} is one text. Give a list with one name for each logit, in logit order.")
    if not isinstance(labels, Sequence) or not all(isinstance(label, str) for label in labels):
        raise LabelError(
            f"labels={labels!r} has no order or no names. Give a list of texts, one a logit, in logit order."
        )
    cleaned = tuple(str(label).strip().lower() for label in labels)
    if len(cleaned) != outputs or len(set(cleaned)) != outputs:
        raise LabelError(
            f"labels={list(labels)} has {len(set(cleaned))} different names, but {name} has {outputs} classes. "
            "Give one name for each logit, in logit order."
        )
    return cleaned


def _stored_names(
    config: Any, by_id: tuple[str, ...] | None, by_name: tuple[str, ...] | None, outputs: int, name: str
) -> tuple[str, ...]:
    if by_id is None:
        raise LabelError(
            f"{name} does not name its labels (id2label is {dict(config.id2label)}, its head has {outputs} outputs), "
            "so the order of its classes cannot be read. Say which logit is which: hc.load(..., labels=['entailment', "
            "'neutral', 'contradiction']), --labels entailment,neutral,contradiction."
        )
    spelled = {str(index): normalise(label) for index, label in enumerate(by_id)}
    others = {normalise(str(label)): str(index) for index, label in _inverted(config).items()}
    moved = any(label in spelled.values() and spelled.get(index) != label for label, index in others.items())
    if moved or (by_name is not None and not same_order(by_id, by_name)):
        raise LabelError(
            f"The config of {name} contradicts itself: id2label is {dict(config.id2label)}, label2id is "
            f"{dict(config.label2id)}. Correct the wrong one in config.json (or module.config), or say which logit is "
            f"which: hc.load(..., labels={list(by_id)})" + (f" or labels={list(by_name)}." if by_name else ".")
        )
    return by_id


def _in_order(names: Mapping[Any, Any], outputs: int) -> tuple[str, ...] | None:
    """The names of all outputs. None if one is missing, is no name ("LABEL_0", "class 1", "2"), or occurs twice."""
    by_index = {str(index): str(label).strip().lower() for index, label in names.items()}
    ordered = tuple(by_index.get(str(index), "") for index in range(outputs))
    unnamed = len(by_index) != outputs or not all(map(is_name, ordered))
    return None if unnamed or len(set(ordered)) != outputs else ordered


def _inverted(config: Any) -> dict[Any, Any]:
    return {index: label for label, index in (getattr(config, "label2id", None) or {}).items()}
