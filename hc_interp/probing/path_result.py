"""`PathProbes`: scores at a head's inputs under cuts, and their paired differences."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from hc_interp.components import Head
from hc_interp.errors import ComponentError
from hc_interp.models.site import Site
from hc_interp.probing.differences import scorers
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.probing.resamples import Resamples, Score
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval

Senders = tuple[tuple[Head, tuple[Head, ...]], ...]  # of each receiver


@dataclass(frozen=True, eq=False)
class PathProbes(Result):
    """Out-of-fold predictions at each of `clean`'s sites when paths are cut: the senders', and random heads'.

    `senders` and each of `random_senders` name the heads that were cut from each receiver.
    """

    clean: ProbeMap
    cut: Float32[np.ndarray, "site place"]
    random: Float32[np.ndarray, "draw site place"]
    senders: Senders
    random_senders: tuple[Senders, ...]
    route: str

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(Site(*name) for name in self.clean.site_names)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The scores in use: accuracy and auc, or r2."""
        return tuple(self._scorers)

    def scores(self, site: Site, metric: str | None = None) -> dict[str, Interval]:
        """One site's score in each arm, and paired differences, all with intervals over sources.

        `clean`; `cut`; `random`, the mean over draws; `word`, what the word alone predicts; `drop` = clean - cut;
        `random_drop` = clean - random; `difference` = random - cut: how much more the senders' paths carried than those
        of as many other heads. Its interval is over sources, not over draws: `random_range` has their spread. `metric`
        is "auc" (default), "accuracy" or "r2".
        """
        draws = self._draws(self._place(site), self._metric(metric))
        found = {"clean": draws["clean"], "cut": draws["cut"], "drop": draws["clean"] - draws["cut"]}
        if len(self.random):
            found["random"] = draws["random"]
            found |= {"random_drop": found["clean"] - found["random"], "difference": found["random"] - found["cut"]}
        scored = {name: self._resamples.interval(score) for name, score in found.items()}
        return scored | {"word": self.clean[site].scores[f"word_{self._metric(metric)}"]}

    def random_range(self, site: Site, metric: str | None = None) -> tuple[float, float]:
        """Lowest and highest score among the random draws; NaN without any."""
        score, place = self._scorers[self._metric(metric)], self._place(site)
        found = [float(score(arm[place])[0]) for arm in self.random]
        return (min(found), max(found)) if found else (float("nan"), float("nan"))

    def to_frame(self) -> pd.DataFrame:
        """A row per site, metric and quantity of `scores`, with its value, low and high."""
        rows = []
        for site in self.sites:
            for metric in self.metrics:
                for quantity, score in self.scores(site, metric).items():
                    row = {"site": str(site), "receiver": f"L{site.layer}H{site.head}", "input": site.kind}
                    row |= {"metric": metric, "quantity": quantity}
                    rows.append(row | {part: getattr(score, part) for part in ("value", "low", "high")})
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        main = self._metric(None)
        said = []
        for site in self.sites:
            found = self.scores(site)
            arms = ", ".join(f"{name} {found[name].value:.3f}" for name in ("clean", "cut", "random") if name in found)
            said.append(f"{site} {arms}")
        feature = self.clean.places.feature
        return f"PathProbes({feature.name}, {feature.target}, {main}; route {self.route}): " + "; ".join(said)

    def _metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[-1]
        if metric not in self.metrics:
            raise ComponentError(f"metric={metric!r} was asked for; this feature has {', '.join(self.metrics)}.")
        return metric

    def _place(self, site: Site) -> int:
        if site not in self.sites:
            raise ComponentError(f"{site} was not probed; the result has {', '.join(map(str, self.sites))}.")
        return self.sites.index(site)

    @cached_property
    def _resamples(self) -> Resamples:
        return Resamples.of(self.clean.places.source, level=self.clean.level, seed=self.clean.seed)

    @cached_property
    def _scorers(self) -> dict[str, Callable[[Float[np.ndarray, " place"]], Score]]:
        return scorers(self._resamples, self.clean.places)

    def _draws(self, place: int, metric: str) -> dict[str, Score]:
        score = self._scorers[metric]
        arms: dict[str, Score] = {"clean": score(self.clean.predicted[place]), "cut": score(self.cut[place])}
        if len(self.random):
            arms["random"] = _mean([score(arm[place]) for arm in self.random])
        return arms


def _mean(scores: Sequence[Score]) -> Score:
    return np.mean(scores, axis=0)
