"""Time two functions in turn, A B A B ..., and report the ratio pair by pair: what noise moves both is divided out."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """Medians over pairs: seconds of each side, and A / B with its quartiles."""

    name: str
    seconds_a: float
    seconds_b: float
    ratio: float
    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{self.name:<44} {self.seconds_a * 1e3:9.1f} ms / {self.seconds_b * 1e3:9.1f} ms"
            f" = {self.ratio:6.3f}  (quartiles {self.low:.3f} to {self.high:.3f})"
        )


def paired(name: str, a: Callable[[], object], b: Callable[[], object], pairs: int = 15) -> Ratio:
    """Run each once to warm up, then `pairs` times in turn."""
    a(), b()
    times_a, times_b = [], []
    for _ in range(pairs):
        for function, times in ((a, times_a), (b, times_b)):
            begun = time.perf_counter()
            function()
            times.append(time.perf_counter() - begun)
    ratios = [left / right for left, right in zip(times_a, times_b, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Ratio(name, statistics.median(times_a), statistics.median(times_b), middle, low, high)
