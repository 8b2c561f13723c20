"""`PromptReader`: the tokenizer that prompts are made for. It chooses their words and says how a prompt ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from hc_interp.data.answer_tokens import word_tokens
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.examples import Examples
from hc_interp.errors import DataError


@dataclass(frozen=True)
class PromptReader:
    """`tokenizer` splits the prompts. `mask` is the mask token, None for a model that reads the last word."""

    tokenizer: Any
    mask: str | None = None

    @classmethod
    def of(cls, tokenizer: Any, task: str) -> Self:
        """From a tokenizer, or from the model that the prompts are for. Raises `DataError` for anything else."""
        mask_id = getattr(getattr(tokenizer, "readout", None), "mask_token", None)
        own = tokenizer.tokenizer if hasattr(tokenizer, "readout") else tokenizer
        if not callable(own) or not hasattr(own, "unk_token_id"):
            raise DataError(
                f"The task {task!r} was asked for with tokenizer={tokenizer!r}. Its prompts are made for a tokenizer, "
                f"which decides which words are one token: pass the model, hc.load_task({task!r}, tokenizer=model), or "
                "a tokenizer of transformers."
            )
        return cls(own, None if mask_id is None else own.mask_token)

    @property
    def end(self) -> str:
        """What follows a prompt: the mask and a full stop, or nothing."""
        return "" if self.mask is None else f"{self.mask}."

    def one_token(self, context: str, words: Sequence[str]) -> list[str]:
        """The words that are one known token after the context, each another token."""
        start, *rest = self.tokenizer([context, *(context + word for word in words)], add_special_tokens=False)[
            "input_ids"
        ]
        chosen: dict[int, str] = {}
        for word, ids in zip(words, rest, strict=True):
            if len(ids) == len(start) + 1 and ids[:-1] == start and ids[-1] != self.tokenizer.unk_token_id:
                chosen.setdefault(ids[-1], word)
        return list(chosen.values())

    def checked(self, data: Examples | ContrastPairs) -> None:
        """Raise `LabelError` for an answer that is not one token where it stands, `AlignmentError` for such pairs."""
        for side in data.sides if isinstance(data, ContrastPairs) else (data,):
            assert isinstance(side, Examples)
            for name in ("answer", "foil"):
                if (words := getattr(side, name)) is not None:
                    word_tokens(self.tokenizer, self.mask, words, side.first, side.second, side.id, name)
