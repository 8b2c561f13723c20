"""`hc.premises`: does the model generalize, is the core heuristic, and do the other heads carry generalization?"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hc_interp.components import MLP, Component, HeadNames, components, execution_order, heads_of
from hc_interp.data.contrast import ContrastPairs
from hc_interp.data.task import Task
from hc_interp.errors import ComponentError, HCError
from hc_interp.evaluation.score_data import heuristic_classes, heuristic_named
from hc_interp.evaluation.systems import Systems
from hc_interp.heads.core import HeuristicCore, heuristic_core
from hc_interp.heads.sets import Heads, all_heads, head_set
from hc_interp.interventions.sources import Source, check_source
from hc_interp.models.hooked import HookedModel, Intervention
from hc_interp.reading import premise_measure as measure
from hc_interp.reading.premise_numbers import judged
from hc_interp.reading.premise_pieces import Measure, measured
from hc_interp.reading.premise_result import CORE, CORE_AND_HEADS, FULL, MODELS, WITHOUT_HEADS, Premises, set_name
from hc_interp.reading.premise_sets import DISJOINT, WITHIN, disjoint_sets, within_layer_sets
from hc_interp.records.pieces import Executor, Runner
from hc_interp.records.provenance import provenance
from hc_interp.search.sampling.sample import SubnetworkSample
from hc_interp.statistics.samples import check_level
from hc_interp.subnetwork import Subnetwork
from hc_interp.torch_modes import own_torch_modes

# The most that is measured where the arguments do not say, and how many rows a case's examples bring along.
DISJOINT_SETS, DONORS = 20, 8
PAIR_SHARE, IN_DOMAIN_SHARE = 0.64, 6
CoreNames = HeuristicCore | SubnetworkSample | Subnetwork | HeadNames | Iterable[str | Component]
Components = tuple[Component, ...]


@own_torch_modes
def premises(
    model: HookedModel,
    task: Task,
    core: CoreNames,
    generalizing: HeadNames,
    means: Source,
    *,
    heuristic: str | None = None,
    n_sets: int = 99,
    n_disjoint: int | None = None,
    n_donors: int | None = None,
    max_per_case: int = 100,
    max_pairs: int | None = None,
    max_in_domain: int | None = None,
    set_share: float = 0.125,
    level: float = 0.95,
    interventions: Sequence[Intervention] = (),
    batch_size: int = 32,
    seed: int = 0,
    resume: str | Path | None = None,
    executor: Executor | None = None,
    threads: int = 1,
) -> Premises:
    """Check the premises of the claim that the generalizing heads read from a heuristic core.

    The score s of a text is the log odds of the heuristic's answer (`Task.heuristic_label`). Four systems are compared:
    the full model, the core alone, the core and the generalizing heads, and all but the generalizing heads. What a
    system lacks is replaced by `means`: mean activations, 0 or donors. `core` is a `HeuristicCore`, a sample (its
    shared core), a `Subnetwork`, or a list of components; for a list of heads alone all MLPs are kept.

    - *The model generalizes* if its separation is at least 0.65 and its signal (below) at least 0.1.
      Separation is the chance that s is higher where the heuristic is right than where it is wrong, over cases of one
      heuristic (`heuristic`; by default the task's only one, or "lexical_overlap").
    - *The core is heuristic* if (a) its in-domain AUC - 0.5 is at least half of the full model's, (b) its pull, the
      share of overlap pairs in which s falls when the overlap is broken, is at least 0.8, and (c) its signal is at most
      a third of the full model's. The signal is the order sensitivity: the mean over order pairs, which differ in
      word order alone, of s(side where the heuristic is right) - s(other side), divided by the mean difference of s
      between the labels in domain. Without order pairs it is the case sensitivity: the mean of s over cases where the
      heuristic is right less that over cases where it is wrong, divided in the same way.
    - *The heads generalize* if both the signal's loss without them and its gain when the core gets them exceed, by 0.05
      of the full model's signal, the mean of comparison sets, and at most 5 % of the sets reach both. The loss must
      also be at least 0.1. Comparison sets are `n_sets` sets of as many heads in each layer, drawn from all heads
      outside the core, and `n_disjoint` sets (20, or a quarter of `n_sets`) of heads that are neither core nor
      generalizing. If the two kinds contradict each other, the premise is open. Disjoint sets decide where fewer than
      20 others exist.

    A premise holds or fails by the whole interval, at `level`, for new sources, verbs and nouns (`Units`). Rows are
    drawn by `seed`: at most `max_per_case` examples of each case, `max_pairs` pairs of each case and kind (default:
    0.64 of `max_per_case`), and `max_in_domain` validation examples (six times `max_per_case`). Of these numbers
    `set_share`, but at least 48 pairs of a kind in all, serve for the comparison sets, which take the shorter half of
    the validation examples. Sources that chose the generalizing heads are left out. Under `n_donors` donors (8, or a
    tenth of `n_sets`) the same systems are reported, and a note says whether the core would be judged otherwise; donors
    decide nothing.

    `resume` is a folder that keeps the scores of finished batches: the same call reads them there. `executor` is an
    object with `submit(fn, *args)`, whose workers score the batches (`hc.spread`); `threads` is the
    number of threads of a batch, also without an executor.

    Raises `HCError` for a task that does not say what the heuristic answers, `DataError` for one without validation
    split or without cases, `ComponentError` for heads that are both core and generalizing. The premises do not show
    what the heads read: `reads_from` tests that.
    """
    n_disjoint = min(DISJOINT_SETS, n_sets // 4) if n_disjoint is None else n_disjoint
    n_donors = min(DONORS, n_sets // 10) if n_donors is None else n_donors
    max_pairs = round(PAIR_SHARE * max_per_case) if max_pairs is None else max_pairs
    max_in_domain = IN_DOMAIN_SHARE * max_per_case if max_in_domain is None else max_in_domain
    limits = measure.Limits(max_per_case, max_pairs, max_in_domain)
    check_level(level)
    runner = Runner.of(executor, threads, resume)
    resume = runner.folder
    _check_arguments(means, n_sets, n_disjoint, n_donors, limits, set_share)
    roles = Roles.of(model, core, generalizing)
    classes = heuristic_classes(model, task)
    name = heuristic_named(task, heuristic)
    before = model.check_interventions(interventions)
    check_source(means, model, before)
    blocks = measure.all_blocks(model, task, name, classes, roles.selected)
    rows = measure.Rows.of(model, task, blocks, limits, set_share, n_donors > 0, batch_size, seed)
    sets = roles.sets(all_heads(model), n_sets, n_disjoint, seed)
    systems = roles.systems(sets)
    models = {key: systems[key] for key in MODELS}
    under_donors = {key: systems[key] for key in MODELS[1:]}
    donors = [rows.donors.with_seed(seed + i) for i in range(n_donors)] if rows.donors else []
    on_all, on_few = (measure.Sample.of(model, part, classes, before, batch_size) for part in (rows.all, rows.few))
    about = {"heuristics": {name: task.heuristics[name]}, "level": level, "seed": seed}
    measures = {"all": Measure(on_all, models, [means]), "few": Measure(on_few, systems, [means])}
    measures |= {"donors": Measure(on_few, under_donors, donors)} if donors else {}
    scores = measured(measures, resume, runner, about)
    found = judged(scores["all"], scores["few"], scores.get("donors"), name, sets, bool(roles.generalizing))
    settings = {
        "n_sets": n_sets, "n_disjoint": n_disjoint, "n_donors": n_donors, "max_per_case": max_per_case,
        "max_pairs": max_pairs, "max_in_domain": max_in_domain, "set_share": set_share, "level": level, "seed": seed,
    }  # fmt: skip
    data = "; ".join(f"{block} {part.data.fingerprint()}" for block, part in rows.all.items())
    return Premises(
        heuristic=name,
        by=found.by,
        model_generalizes=found.answers["model_generalizes"],
        core_is_heuristic=found.answers["core_is_heuristic"],
        heads_generalize=found.answers["heads_generalize"],
        reasons=found.reasons,
        numbers=found.numbers,
        core=roles.core,
        generalizing=roles.generalizing,
        sets=sets,
        scores=scores["all"],
        set_scores=scores["few"],
        donor_scores=scores.get("donors"),
        notes=(*roles.notes, *rows.notes, *found.notes),
        settings=settings,
        provenance=provenance(model, data, task=task.name, means=means, interventions=before, batch_size=batch_size),
    )


@dataclass(frozen=True)
class Roles:
    """Which components each system has. `core` is what the core alone keeps, and `removed` all else that can go.

    `selected` are the sources that chose the generalizing heads.
    """

    core: tuple[Component, ...]
    removed: frozenset[Component]
    generalizing: Heads
    selected: frozenset[str]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, model: HookedModel, core: CoreNames, generalizing: HeadNames) -> "Roles":
        """Raises `ComponentError` for components that the model lacks, and for heads that are core and generalizing."""
        kept, universe, notes = _core_of(model, core)
        heads = head_set(model, generalizing, "generalizing")
        heads = tuple(sorted({*heads, *head_set(model, getattr(generalizing, "relay", ()), "generalizing.relay")}))
        if common := [str(head) for head in heads if head in kept or head not in universe]:
            raise ComponentError(
                f"{', '.join(common)}: both core and generalizing. Generalizing heads are heads outside the core; take "
                "each out of one of the two."
            )
        selected = frozenset(getattr(generalizing, "select_sources", None) or ())
        return cls(kept, frozenset(universe) - frozenset(kept), heads, selected, notes)

    def sets(self, heads: Heads, n_sets: int, n_disjoint: int, seed: int) -> dict[str, tuple[Heads, ...]]:
        """The comparison sets by kind; none where there are no generalizing heads."""
        if not self.generalizing:
            return {WITHIN: (), DISJOINT: ()}
        core = tuple(head for head in heads if head not in self.removed)
        return {
            WITHIN: within_layer_sets(self.generalizing, core, heads, n_sets, seed),
            DISJOINT: disjoint_sets(self.generalizing, core, heads, n_disjoint, seed),
        }

    def systems(self, sets: Mapping[str, Sequence[Heads]]) -> Systems:
        """The components that each system replaces: the four systems of the model, then those of the sets."""
        heads = frozenset(self.generalizing)
        systems: dict[str, frozenset[Component]] = {
            FULL: frozenset(), CORE: self.removed, CORE_AND_HEADS: self.removed - heads, WITHOUT_HEADS: heads,
        }  # fmt: skip
        for kind, listed in sets.items():
            for i, item in enumerate(listed):
                systems[set_name("loss", kind, i)] = frozenset(item)
                systems[set_name("gain", kind, i)] = self.removed - frozenset(item)
        return systems


def _core_of(model: HookedModel, core: CoreNames) -> tuple[tuple[Component, ...], Components, tuple[str, ...]]:
    """What the core alone keeps, the components that could be removed, and notes."""
    if isinstance(core, SubnetworkSample):
        core = heuristic_core(core)
    if isinstance(core, HeuristicCore | Subnetwork):
        kept = core.components if isinstance(core, HeuristicCore) else core.sorted()
        notes = tuple(f"core: {note}" for note in getattr(core, "notes", ()))
        return tuple(map(model.check_component, kept)), tuple(map(model.check_component, core.universe)), notes
    named = [model.check_component(item) for item in components(heads_of(core), model.components)]
    mlps = tuple(item for item in model.components if isinstance(item, MLP))
    if any(isinstance(item, MLP) for item in named):
        return tuple(sorted(named, key=execution_order)), model.components, ()
    note = "the core was given as heads, so the core alone keeps all MLPs"
    return tuple(sorted((*named, *mlps), key=execution_order)), model.components, (note,)


def _check_arguments(
    means: Source, n_sets: int, n_disjoint: int, n_donors: int, limits: measure.Limits, set_share: float
) -> None:
    if isinstance(means, ContrastPairs):
        raise HCError(
            "means= was given as contrast pairs, which have values for their own rows alone. Pass "
            "hc.mean_activations(model, task.train), 0 or hc.Donors(...)."
        )
    if min(n_sets, n_disjoint, n_donors) < 0 or min(limits.per_case, limits.pairs, limits.in_domain) < 1:
        raise HCError(
            f"n_sets={n_sets}, n_disjoint={n_disjoint}, n_donors={n_donors} and {limits} were given. Expected numbers "
            "from 0, and at least one example and pair."
        )
    if not 0 < set_share <= 1:
        raise HCError(f"set_share={set_share!r} was given. Expected a share of the rows above 0 and up to 1.")
