"""`hc.probe_paths`: what a probe reads at a head's inputs, clean, without some senders, and without as many others."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from hc_interp.components import Head, Subnetwork, components, heads_of, is_upstream
from hc_interp.errors import ComponentError, DataError
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.activations import MEMORY_GIB, check_readable, collect
from hc_interp.probing.design import Design
from hc_interp.probing.features import Feature
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe import each_site, fit_site
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.records.provenance import described, provenance
from hc_interp.statistics.samples import generator
from hc_interp.torch_modes import own_torch_modes

INPUTS = ("q", "k", "v", "q_in", "k_in", "v_in")


@own_torch_modes
def probe_paths(
    model: HookedModel,
    data: Any,
    receivers: Any,
    feature: str | Feature | Any = "token_overlap",
    *,
    senders: Any,
    source: Source,
    inputs: Sequence[str] = ("q", "k", "v"),
    route: str = "all",
    n_random: int = 5,
    interventions: Sequence[Intervention] = (),
    seed: int = 0,
    n_folds: int = 5,
    level: float = 0.95,
    max_tokens: int | None = 20_000,
    batch_size: int = 64,
    memory_gib: float = MEMORY_GIB,
    sources: Sequence[Any] | None = None,
) -> PathProbes:
    """Probe `feature` at each receiver's inputs: clean, with the senders' paths cut, and with random heads' paths cut.

    Cut means that a receiver reads what it would read if the senders stood at `source` (`PatchPath` over `route`), all
    of its inputs at once. `inputs` are kinds of sites, of "q", "k", "v" (the projections, `d_head` wide) and "q_in",
    "k_in", "v_in" (what is projected, `d_model` wide). `senders` and `receivers` are heads or a result that has them (a
    core, generalizing heads); senders that are not upstream of a receiver have no path to it. The random heads are as
    many as those upstream, drawn `n_random` times from the other heads upstream: as many in each layer where the layer
    has them, the rest from other layers. All arms share places, folds and resamples, and each fits a probe of its own,
    so that a drop says that the feature cannot be read linearly any more, not that one probe's direction is gone.

    A drop under the senders' cut that the random cut does not show says that what the probe read came from the senders.
    It does not say that the receiver uses it; and under `route="all"` heads between may have moved, or made, it.
    Raises `ComponentError` for ends that are not heads or have no path, and what `fit_probe` raises.
    """
    targets = _heads(model, receivers, "receivers")
    given = _heads(model, senders, "senders")
    for head in (*targets, *given):
        model.check_component(head)
    if isinstance(inputs, str) or not inputs or any(kind not in INPUTS for kind in inputs):
        raise ComponentError(f"inputs={inputs!r} was given; expected some of {', '.join(INPUTS)}, like ('q', 'v').")
    if isinstance(n_random, bool) or not isinstance(n_random, int) or n_random < 0:
        raise DataError(f"n_random={n_random!r} was given; expected a whole number from 0.")
    before = model.check_interventions(interventions)
    through = tuple(dict.fromkeys(kind[0] for kind in inputs))
    design = Design.of(
        model,
        data,
        feature,
        seed=seed,
        n_folds=n_folds,
        level=level,
        max_tokens=max_tokens,
        control=True,
        sources=sources,
    )
    places = design.places.feature
    sites = [Site(head.layer, kind, head.head) for head in targets for kind in inputs]
    check_readable(model, sites, by_token=places.level == "token")
    arms = [{head: _upstream(given, head) for head in targets}]
    rng = generator(seed)
    for _ in range(n_random):
        arms.append({head: random_senders(model, given, head, exclude=targets, rng=rng) for head in targets})

    def read(cut: dict[Head, tuple[Head, ...]]) -> dict[Site, Float[np.ndarray, "place d"]]:
        edits = [PatchPath(tuple(cut[head]), (head,), through, source, route) for head in cut if cut[head]]
        where = design.examples, sites, places.row, places.position
        return collect(model, *where, [*before, *edits], batch_size, memory_gib)

    settings = {"feature": places.name, "interventions": before, "senders": given, "source": source, "route": route}
    origin = provenance(model, design.examples.fingerprint(), seed=seed, level=level, n_folds=n_folds, **settings)
    shared = {"seed": seed, "level": level, "provenance": origin, "interventions": tuple(map(described, before))}
    values = read({})
    clean = ProbeMap.of(each_site(sites, lambda site: fit_site(design, site, values[site], None, **shared)))
    predicted = []
    for cut in arms:
        values = read(cut)
        found = each_site(sites, lambda site, values=values: design.fit(values[site], own=True).predicted[""])
        predicted.append(np.stack(found).astype(np.float32))
    return PathProbes(
        clean=clean,
        cut=predicted[0],
        random=np.stack(predicted[1:]) if n_random else np.empty((0, *predicted[0].shape), np.float32),
        senders=tuple(arms[0].items()),
        random_senders=tuple(tuple(arm.items()) for arm in arms[1:]),
        route=route,
    )


def _heads(model: HookedModel, given: Any, role: str) -> tuple[Head, ...]:
    whole = role == "senders" and isinstance(given, Subnetwork)
    items = components(given if whole else heads_of(given), model.components)
    found = tuple(dict.fromkeys(item for item in items if isinstance(item, Head)))
    if not items or any(not isinstance(item, Head) for item in items):
        raise ComponentError(
            f"{role} were given as {given!r}; expected one head or several, like 'L3H7' or core.heads: only a head has "
            "q, k and v, and only heads can be set against random heads."
        )
    return found


def _upstream(heads: Iterable[Head], receiver: Head) -> tuple[Head, ...]:
    found = tuple(head for head in heads if is_upstream(head, receiver))
    if not found:
        raise ComponentError(
            f"No sender is upstream of {receiver}, so no path to it can be cut. Choose a receiver in a later layer, or "
            "senders in earlier ones."
        )
    return found


def random_senders(
    model: HookedModel, senders: Sequence[Head], receiver: Head, *, exclude: Iterable[Head], rng: np.random.Generator
) -> tuple[Head, ...]:
    """As many heads upstream of `receiver` as `senders` has, none of them a sender or in `exclude`.

    A layer gives as many as it has senders, if it can; what is missing comes from all layers. Fewer where the model has
    fewer.
    """
    asked = _upstream(senders, receiver)
    taken = {*senders, *exclude}
    pool = [c for c in model.components if isinstance(c, Head) and is_upstream(c, receiver) and c not in taken]
    order = [pool[i] for i in rng.permutation(len(pool))]
    chosen: list[Head] = []
    for layer in sorted({head.layer for head in asked}):
        wanted = sum(head.layer == layer for head in asked)
        chosen += [head for head in order if head.layer == layer][:wanted]
    chosen += [head for head in order if head not in chosen][: len(asked) - len(chosen)]
    return tuple(sorted(chosen))
