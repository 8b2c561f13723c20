"""`Batch`: the encoded input of a model. Batches are joined, padded and trimmed here and nowhere else."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from hc_interp.components import check_role
from hc_interp.data.row_indices import row_indices
from hc_interp.errors import DataError
from hc_interp.records.digest import digest
from hc_interp.torch_modes import usable

NO_WORD = -1  # fills the answer and foil tokens of rows that have fewer words than others
# One example without padding: "input_ids", "token_type_ids" if it has any, and the positions of each of its roles by
# `role_key`. Lengths differ between examples.
TokenRow = dict[str, Shaped[Tensor, " _"]]
_ROLE_KEY = "role "


def role_key(role: str) -> str:
    """The key of a role's positions in a `TokenRow`."""
    return _ROLE_KEY + role


@dataclass(frozen=True, eq=False)
class Batch:
    """Encoded examples, right-padded.

    `attention_mask` is 1 at tokens and 0 at padding (default: all ones); ones and zeros of any type are accepted and
    stored as integers. `labels` index the label groups of the data that the rows come from. `ids` name the rows: by its
    id `ContrastPairs` finds the other side of a row. `answer` and `foil` are the tokens by which a language model that
    is read over its whole vocabulary is scored, one or several for each row (-1 fills rows that have fewer). `roles`
    says where each row has a role, true and false at each position: `Head(2, 9).at("subject")` stands there. Raises
    `DataError` for shapes or types that do not fit.
    """

    input_ids: Int[Tensor, "batch pos"]
    attention_mask: Int[Tensor, "batch pos"] = None  # pyright: ignore[reportAssignmentType] - set in __post_init__
    token_type_ids: Int[Tensor, "batch pos"] | None = None
    labels: Int[Tensor, " batch"] | None = None
    ids: Sequence[str] | None = None
    answer: Int[Tensor, "batch answer_word"] | None = None
    foil: Int[Tensor, "batch foil_word"] | None = None
    roles: Mapping[str, Bool[Tensor, "batch pos"]] | None = None

    def __post_init__(self) -> None:
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            self._check_tensor(name)
        if self.input_ids.ndim != 2:
            raise DataError(
                f"Batch.input_ids has shape {tuple(self.input_ids.shape)}; expected [batch, pos]. "
                "For one example add an axis: input_ids[None]."
            )
        if self.attention_mask is None:
            object.__setattr__(self, "attention_mask", torch.ones_like(self.input_ids))
        for name in ("attention_mask", "token_type_ids"):
            value = getattr(self, name)
            if value is not None and value.shape != self.input_ids.shape:
                raise DataError(
                    f"Batch.{name} has shape {tuple(value.shape)}, input_ids {tuple(self.input_ids.shape)}; "
                    "they must be the same [batch, pos]."
                )
        mask = self.attention_mask.long()
        binary = torch.equal(self.attention_mask, mask.clamp(0, 1).to(self.attention_mask.dtype))
        object.__setattr__(self, "attention_mask", mask)
        if len(self) and not (
            mask.shape[1] and binary and bool((mask[:, :1] > 0).all() & (mask[:, 1:] <= mask[:, :-1]).all())
        ):
            raise DataError(
                "Batch.attention_mask is not right padding (ones, then zeros, at least one one in each row). "
                "Tokenize with padding_side='right', or use model.tokenize."
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", self._whole_labels())
        if self.ids is not None:
            object.__setattr__(self, "ids", tuple(map(str, self.ids)))
        for name in ("answer", "foil"):
            self._check_words(name)
        for name in ("labels", "ids", "answer", "foil"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise DataError(f"Batch.{name} has {len(value)} entries for {len(self)} rows; give one for each row.")
        if self.roles is not None:
            object.__setattr__(self, "roles", {check_role(name): self._role(name) for name in self.roles} or None)

    def _role(self, name: str) -> Bool[Tensor, "batch pos"]:
        value = torch.as_tensor((self.roles or {})[name])
        where = value.bool()
        if value.shape != self.input_ids.shape or not torch.equal(where.to(value.dtype), value):
            raise DataError(
                f"Batch.roles[{name!r}] has shape {tuple(value.shape)} and type {value.dtype}; expected true and false "
                f"at each position, {tuple(self.input_ids.shape)}."
            )
        return where.to(self.input_ids.device) & self.attention_mask.bool()

    def _check_tensor(self, name: str) -> None:
        value = getattr(self, name)
        if value is None and name != "input_ids":
            return
        if not isinstance(value, Tensor):
            raise DataError(
                f"Batch.{name} is a {type(value).__name__}; expected a tensor [batch, pos]. Use torch.as_tensor(...), "
                "or model.tokenize for texts."
            )
        if name != "attention_mask" and (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool):
            raise DataError(f"Batch.{name} holds {value.dtype}; expected whole numbers. Use {name}.long().")
        object.__setattr__(self, name, usable(value))

    def _check_words(self, name: str) -> None:
        value = getattr(self, name)
        if value is None and self.answer is None and self.foil is None:
            return
        words = None if value is None else torch.as_tensor(value)
        words = words[:, None] if words is not None and words.ndim == 1 else words
        usual = words is not None and words.ndim == 2 and words.shape[1] > 0 and words.dtype == torch.long
        if words is None or not usual or not bool(((words >= 0).any(1) & (words >= NO_WORD).all(1)).all()):
            given = "missing" if words is None else f"of shape {tuple(words.shape)} and type {words.dtype}"
            raise DataError(
                f"Batch.{name} is {given}; expected answer= and foil= as token numbers [batch, word] of type int64, at "
                f"least one for each row, with {NO_WORD} where a row has fewer."
            )
        object.__setattr__(self, name, words)

    def _whole_labels(self) -> Int[Tensor, " batch"]:
        labels = torch.as_tensor(self.labels)
        whole = labels.long()
        if labels.ndim != 1 or not torch.equal(labels, whole.to(labels.dtype)):
            raise DataError(
                f"Batch.labels has shape {tuple(labels.shape)} and type {labels.dtype}; expected one whole number, the "
                "index of a group, for each row."
            )
        return whole

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def __repr__(self) -> str:
        return f"Batch({len(self)} x {self.input_ids.shape[1]} tokens)"

    def rows(self, index: slice | Sequence[int] | Shaped[Tensor, " n"]) -> Self:
        """The batch of these row numbers, in this order, with repeats; a boolean mask selects where it is true."""
        index = torch.tensor(row_indices(index, len(self)), dtype=torch.long)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in columns.items():
            if isinstance(value, Tensor):
                columns[name] = value[index.to(value.device)]
            elif name == "roles":
                columns[name] = self._roles_by(lambda where: where[index.to(where.device)])
            elif value is not None:
                columns[name] = tuple(value[i] for i in index.tolist())
        return type(self)(**columns)

    @classmethod
    def of_rows(cls, rows: Sequence[TokenRow], pad_id: int) -> Self:
        """The batch of these `rows`, padded with `pad_id` to the longest. Raises `DataError` if there is no row.

        A row maps the names of a batch's tensors to vectors `[pos]`.
        """
        if not rows:
            raise DataError("A batch of no rows was asked for; expected at least one row.")
        columns = {
            name: pad_sequence([row[name] for row in rows], True, pad_id if name == "input_ids" else 0)
            for name in rows[0]
            if not name.startswith(_ROLE_KEY)
        }
        lengths = torch.tensor([len(row["input_ids"]) for row in rows])
        mask = (torch.arange(columns["input_ids"].shape[1]) < lengths[:, None]).long()
        roles = {
            name.removeprefix(_ROLE_KEY): pad_sequence(
                [row.get(name, torch.zeros(len(row["input_ids"]), dtype=torch.bool)) for row in rows], True
            )
            for name in dict.fromkeys(key for row in rows for key in row if key.startswith(_ROLE_KEY))
        }
        return cls(columns["input_ids"], mask, columns.get("token_type_ids"), roles=roles or None)

    @classmethod
    def join(cls, parts: Sequence[Self], pad_id: int) -> Self:
        """The rows of all batches in `parts` as one batch, padded with `pad_id` to the widest of them.

        Labels, ids, answers and foils are kept if all batches have them. Token types and roles are kept if any batch
        has them, and are zeros in the rows of the other batches. Raises `DataError` if there is no batch.
        """
        if not parts:
            raise DataError("No batches were given to Batch.join; expected at least one.")
        width = max(part.input_ids.shape[1] for part in parts)
        wide = [part.padded_to(width, pad_id) for part in parts]
        types = None
        if any(part.token_type_ids is not None for part in wide):
            blank = (torch.zeros_like(p.input_ids) if p.token_type_ids is None else p.token_type_ids for p in wide)
            types = torch.cat(list(blank))
        labels = [part.labels for part in wide if part.labels is not None]
        named = all(part.ids is not None for part in wide)
        return cls(
            torch.cat([part.input_ids for part in wide]),
            torch.cat([part.attention_mask for part in wide]),
            types,
            torch.cat(labels) if len(labels) == len(wide) else None,
            tuple(name for part in wide for name in part.ids or ()) if named else None,
            _joined_words([part.answer for part in wide]),
            _joined_words([part.foil for part in wide]),
            _joined_roles(wide),
        )

    def token_rows(self) -> list[TokenRow]:
        """Each row's tokens, token types and roles without padding, on the CPU."""
        columns: dict[str, Tensor] = {"input_ids": self.input_ids.cpu()}
        if self.token_type_ids is not None:
            columns["token_type_ids"] = self.token_type_ids.cpu()
        columns |= {role_key(name): where.cpu() for name, where in (self.roles or {}).items()}
        lengths = self.attention_mask.sum(1).tolist()
        return [{name: value[row, :n] for name, value in columns.items()} for row, n in enumerate(lengths)]

    def trim(self) -> Self:
        """The batch without the positions that are padding in every row; the same object if there is none."""
        longest = int(self.attention_mask.sum(1).max()) if len(self) else self.input_ids.shape[1]
        if longest == self.input_ids.shape[1]:
            return self
        columns = {name: value[:, :longest] for name, value in self._by_position().items()}
        return self._with({**columns, "roles": self._roles_by(lambda where: where[:, :longest])})

    def padded_to(self, width: int, pad_id: int) -> Self:
        """The batch padded with the token `pad_id` to `width` positions. Raises `DataError` if the batch is wider."""
        missing = width - self.input_ids.shape[1]
        if missing < 0:
            raise DataError(
                f"{self!r} was to be padded to {width} tokens; expected at least {self.input_ids.shape[1]}. Use trim() "
                "to cut off padding; tokens are never cut off."
            )
        if not missing:
            return self
        columns = self._by_position().items()
        wide = {n: pad(v, (0, missing), value=pad_id if n == "input_ids" else 0) for n, v in columns}
        return self._with({**wide, "roles": self._roles_by(lambda where: pad(where, (0, missing)))})

    def fingerprint(self) -> str:
        """The first 16 hex digits of SHA-256 over all fields. Results name their data by it."""
        return digest(self)

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device; the same object if the batch is there already."""
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {name: value.to(device) for name, value in columns.items() if isinstance(value, Tensor)}
        if all(value is columns[name] for name, value in moved.items()):
            return self
        return self._with({**moved, "roles": self._roles_by(lambda where: where.to(device))})

    def _roles_by(self, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor] | None:
        """The roles with a change of each one's positions."""
        return None if self.roles is None else {name: change(where) for name, where in self.roles.items()}

    def _by_position(self) -> dict[str, Int[Tensor, "batch pos"]]:
        names = ("input_ids", "attention_mask", "token_type_ids")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def _with(self, values: dict[str, Any]) -> Self:
        """A copy with these values instead. They are not checked: a check would have to wait for the device."""
        changed = copy.copy(self)
        for name, value in values.items():
            object.__setattr__(changed, name, value)
        return changed


def _joined_words(parts: Sequence[Tensor | None]) -> Tensor | None:
    """The tokens of all rows, filled to the widest; None unless all parts have them."""
    known = [part for part in parts if part is not None]
    if len(known) != len(parts):
        return None
    width = max(part.shape[1] for part in known)
    return torch.cat([pad(part, (0, width - part.shape[1]), value=NO_WORD) for part in known])


def _joined_roles(parts: Sequence[Batch]) -> dict[str, Tensor] | None:
    """The roles of all rows of batches of one width."""
    names = dict.fromkeys(name for part in parts for name in part.roles or {})
    blank = [torch.zeros_like(part.input_ids, dtype=torch.bool) for part in parts]
    return {
        name: torch.cat([(part.roles or {}).get(name, none) for part, none in zip(parts, blank, strict=True)])
        for name in names
    } or None
