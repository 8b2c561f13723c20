"""Every public name and the module that it lives in: editors and type checkers read it, and so does `__init__.py`."""

from . import figures as figures
from . import reports as reports
from . import spread as spread
from . import testbeds as testbeds
from .attention.profile import attention_profile as attention_profile
from .attention.result import AttentionProfile as AttentionProfile
from .components import (
    EMBED as EMBED,
)
from .components import (
    MLP as MLP,
)
from .components import (
    OUTPUT as OUTPUT,
)
from .components import (
    Head as Head,
)
from .components import (
    component as component,
)
from .data import grammar as grammar
from .data import pair_rules as pair_rules
from .data.align import encode_pairs as encode_pairs
from .data.batch import Batch as Batch
from .data.contrast import ContrastPairs as ContrastPairs
from .data.examples import Examples as Examples
from .data.load import load_task as load_task
from .data.task import Task as Task
from .dynamics import analyses as analyses
from .dynamics.first_matters import FirstMatters as FirstMatters
from .dynamics.first_matters import first_matters as first_matters
from .dynamics.over_training import over_training as over_training
from .dynamics.result import OverTraining as OverTraining
from .errors import (
    AlignmentError as AlignmentError,
)
from .errors import (
    ComponentError as ComponentError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    HCError as HCError,
)
from .errors import (
    HCWarning as HCWarning,
)
from .errors import (
    InterventionError as InterventionError,
)
from .errors import (
    LabelError as LabelError,
)
from .errors import (
    ModelError as ModelError,
)
from .errors import (
    ResultError as ResultError,
)
from .errors import (
    SearchError as SearchError,
)
from .errors import (
    TrainingError as TrainingError,
)
from .evaluation.effective_size import EffectiveSize as EffectiveSize
from .evaluation.effective_size import effective_size as effective_size
from .evaluation.evaluate import evaluate as evaluate
from .evaluation.faithfulness import faithfulness as faithfulness
from .evaluation.faithfulness import faithfulness_curve as faithfulness_curve
from .evaluation.faithfulness_results import Faithfulness as Faithfulness
from .evaluation.faithfulness_results import FaithfulnessCurve as FaithfulnessCurve
from .evaluation.result import Evaluation as Evaluation
from .evaluation.scores import Scores as Scores
from .experiment.run import run as run
from .experiment.settings import RunSettings as RunSettings
from .extremes.result import Extremes as Extremes
from .extremes.search_extremes import search_extremes as search_extremes
from .heads.core import HeuristicCore as HeuristicCore
from .heads.core import heuristic_core as heuristic_core
from .heads.generalizing import GeneralizingHeads as GeneralizingHeads
from .heads.generalizing import generalizing_heads as generalizing_heads
from .interventions.donors import Donors as Donors
from .interventions.edges import PatchEdges as PatchEdges
from .interventions.erase import Erase as Erase
from .interventions.means import MeanActivations as MeanActivations
from .interventions.means import mean_activations as mean_activations
from .interventions.nodes import Ablate as Ablate
from .interventions.nodes import Keep as Keep
from .interventions.nodes import Scale as Scale
from .interventions.nodes import SoftMask as SoftMask
from .interventions.paths import PatchPath as PatchPath
from .interventions.sites import Edit as Edit
from .interventions.sites import Patch as Patch
from .interventions.sites import Steer as Steer
from .metrics import MetricRows as MetricRows
from .models.families.family import Family as Family
from .models.forward import SiteEdit as SiteEdit
from .models.hooked import HookedModel as HookedModel
from .models.hooked import Intervention as Intervention
from .models.load import load as load
from .models.run import Run as Run
from .models.series import ModelSeries as ModelSeries
from .models.series import load_series as load_series
from .models.site import Site as Site
from .patching.effects import PathEffects as PathEffects
from .patching.path_effects import path_effects as path_effects
from .probing import features as features
from .probing.path_probes import probe_paths as probe_paths
from .probing.path_result import PathProbes as PathProbes
from .probing.probe import Probe as Probe
from .probing.probe import fit_probe as fit_probe
from .probing.probe_map import ProbeMap as ProbeMap
from .probing.probe_map import probe_map as probe_map
from .reading.premise_result import Premises as Premises
from .reading.premises import premises as premises
from .reading.reads_from import reads_from as reads_from
from .reading.verdict import Verdict as Verdict
from .records.result import Result as Result
from .records.result import read as read
from .reports.report import report as report
from .runs.results import RunResults as RunResults
from .search.ranking import Ranking as Ranking
from .search.result import MaskSearch as MaskSearch
from .search.sample_subnetworks import sample_subnetworks as sample_subnetworks
from .search.sampling.alternatives import Alternatives as Alternatives
from .search.sampling.sample import SubnetworkSample as SubnetworkSample
from .search.screens import (
    attribution_patching as attribution_patching,
)
from .search.screens import (
    gradient_importance as gradient_importance,
)
from .search.screens import (
    leave_one_out as leave_one_out,
)
from .search.search_masks import search_masks as search_masks
from .subnetwork import Subnetwork as Subnetwork
from .training.finetune import finetune as finetune

__version__: str
