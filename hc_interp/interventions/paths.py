"""`PatchPath`: path patching as an intervention. `path_steps.py` has its three steps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hc_interp.components import EMBED, MLP, OUTPUT, End, HasHeads, Head, by_component, components, heads_of, whole
from hc_interp.data.batch import Batch
from hc_interp.data.roles import check_roles
from hc_interp.errors import InterventionError
from hc_interp.interventions.path_steps import INPUTS, ROUTES, PathBatch, PathEnd, StepOneValues, constant, hold
from hc_interp.interventions.sources import Source, check_source, site_of
from hc_interp.models.forward import SiteEdit
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.models.site import Site
from hc_interp.subnetwork import Subnetwork

EndNames = str | PathEnd | Subnetwork | HasHeads | Iterable[str | PathEnd]


@dataclass(frozen=True, eq=False)
class PathIntervention(Intervention):
    """Base of interventions on paths from senders to receivers: their ends, inputs and source, and the checks of these.

    `_route` is the route of the paths.
    """

    senders: EndNames
    receivers: EndNames
    through: Sequence[str] = INPUTS
    source: Source | None = None

    @property
    def _route(self) -> str:
        return "direct"

    def __post_init__(self) -> None:
        senders, receivers = path_ends(self.senders), path_ends(self.receivers)
        object.__setattr__(self, "senders", senders)
        object.__setattr__(self, "receivers", receivers)
        object.__setattr__(self, "through", path_inputs(self.through, receivers))
        check_path(senders, receivers, self._route)
        if self.source is None:
            name = type(self).__name__
            raise InterventionError(f"{name} has no source; pass source=pairs, means, hc.Donors(...) or 0.")

    @property
    def _ends(self) -> tuple[tuple[PathEnd, ...], tuple[PathEnd, ...]]:
        """The senders and receivers as components, as `__post_init__` has stored them."""
        return self.senders, self.receivers  # type: ignore[return-value]

    def check(self, model: HookedModel, before: Sequence[Intervention]) -> None:
        senders, receivers = self._ends
        check_ends_exist(model, (*senders, *receivers))
        assert self.source is not None
        check_source(self.source, model, before)
        check_free(receivers, before)

    def check_batch(self, model: HookedModel, batch: Batch) -> None:
        senders, receivers = self._ends
        check_roles(model.tokenizer, batch, (*senders, *receivers))


@dataclass(frozen=True, eq=False)
class PatchPath(PathIntervention):
    """Patch the paths from `senders` into the named inputs of `receivers`: change what the receivers read from senders.

    1. In a clean run the senders take the values of `source`. The change reaches the receivers by the `route`:
       "direct" through the residual stream and its LayerNorms alone (all other heads and MLPs are frozen at clean),
       "mlps" through MLPs in between too, "all" through heads and MLPs in between. "Clean" is a run without this path.
    2. Each receiver computes its `z` (an MLP its output) from the values of step 1 at the inputs named in `through`,
       and from clean values at its other inputs. `through` is some of q, k, v: `("q", "k")` or `"qk"`. A receiving MLP
       and `output` have one input, "in", which is always patched.
    3. The clean run is made again with the receivers holding their values of step 2. Everything after them is
       recomputed.

    `senders` and `receivers` are components, their names, or results that have `.heads`. A sender at a role
    (`L2H9@subject`) takes the values of `source` there alone, and a receiver at a role holds its value of step 2 there
    alone. All runs are made under the interventions before this one in the list. A receiver that these remove (Ablate,
    Keep) does not change. Captures at a receiving head's own q_in, k_in, v_in, q, k, v and pattern show step 2, all
    other captures step 3. Where q and k of all heads are normalised together, captures of q, k and pattern show step 3
    too, and so do all captures at a receiver at a role.

    Raises `InterventionError` when it is built without a source or with impossible ends, inputs or route, and when it
    is used after a PatchPath that holds one of its receivers, at whatever roles; `ComponentError` for components that
    the model lacks; `DataError` for a row without a position of a role. `hc.path_effects` measures many paths.
    """

    route: str = "direct"

    @property
    def _route(self) -> str:
        return self.route

    def holds(self, item: PathEnd) -> bool:
        """Whether this path fixes the item's value, so that no other path can change it.

        For receiver `output` there is only step 1: all components that the route freezes keep their clean values.
        """
        senders, receivers = (list(map(whole, ends)) for ends in self._ends)
        item = whole(item)
        if OUTPUT not in receivers:
            return item in receivers
        frozen = {"direct": Head | MLP, "mlps": Head, "all": ()}[self.route]
        return item == OUTPUT or item in senders or isinstance(item, frozen)

    def edits(self, model: HookedModel, batch: Batch, before: Sequence[Intervention]) -> list[SiteEdit]:
        senders, receivers = self._ends
        assert self.source is not None
        # A receiver at a role is computed again elsewhere, so that its inputs must stay those of step 3.
        heads = [item for item, roles in by_component(receivers).items() if isinstance(item, Head) and not roles]
        head_inputs = [Site(item.layer, f"{name}_in", item.head) for item in heads for name in INPUTS]
        paths = PathBatch.of(model, batch, self.source, receivers, before, also=head_inputs)
        if OUTPUT in receivers:
            return paths.freeze(senders, self.route)
        step_one = paths.step_one(senders, receivers, self.route, also=head_inputs)
        values, where = paths.step_two(step_one, receivers, self.through), paths.where(receivers)
        return [
            *(edit for item in heads for edit in self._input_edits(paths, step_one, item)),
            *(SiteEdit(site_of(item), hold(value, where.get(item))) for item, value in values.items()),
        ]

    def _input_edits(self, paths: PathBatch, step_one: StepOneValues, item: Head) -> list[SiteEdit]:
        """Edits that show a receiver's inputs of step 2 to captures; its `z` is fixed, so no later value changes.

        All of q, k and v are set: in step 3 an earlier receiver could change an input that `through` does not name.
        """
        edits = []
        # q and k that are normalised together with those of other heads would change these too.
        joint = paths.model.geometry.rules[item.layer].joint_norms
        for name in INPUTS:
            values = step_one.values if name in self.through else paths.clean
            projected, read = Site(item.layer, name, item.head), Site(item.layer, f"{name}_in", item.head)
            value = values[projected.whole][:, :, item.head]
            edits.append(SiteEdit(read, constant(values[read]), display=True))
            if name == "v" or not joint:
                edits.append(SiteEdit(projected, constant(value)))
        return edits


def path_ends(names: EndNames) -> tuple[PathEnd, ...]:
    """Senders or receivers as components: all that a subnetwork keeps, and the `.heads` of any other result.

    Raises `ComponentError` for a name that is no component.
    """
    return components(names if isinstance(names, Subnetwork) else heads_of(names))


def path_inputs(through: Any, receivers: Iterable[PathEnd]) -> tuple[str, ...]:
    """The named inputs as a tuple in the order q, k, v; `"qk"` and `("k", "q")` both give `("q", "k")`.

    "in" is the one input of an MLP and of `output`. It may be named where no receiver is a head, and then gives all
    of q, k, v. Raises `InterventionError` for anything else.
    """
    if through in ("in", ("in",), ["in"]) and not any(isinstance(whole(item), Head) for item in receivers):
        return INPUTS
    names = tuple(through) if isinstance(through, Iterable) else ()
    if not names or any(name not in INPUTS for name in names):
        raise InterventionError(
            f"through={through!r}; give some of {', '.join(INPUTS)}, like through=('q', 'k') or 'qk' (hc.path_effects "
            "also takes 'each': a row per input). An MLP or the output has one input only, which needs no name."
        )
    return tuple(name for name in INPUTS if name in names)


def check_free(receivers: Iterable[PathEnd], before: Iterable[Intervention]) -> None:
    """Raise `InterventionError` for a receiver whose value a `PatchPath` in `before` fixes."""
    for item in receivers:
        if any(isinstance(other, PatchPath) and other.holds(item) for other in before):
            raise InterventionError(
                f"Two paths share the receiver {item}: an earlier PatchPath in the list already fixes its value, which "
                "cannot come from both. Name all senders in one PatchPath, or take this receiver out of one of the two."
            )


def check_ends_exist(model: HookedModel, ends: Iterable[PathEnd]) -> None:
    """Raise `ComponentError` for a component that the model lacks."""
    for item in map(whole, ends):
        if not isinstance(item, End):
            model.check_component(item)


def check_path(senders: Sequence[PathEnd], receivers: Sequence[PathEnd], route: str) -> None:
    """Raise `InterventionError` unless these can be the senders, the receivers and the route of a path."""
    for role, items, end in (("sender", senders, EMBED), ("receiver", receivers, OUTPUT)):
        if not items:
            raise InterventionError(f"A path needs at least one {role}; none was given.")
        for item in map(whole, items):
            if isinstance(item, End) and item != end:
                raise InterventionError(f"{item} cannot be a {role}: 'embed' only sends and 'output' only receives.")
    if OUTPUT in receivers and len(receivers) > 1:
        raise InterventionError(
            "A path into 'output' cannot be joined with other receivers: its result is step 1's own logits. "
            "Make it a path of its own."
        )
    if route not in ROUTES:
        raise InterventionError(f"route={route!r}; choose one of {', '.join(ROUTES)}.")
