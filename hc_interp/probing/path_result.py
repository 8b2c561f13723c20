"""`PathProbes`: scores of probes at heads' inputs, with and without the paths from some senders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from jaxtyping import Float32

from hc_interp.components import Head
from hc_interp.errors import ComponentError
from hc_interp.models.site import Site
from hc_interp.probing.differences import Scorer, scorers
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.probing.resamples import Resamples, ScoreDraws
from hc_interp.records.result import Result
from hc_interp.statistics.tests import Interval

Senders = tuple[tuple[Head, tuple[Head, ...]], ...]  # each receiver with its senders


@dataclass(frozen=True, eq=False)
class PathProbes(Result):
    """Out-of-fold predictions of a feature at receivers' inputs, under three kinds of runs.

    `clean` are probes of runs without a cut. In the runs of `cut` the paths from `senders` are cut, in each draw of
    `random` the paths from random heads (`random_senders`). Sites are those of `clean`, in the same order.
    """

    clean: ProbeMap
    cut: Float32[np.ndarray, "site place"]
    random: Float32[np.ndarray, "draw site place"]
    senders: Senders
    random_senders: tuple[Senders, ...]
    route: str

    @property
    def sites(self) -> tuple[Site, ...]:
        """The probed sites: each input of each receiver."""
        return tuple(Site(*name) for name in self.clean.site_names)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of this feature: accuracy and auc, or r2."""
        return tuple(self._scorers)

    def scores(self, site: Site, metric: str | None = None) -> dict[str, Interval]:
        """One site's scores and their paired differences, with intervals over sources.

        `clean`; `cut`; `random`: the mean over draws; `word`: the prediction from the word alone; `drop` = clean - cut;
        `random_drop` = clean - random; `difference` = random - cut: by how much the senders' cut lowers the score more
        than the cut of as many other heads. Its interval is over sources and does not cover the choice of random heads,
        whose scores `random_range` gives. `metric` is "auc" (default), "accuracy" or "r2".
        """
        draws = self._draws(self._index(site), self._metric(metric))
        scores = {"clean": draws["clean"], "cut": draws["cut"], "drop": draws["clean"] - draws["cut"]}
        if len(self.random):
            scores["random"] = draws["random"]
            scores["random_drop"] = draws["clean"] - draws["random"]
            scores["difference"] = draws["random"] - draws["cut"]
        intervals = {name: self._resamples.interval(score) for name, score in scores.items()}
        return intervals | {"word": self.clean[site].scores[f"word_{self._metric(metric)}"]}

    def random_range(self, site: Site, metric: str | None = None) -> tuple[float, float]:
        """The lowest and the highest score of a `site` among the draws of random heads; NaN if there is none.

        `metric` as in `scores`.
        """
        score, index = self._scorers[self._metric(metric)], self._index(site)
        values = [float(score(draw[index])[0]) for draw in self.random]
        return (min(values), max(values)) if values else (float("nan"), float("nan"))

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
        lines = []
        for site in self.sites:
            scores = self.scores(site)
            runs = [name for name in ("clean", "cut", "random") if name in scores]
            lines.append(f"{site} " + ", ".join(f"{name} {scores[name].value:.3f}" for name in runs))
        feature = self.clean.places.feature
        return f"PathProbes({feature.name}, {feature.target}, {main}; route {self.route}): " + "; ".join(lines)

    def _metric(self, metric: str | None) -> str:
        if metric is None:
            return self.metrics[-1]
        if metric not in self.metrics:
            raise ComponentError(f"metric={metric!r} was given; this feature has {', '.join(self.metrics)}.")
        return metric

    def _index(self, site: Site) -> int:
        if not isinstance(site, Site):
            raise ComponentError(f"{site!r} was given as a site. Name it by layer, kind and head: hc.Site(4, 'v', 1).")
        if site not in self.sites:
            raise ComponentError(f"{site} was not probed; the result has {', '.join(map(str, self.sites))}.")
        return self.sites.index(site)

    @cached_property
    def _resamples(self) -> Resamples:
        return Resamples.of(self.clean.places.source, level=self.clean.level, seed=self.clean.seed)

    @cached_property
    def _scorers(self) -> dict[str, Scorer]:
        return scorers(self._resamples, self.clean.places)

    def _draws(self, index: int, metric: str) -> dict[str, ScoreDraws]:
        score = self._scorers[metric]
        draws: dict[str, ScoreDraws] = {"clean": score(self.clean.predicted[index]), "cut": score(self.cut[index])}
        if len(self.random):
            draws["random"] = _mean([score(draw[index]) for draw in self.random])
        return draws


def _mean(scores: Sequence[ScoreDraws]) -> ScoreDraws:
    return np.mean(scores, axis=0)
