"""`hc.probe_paths`: what a probe reads at heads' inputs, with and without the paths from some senders."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
from jaxtyping import Float

from hc_interp.components import Head, HeadNames, components, heads_of, is_upstream
from hc_interp.data.parts import Data
from hc_interp.errors import ComponentError, DataError
from hc_interp.interventions.paths import PatchPath
from hc_interp.interventions.sources import Source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.probing.activations import MEMORY_GIB, check_readable, collect
from hc_interp.probing.design import Design
from hc_interp.probing.features import FeatureInput
from hc_interp.probing.path_result import PathProbes
from hc_interp.probing.probe import each_site, fit_site
from hc_interp.probing.probe_map import ProbeMap
from hc_interp.records.provenance import described, provenance
from hc_interp.statistics.samples import generator
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes

INPUT_KINDS = ("q", "k", "v", "q_in", "k_in", "v_in")


@own_torch_modes
def probe_paths(
    model: HookedModel,
    data: Data,
    receivers: HeadNames,
    feature: FeatureInput = "token_overlap",
    *,
    senders: HeadNames,
    source: Source,
    inputs: Sequence[str] = ("q", "k", "v"),
    route: str = "all",
    n_random: int = 5,
    interventions: Iterable[Intervention] = (),
    seed: int = 0,
    n_folds: int = 5,
    level: float = 0.95,
    max_tokens: int | None = 20_000,
    batch_size: int = 64,
    memory_gib: float = MEMORY_GIB,
    sources: Collection[object] | None = None,
) -> PathProbes:
    """Probe a feature at receivers' inputs in clean runs, and with the paths from senders or from random heads cut.

    A cut replaces the values of the senders by `source` for the receiver alone: the receiver's inputs are what they
    would be after that change of the senders, carried by the paths of `route` (`PatchPath`). The inputs of a receiver
    that `inputs` names are cut together. Receivers do not see each other's cuts.

    Arguments:
        data, feature, sources and the other arguments not named here: as in `fit_probe`.
        receivers, senders: heads, their names, or a result that has heads (a core, generalizing heads). A sender that
            is not upstream of a receiver has no path to it.
        source: what replaces the senders' values.
        inputs: kinds of sites at each receiver: "q", "k", "v" (the projections, `d_head` wide), and "q_in", "k_in",
            "v_in" (what is projected, `d_model` wide).
        route: "direct", "mlps" or "all", as in `PatchPath`.
        n_random: draws of random heads. Each draw has as many heads as there are senders upstream of the receiver,
            from the same layers where these have enough other heads, else from other layers. Neither senders nor
            receivers are drawn. The draws are not matched in the size of their change.

    Returns `PathProbes`. All runs share places, folds and resamples, so that differences are paired. Each run has
    probes of its own. So a drop shows that the feature can no longer be read linearly, not only that one probe's
    direction is gone.

    If the senders' cut lowers a score more than the random cuts do, what the probe read depends on what the senders
    send. On route "all" heads between may have moved or computed it. The drop does not show that the receiver uses the
    feature. Raises
    `ComponentError` for ends that are not heads or have no path, and the errors of `fit_probe`.
    """
    targets = _heads(model, receivers, "receivers")
    origins = _heads(model, senders, "senders")
    for head in (*targets, *origins):
        model.check_component(head)
    if isinstance(inputs, str) or not inputs or any(kind not in INPUT_KINDS for kind in inputs):
        raise ComponentError(
            f"inputs={inputs!r} was given; expected some of {', '.join(INPUT_KINDS)}, like ('q', 'v')."
        )
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
    cuts = [{head: _upstream(origins, head) for head in targets}]  # the senders' first, then random heads'
    rng = generator(seed)
    for _ in range(n_random):
        cuts.append({head: random_senders(model, origins, head, exclude=targets, rng=rng) for head in targets})

    def read(cut: dict[Head, tuple[Head, ...]]) -> dict[Site, Float[np.ndarray, "place d"]]:
        """The values of all sites. Under cuts each layer has its own runs: a later receiver would see earlier cuts."""
        layers = {head.layer for head in targets}
        values = {}
        for group in [{layer} for layer in layers] if cut else [layers]:
            edits = [PatchPath(tuple(cut[head]), (head,), through, source, route) for head in cut
                     if cut[head] and head.layer in group]  # fmt: skip
            where = design.examples, [site for site in sites if site.layer in group], places.row, places.position
            values |= collect(model, *where, [*before, *edits], batch_size, memory_gib * len(group) / len(layers))
        return values

    settings = {"feature": places.name, "interventions": before, "senders": origins, "source": source, "route": route}
    origin = provenance(model, design.examples.fingerprint(), seed=seed, level=level, n_folds=n_folds, **settings)
    shared = {"seed": seed, "level": level, "provenance": origin, "interventions": tuple(map(described, before))}
    values = read({})
    clean = ProbeMap.of(each_site(sites, lambda site: fit_site(design, site, values[site], None, **shared)))
    predicted = []
    for cut in cuts:
        values = read(cut)
        by_site = each_site(
            sites, lambda site, values=values: design.fit(values[site], feature_only=True).predicted[""]
        )
        predicted.append(np.stack(by_site).astype(np.float32))
    return PathProbes(
        clean=clean,
        cut=predicted[0],
        random=np.stack(predicted[1:]) if n_random else np.empty((0, *predicted[0].shape), np.float32),
        senders=tuple(cuts[0].items()),
        random_senders=tuple(tuple(cut.items()) for cut in cuts[1:]),
        route=route,
    )


def _heads(model: HookedModel, ends: HeadNames, role: str) -> tuple[Head, ...]:
    """The heads that `ends` names. Raises `ComponentError` for MLPs, also for those of a `Subnetwork` of senders."""
    whole = ends if role == "senders" and isinstance(ends, Subnetwork) else heads_of(ends)
    items = components(whole, model.components)
    heads = tuple(dict.fromkeys(item for item in items if isinstance(item, Head)))
    if not items or any(not isinstance(item, Head) for item in items):
        raise ComponentError(
            f"{role} were given as {ends!r}; expected one head or several, like 'L3H7' or core.heads: only a head has "
            "q, k and v, and only heads can be compared with random heads."
        )
    return heads


def _upstream(heads: Iterable[Head], receiver: Head) -> tuple[Head, ...]:
    upstream = tuple(head for head in heads if is_upstream(head, receiver))
    if not upstream:
        raise ComponentError(
            f"No sender is upstream of {receiver}, so no path to it can be cut. Choose a receiver in a later layer, or "
            "senders in earlier ones."
        )
    return upstream


def random_senders(
    model: HookedModel, senders: Sequence[Head], receiver: Head, *, exclude: Iterable[Head], rng: np.random.Generator
) -> tuple[Head, ...]:
    """Random heads upstream of `receiver`, as many as `senders` has; none is a sender or in `exclude`.

    A layer gives as many heads as it has senders, if it has so many others. The missing ones come from any layer. There
    are fewer if the model has fewer.
    """
    upstream = _upstream(senders, receiver)
    taken = {*senders, *exclude}
    pool = [c for c in model.components if isinstance(c, Head) and is_upstream(c, receiver) and c not in taken]
    order = [pool[i] for i in rng.permutation(len(pool))]
    chosen: list[Head] = []
    for layer in sorted({head.layer for head in upstream}):
        n_senders = sum(head.layer == layer for head in upstream)
        chosen += [head for head in order if head.layer == layer][:n_senders]
    chosen += [head for head in order if head not in chosen][: len(upstream) - len(chosen)]
    return tuple(sorted(chosen))
