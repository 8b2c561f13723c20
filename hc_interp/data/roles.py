"""Roles: which positions of each row play a part, such as its first text or its subject.

Every row has `last`, its last token that is not padding. `cls` and `sep` are the tokens that a tokenizer adds by these
names, `first_text` and `second_text` the tokens of the two texts without such tokens. All other roles come from the
spans of the data (`Examples(spans=...)`, the grammar's pairs and cases, the prompt tasks), which the tokenizer's
offsets map to tokens, or from `Batch(roles=...)`. There `first_text` and `second_text` may stand too, and then mean
that: where a template writes two texts as one prompt, they are the places of both.

A token has a role if it shares a character with a span. On contrast pairs the clean side's positions count.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool
from torch import Tensor

from hc_interp.components import At, Part
from hc_interp.data.batch import Batch
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError

FROM_TOKENS = ("cls", "sep", "first_text", "second_text", "last")  # roles of a row that its tokens decide
Mask = Bool[Tensor, "batch pos"]
_MAPS: "WeakKeyDictionary[Batch, dict[tuple[Any, ...], Tensor]]" = WeakKeyDictionary()


def role_mask(tokenizer: Any, batch: Batch, role: str) -> Mask:
    """Where the rows of a batch have a role. It is computed once for each batch.

    Raises `DataError`, which names the row, where a row has no position of this role.
    """
    special = _special(tokenizer)
    known = _MAPS.setdefault(batch, {})
    key = role, *special
    if key not in known:
        mask = _mask(batch, role, *special)
        if mask is None or not bool(mask.any(1).all()):
            raise _absent(tokenizer, batch, role, mask)
        known[key] = mask
    return known[key]


def roles_mask(tokenizer: Any, batch: Batch, roles: Sequence[str]) -> Mask:
    """Where the rows of a batch have at least one of these roles, at least one role given."""
    masks = [role_mask(tokenizer, batch, role) for role in roles]
    return masks[0] if len(masks) == 1 else torch.stack(masks).any(0)


def check_roles(tokenizer: Any, batch: Batch, parts: Iterable[Part]) -> None:
    """Raise `DataError`, which names the row, where a component stands at a role that a row lacks."""
    for role in dict.fromkeys(part.role for part in parts if isinstance(part, At)):
        role_mask(tokenizer, batch, role)


def roles_everywhere(tokenizer: Any, batches: Iterable[Batch]) -> tuple[list[str], dict[str, str]]:
    """The roles that all rows of these batches have, and the other ones, each with a row that lacks it."""
    batches = list(batches)
    names = dict.fromkeys([*FROM_TOKENS, *(role for batch in batches for role in batch.roles or {})])
    shared, partial = [], {}
    for role in names:
        masks = {batch: _mask(batch, role, *_special(tokenizer)) for batch in batches}
        lacking = [batch for batch, mask in masks.items() if mask is None or not bool(mask.any(1).all())]
        if not lacking:
            shared.append(role)
        elif any(mask is not None and bool(mask.any()) for mask in masks.values()):
            partial[role] = _name(lacking[0], _first_lacking(masks[lacking[0]]))
    return shared, partial


def span_masks(tokenizer: Any, examples: Examples) -> list[dict[str, Bool[Tensor, " pos"]]]:
    """For each row the tokens that share a character with the row's spans, by role.

    A tokenizer that does not tell which characters a token covers finds none.
    """
    if examples.spans is None or not getattr(tokenizer, "is_fast", False):
        return [{} for _ in range(len(examples))]
    texts = (list(examples.first),) if examples.second is None else (list(examples.first), list(examples.second))
    encoded = tokenizer(*texts, return_offsets_mapping=True)
    rows = []
    for row in range(len(examples)):
        offsets = zip(encoded["offset_mapping"][row], encoded.sequence_ids(row), strict=True)
        tokens = [(start, end, None if side is None else ("first", "second")[side]) for (start, end), side in offsets]
        rows.append({role: _tokens_of(by_row[row], tokens) for role, by_row in examples.spans.items()})
    return rows


def _tokens_of(spans: Sequence[Any], tokens: Sequence[tuple[int, int, str | None]]) -> Bool[Tensor, " pos"]:
    """Which of these tokens, each with its characters and its text, share a character with a span."""
    shares = [
        any(name == text and start < last and end > begin for begin, last, name in spans) for start, end, text in tokens
    ]
    return torch.tensor(shares, dtype=torch.bool)


def with_roles_of(batch: Batch, other: Batch) -> Batch:
    """The batch, with the roles that it does not name from `other`, whose rows have the same layout."""
    if not other.roles or set(other.roles) <= set(batch.roles or {}):
        return batch
    return replace(batch, roles={**other.roles, **(batch.roles or {})})


def _special(tokenizer: Any) -> tuple[int | None, int | None, tuple[int, ...] | None]:
    """The tokens `cls` and `sep`, and all tokens that are no part of a text (None: no tokenizer tells)."""
    if tokenizer is None:
        return None, None, None
    ids = {name: getattr(tokenizer, f"{name}_token_id", None) for name in ("cls", "sep", "bos", "eos")}
    return ids["cls"], ids["sep"], tuple(sorted({token for token in ids.values() if token is not None}))


def _mask(batch: Batch, role: str, cls: int | None, sep: int | None, special: Sequence[int] | None) -> Mask | None:
    """Where the rows have a role; None if nothing says where."""
    if batch.roles is not None and role in batch.roles:
        return batch.roles[role]
    tokens, real = batch.input_ids, batch.attention_mask.bool()
    if role == "last":
        return real & (real.cumsum(1) == real.sum(1, keepdim=True))
    if role in ("cls", "sep"):
        token = cls if role == "cls" else sep
        return None if token is None else real & (tokens == token)
    if role not in FROM_TOKENS or special is None:
        return None
    text = real & ~torch.isin(tokens, torch.tensor(special, dtype=torch.long, device=tokens.device))
    after = torch.zeros_like(real) if sep is None else (tokens == sep).cumsum(1) > 0
    return text & (after if role == "second_text" else ~after)


def _first_lacking(mask: Mask | None) -> int:
    return 0 if mask is None else int((~mask.any(1)).nonzero()[0])


def _name(batch: Batch, row: int) -> str:
    return f"row {row}" if batch.ids is None else f"row {batch.ids[row]!r}"


def _absent(tokenizer: Any, batch: Batch, role: str, mask: Mask | None) -> DataError:
    where = _name(batch, _first_lacking(mask))
    known = [name for name in (*FROM_TOKENS, *(batch.roles or {})) if _has(tokenizer, batch, name)]
    if tokenizer is None and role in FROM_TOKENS:
        mend = "The model was loaded without a tokenizer, which would tell: hc.load(..., tokenizer=tok)."
    elif batch.roles and not getattr(tokenizer, "is_fast", False):
        mend = "Give it in Batch(roles=...)."
    else:
        mend = (
            "Give the data a span for each row, Examples(..., spans={'" + role + "': [(start, end), ...]}), leave the "
            "row out, or choose another role."
        )
    return DataError(
        f"{where[0].upper()}{where[1:]} has no position of the role {role!r}; the rows of its batch all have "
        f"{', '.join(dict.fromkeys(known))}. {mend}"
    )


def _has(tokenizer: Any, batch: Batch, role: str) -> bool:
    mask = _mask(batch, role, *_special(tokenizer))
    return mask is not None and bool(mask.any(1).all())
