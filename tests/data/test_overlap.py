"""The balanced mix of examples for probes: where the median splits."""

from hc_interp.data.examples import Examples
from hc_interp.data.overlap import overlap_mix, word_overlap


def test_pairs_of_the_median_overlap_are_high() -> None:
    """Most have all their words in the first text. That is then the median, and a high one must be found by label."""
    first, second, label = ("a b c",) * 6, ("d", "a", "b", "d", "a", "c"), (0, 0, 0, 1, 1, 1)
    inside = Examples(first, second, label, groups=((0,), (1,)))
    outside = Examples(("x y", "x y"), ("x", "y"), (0, 1), groups=((0,), (1,)))
    found = overlap_mix(inside, outside)
    shares = [word_overlap(a, b) for a, b in zip(found.first, found.second or (), strict=True)]
    assert list(zip(found.label or (), shares, strict=True)) == [(0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 1)]
