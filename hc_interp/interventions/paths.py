"""`PatchPath`: path patching as an intervention. Its three steps stand in `path_steps.py`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hc_interp.components import EMBED, MLP, OUTPUT, End, Head, Subnetwork, components, heads_of
from hc_interp.data.batch import Batch
from hc_interp.errors import InterventionError
from hc_interp.interventions.path_steps import INPUTS, ROUTES, Arrival, PathBatch, constant
from hc_interp.interventions.sources import Source, check_source, site_of
from hc_interp.models.forward import SiteEdit, on_head
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site


@dataclass(frozen=True, eq=False)
class PatchPath(Intervention):
    """Patch the paths from `senders` into the named inputs of `receivers`: change what receivers read from senders.

    1. Senders take the values of `source`, and the change runs down to the receivers by the `route`: "direct" (the
       residual stream and its LayerNorms alone; every other head and MLP stays clean), "mlps" (MLPs on the way follow
       too) or "all" (heads too). Clean are the values of a run without this path.
    2. Each receiver computes its `z` (an MLP its output) from what then arrives at the inputs named in `through`, and
       from clean values at the others. `through` is some of q, k, v: `("q", "k")` or `"qk"`; a receiving MLP or
       `output` has one input, "in", which is always meant.
    3. The clean run is made again with those values at the receivers, and everything after them follows.

    Senders and receivers are components, their names, or results that have `.heads`. Runs are made under the
    interventions that stand before this one; a receiver that these remove (Ablate, Keep) does not change. Captures at a
    receiving head's own q_in, k_in, v_in, q, k, v and pattern show step 2, all other captures step 3.

    Raises `InterventionError` when it is built without a source or with ends, inputs or a route that cannot be, and
    when it is used after a PatchPath that holds one of its receivers. `hc.path_effects` measures many paths.
    """

    senders: Any
    receivers: Any
    through: Sequence[str] = INPUTS
    source: Source | None = None
    route: str = "direct"

    def __post_init__(self) -> None:
        object.__setattr__(self, "senders", path_ends(self.senders))
        object.__setattr__(self, "receivers", path_ends(self.receivers))
        object.__setattr__(self, "through", path_inputs(self.through, self.receivers))
        check_path(self.senders, self.receivers, self.route)
        if self.source is None:
            raise InterventionError("PatchPath has no source; pass source=pairs, means, hc.Donors(...) or 0.")

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        check_ends_exist(model, (*self.senders, *self.receivers))
        assert self.source is not None
        check_source(self.source, model, before)
        check_free(self.receivers, before)

    def holds(self, item: Any) -> bool:
        """Whether this path fixes the item's value, so that no other path can change it.

        A path into `output` is step 1 itself, in which all that the route holds stands still.
        """
        if OUTPUT not in self.receivers:
            return item in self.receivers
        held = {"direct": Head | MLP, "mlps": Head, "all": ()}[self.route]
        return item == OUTPUT or item in self.senders or isinstance(item, held)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        senders, receivers = self.senders, self.receivers
        assert self.source is not None
        heads = [item for item in receivers if isinstance(item, Head)]
        read = [Site(item.layer, f"{name}_in", item.head) for item in heads for name in INPUTS]
        paths = PathBatch.of(model, batch, self.source, receivers, before, also=read)
        if OUTPUT in receivers:
            return paths.freeze(senders, self.route)
        arrival = paths.step_one(senders, receivers, self.route, also=read)
        values = paths.step_two(arrival, receivers, self.through)
        shown = [edit for item in heads for edit in self._shown(paths, arrival, item)]
        return [
            *shown,
            *(SiteEdit(site_of(item).whole, on_head(site_of(item), constant(value))) for item, value in values.items()),
        ]

    def _shown(self, paths: PathBatch, arrival: Arrival, item: Head) -> list[SiteEdit]:
        """Step 2's inputs at a receiver, for captures there; its `z` is held, so nothing else depends on them.

        All of q, k, v: in step 3 an unnamed input could differ from its clean value, through an earlier receiver.
        """
        edits = []
        for name in INPUTS:
            values = arrival.values if name in self.through else paths.clean
            at, before = Site(item.layer, name, item.head), Site(item.layer, f"{name}_in", item.head)
            value = values[at.whole][:, :, item.head]
            edits.append(SiteEdit(before.whole, on_head(before, constant(values[before])), display=True))
            edits.append(SiteEdit(at.whole, on_head(at, constant(value))))
        return edits


def path_ends(given: Any) -> tuple[Any, ...]:
    """Senders or receivers as components: of a subnetwork all that it keeps, of another result its `.heads`."""
    return components(given if isinstance(given, Subnetwork) else heads_of(given))


def path_inputs(through: Any, receivers: Iterable[Any]) -> tuple[str, ...]:
    """`"qk"` and `("q", "k")` alike as `("q", "k")`, always in the order q, k, v.

    "in", the one input of an MLP or of the output, may be named where no head receives; it is meant there anyway.
    """
    if through in ("in", ("in",), ["in"]) and not any(isinstance(item, Head) for item in receivers):
        return INPUTS
    names = tuple(through) if isinstance(through, Iterable) else ()
    if not names or any(name not in INPUTS for name in names):
        raise InterventionError(
            f"through={through!r}; give some of {', '.join(INPUTS)}, like through=('q', 'k') or 'qk' (hc.path_effects "
            "also takes 'each': a row per input). An MLP or the output has one input only, which needs no name."
        )
    return tuple(name for name in INPUTS if name in names)


def check_free(receivers: Iterable[Any], before: Iterable[Intervention]) -> None:
    """Raise `InterventionError` for a receiver whose value another path holds: this one would measure nothing."""
    for item in receivers:
        if any(isinstance(other, PatchPath) and other.holds(item) for other in before):
            raise InterventionError(
                f"Two paths share the receiver {item}: a PatchPath that stands before already holds its value, which "
                "cannot come from both. Name all senders in one PatchPath, or take this receiver out of one of the two."
            )


def check_ends_exist(model: HookedModel, ends: Iterable[Any]) -> None:
    for item in ends:
        if not isinstance(item, End):
            model.check_component(item)


def check_path(senders: Sequence[Any], receivers: Sequence[Any], route: str) -> None:
    """Raise `InterventionError` unless these can be the ends of a path."""
    for role, items, end in (("sender", senders, EMBED), ("receiver", receivers, OUTPUT)):
        if not items:
            raise InterventionError(f"A path needs at least one {role}; none was given.")
        for item in items:
            if isinstance(item, End) and item != end:
                raise InterventionError(f"{item} cannot be a {role}: 'embed' only sends and 'output' only receives.")
    if OUTPUT in receivers and len(receivers) > 1:
        raise InterventionError(
            "A path into 'output' cannot be joined with other receivers: its result is step 1's own logits. "
            "Make it a path of its own."
        )
    if route not in ROUTES:
        raise InterventionError(f"route={route!r}; choose one of {', '.join(ROUTES)}.")
