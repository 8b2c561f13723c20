"""Frames: a phrase before or after a sentence, which says nothing of who did what to whom.

"Last night the nurse praised the guard" asserts what "the nurse praised the guard" does. A frame makes a new template
of every construction.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

Tokens = tuple[str, ...]  # words and commas of a sentence, in lower case

# No word of a phrase stands in a slot of a sentence, so that a sentence has one frame.
PHRASES: dict[str, tuple[str, ...]] = {
    "TIME": ("last night", "that morning", "one day", "this week"),
    "PLACE": ("at the party", "at the wedding", "at the concert"),
    "MANNER": ("with a smile", "with great care"),
    "REASON": ("for some reason", "to our surprise", "without any warning"),
}


@dataclass(frozen=True)
class Frame:
    """The words before and after a sentence, and their kind: "TIME _" is a time before it."""

    kind: str
    before: Tokens = ()
    after: Tokens = ()

    def around(self, tokens: Tokens) -> Tokens:
        return (*self.before, *tokens, *self.after)

    def template(self, pattern: str) -> str:
        """The pattern of the sentence inside with the frame's kind."""
        return self.kind.replace("_", pattern)

    def inside(self, tokens: Tokens) -> Tokens | None:
        """The words in the frame; None for a sentence without this frame."""
        end = len(tokens) - len(self.after)
        framed = tokens[: len(self.before)] == self.before and tokens[end:] == self.after
        return tokens[len(self.before) : end] if framed and end > len(self.before) else None


PLAIN = Frame("_")
BY_KIND: dict[str, tuple[Frame, ...]] = {
    "_": (PLAIN,),
    **{f"{name} _": tuple(Frame(f"{name} _", before=tuple(p.split())) for p in some) for name, some in PHRASES.items()},
    **{f"_ {name}": tuple(Frame(f"_ {name}", after=tuple(p.split())) for p in some) for name, some in PHRASES.items()},
}
FRAME_WORDS = frozenset(word for phrases in PHRASES.values() for phrase in phrases for word in phrase.split())


def framings(tokens: Tokens) -> Iterator[tuple[Frame, Tokens]]:
    """Every frame that a sentence may have, with the words in it."""
    for frame in _possible(tokens[:1], tokens[-1:]):
        if (inner := frame.inside(tokens)) is not None:
            yield frame, inner


@lru_cache(maxsize=100_000)
def _possible(first: Tokens, last: Tokens) -> tuple[Frame, ...]:
    """The frames that a sentence with this first and this last word may have."""
    frames = [frame for of_kind in BY_KIND.values() for frame in of_kind]
    return tuple(f for f in frames if f.before[:1] in ((), first) and f.after[-1:] in ((), last))
