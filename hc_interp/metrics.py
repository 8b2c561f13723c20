"""Metrics: one number for each example from its logits. Path effects and accuracies are measured in them.

A metric is a function `(logits, rows) -> [batch]`. `rows` says which rows of the data the logits belong to and what is
right for each of them. A row is right in one of two ways:

- by label: `gold` is the index of its label group, a set of classes that count as one label. For HANS on a three-way
  classifier, neutral and contradiction are one group.
- by its own words: `answer` and `foil` are tokens of a language model's vocabulary, one or several for each row.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from hc_interp.errors import HCError

# The class indices of each label group, like ((0,), (1, 2)). The groups partition the classes.
ClassGroups = Sequence[Sequence[int]]


@dataclass(frozen=True, eq=False)
class MetricRows:
    """The rows that a metric is asked about, in the order of the logits.

    `index` numbers them in the data (the pairs) that the call was given, and `ids` are their ids. So a metric that
    needs a table of its own finds its entries by `index` or by `ids`, whatever the batch size and the order. `gold` is
    the index of each row's label group in `groups`; both are None for a language model that is read over its whole
    vocabulary. `answer` and `foil` are tokens, padded with -1; they are None for data without answers.
    """

    index: Int[Tensor, " batch"]
    ids: tuple[str, ...] | None = None
    gold: Int[Tensor, " batch"] | None = None
    groups: ClassGroups | None = None
    answer: Int[Tensor, "batch answer_word"] | None = None
    foil: Int[Tensor, "batch foil_word"] | None = None

    @classmethod
    def labelled(cls, gold: Int[Tensor, " batch"], groups: ClassGroups) -> Self:
        """Rows that are right by label, numbered from 0."""
        return cls(torch.arange(len(gold), device=gold.device), None, gold, groups)

    def __len__(self) -> int:
        return len(self.index)

    def repeated(self, times: int) -> Self:
        """All rows, `times` times one after the other."""

        def again(value: Tensor | None) -> Tensor | None:
            return None if value is None else value.repeat(times, *[1] * (value.ndim - 1))

        return replace(
            self,
            index=self.index.repeat(times),
            ids=None if self.ids is None else self.ids * times,
            gold=again(self.gold),
            answer=again(self.answer),
            foil=again(self.foil),
        )


Metric = Callable[[Tensor, MetricRows], Tensor]


def group_mask(groups: ClassGroups, n_classes: int, device: torch.device | str = "cpu") -> Bool[Tensor, "group class"]:
    """True where a class belongs to a group."""
    mask = torch.zeros(len(groups), n_classes, device=device, dtype=torch.bool)
    for row, group in enumerate(groups):
        mask[row, list(group)] = True
    return mask


def _wide(logits: Float[Tensor, "batch class"]) -> Float[Tensor, "batch class"]:
    """Half precision becomes float32: it would round the small differences of effects, and long sums of ones."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits


def _in_gold(logits: Float[Tensor, "batch class"], rows: MetricRows) -> Bool[Tensor, "batch class"]:
    """True for the classes of each row's gold group."""
    assert rows.gold is not None
    assert rows.groups is not None
    return group_mask(rows.groups, logits.shape[-1], logits.device)[rows.gold]


def _of_words(
    values: Float[Tensor, "batch vocabulary"], words: Int[Tensor, "batch word"] | None, fill: float
) -> Float[Tensor, "batch word"]:
    """The values of each row's own words; `fill` where a row has fewer words than another."""
    assert words is not None
    return values.gather(1, words.clamp_min(0)).masked_fill(words < 0, fill)


def logit_diff(logits: Float[Tensor, "batch class"], rows: MetricRows) -> Float[Tensor, " batch"]:
    """Log odds. By label: logsumexp of the gold group's logits minus logsumexp of all other logits. By own words:
    logsumexp of the answer's logits minus logsumexp of the foil's."""
    logits = _wide(logits)
    low = torch.finfo(logits.dtype).min
    if rows.answer is not None:
        sides = (_of_words(logits, words, low).logsumexp(-1) for words in (rows.answer, rows.foil))
        return next(sides) - next(sides)
    in_gold = _in_gold(logits, rows)
    return logits.masked_fill(~in_gold, low).logsumexp(-1) - logits.masked_fill(in_gold, low).logsumexp(-1)


def prob_diff(logits: Float[Tensor, "batch class"], rows: MetricRows) -> Float[Tensor, " batch"]:
    """Difference of probabilities, -1 to 1. By label: of the gold group and of all other groups. By own words: of the
    answer's words and of the foil's; words that are neither count for none."""
    probabilities = _wide(logits).softmax(-1)
    if rows.answer is not None:
        sides = (_of_words(probabilities, words, 0.0).sum(-1) for words in (rows.answer, rows.foil))
        return next(sides) - next(sides)
    return 2 * (probabilities * _in_gold(logits, rows)).sum(-1) - 1


def correct(logits: Float[Tensor, "batch class"], rows: MetricRows) -> Float[Tensor, " batch"]:
    """1 for a right row, else 0.

    By label, a row is right if the class with the largest logit is in the gold group (HANS' rule). By own words it is
    right if the answer is above the foil, that is if `logit_diff` is above 0.
    """
    if rows.answer is not None:
        return (logit_diff(logits, rows) > 0).to(_wide(logits).dtype)
    in_gold = _in_gold(logits, rows)
    return in_gold.gather(1, logits.argmax(-1, keepdim=True))[:, 0].to(_wide(logits).dtype)


PATH_METRICS: dict[str, Metric] = {"logit_diff": logit_diff, "prob_diff": prob_diff}


def path_metric(metric: str | Metric) -> Metric:
    """The metric of this name, or a user's function `(logits, rows) -> [batch]` with its result checked.

    Raises `HCError` for a name that is not in `PATH_METRICS`, and for a function that takes other arguments.
    """
    if callable(metric):
        _check_arguments(metric)
        return _per_pair(metric)
    if metric not in PATH_METRICS:
        raise HCError(
            f"metric={metric!r} is not a metric for paths. Use {', '.join(PATH_METRICS)} or a function "
            "(logits, rows) -> [batch]; kl and accuracy belong to hc.evaluate."
        )
    return PATH_METRICS[metric]


def _check_arguments(metric: Metric) -> None:
    """Raise `HCError` for a function that cannot be called with two arguments, such as the form (logits, gold, groups).

    A callable that does not tell its arguments (some built-in ones) is not checked.
    """
    try:
        signature = inspect.signature(metric)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, None)
    except TypeError as error:
        name = getattr(metric, "__name__", repr(metric))
        raise HCError(
            f"The metric {name!r} takes {signature}; expected a function of two arguments, (logits, rows) -> [batch]. "
            "rows.gold and rows.groups are what the arguments gold and groups were, rows.index numbers the rows in the "
            "data, and rows.ids, rows.answer and rows.foil are theirs: def metric(logits, rows): return "
            "logits[torch.arange(len(rows)), rows.gold]."
        ) from error


def _per_pair(metric: Metric) -> Metric:
    """A user's metric that must return one number for each pair. A single number would silently count for all pairs."""

    def checked(logits: Tensor, rows: MetricRows) -> Tensor:
        score = metric(logits, rows)
        if not isinstance(score, Tensor) or score.shape != rows.index.shape:
            got = tuple(score.shape) if isinstance(score, Tensor) else type(score).__name__
            raise HCError(
                f"The metric {getattr(metric, '__name__', metric)!r} returned {got}; expected a tensor of shape "
                f"{tuple(rows.index.shape)}, one number for each pair. Leave out the mean or sum over pairs."
            )
        return score

    return checked


def kl_divergence(full: Float[Tensor, "batch class"], masked: Float[Tensor, "batch class"]) -> Float[Tensor, " batch"]:
    """KL(full || masked) of the class distributions of two sets of logits, in nats."""
    wide = torch.promote_types(full.dtype, torch.float32)
    log_p, log_q = full.log_softmax(-1, dtype=wide), masked.log_softmax(-1, dtype=wide)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


def group_cross_entropy(
    logits: Float[Tensor, "batch class"], gold: Bool[Tensor, "batch class"]
) -> Float[Tensor, " batch"]:
    """Minus the log probability of the gold group, in nats. `gold` is True for the classes of that group."""
    logits, low = logits.to(torch.promote_types(logits.dtype, torch.float32)), float("-inf")
    return logits.logsumexp(-1) - logits.masked_fill(~gold, low).logsumexp(-1)


def answer_cross_entropy(
    logits: Float[Tensor, "batch class"], answer: Int[Tensor, "batch word"]
) -> Float[Tensor, " batch"]:
    """Minus the log probability of the answer's words among all words, in nats. `answer` is padded with -1."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return logits.logsumexp(-1) - _of_words(logits, answer, float("-inf")).logsumexp(-1)
