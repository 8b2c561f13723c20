"""`LabelGroups`: which classes each label of a data set covers."""

from collections.abc import Sequence

# For each label, the indices of the classes that it covers: ((0,), (1, 2)) is "the first class" and "any other".
LabelGroups = Sequence[Sequence[int]]


def as_groups(groups: LabelGroups | None) -> tuple[tuple[int, ...], ...] | None:
    """The groups as they are stored: tuples, which can be compared and hashed."""
    return None if groups is None else tuple(tuple(int(c) for c in group) for group in groups)
