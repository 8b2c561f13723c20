"""The tasks that have a name in the package, and the files that each reads. Nothing heavy is imported here."""

import difflib
from dataclasses import dataclass


@dataclass(frozen=True)
class HubTable:
    """A table on the Hugging Face hub. If it has more than `limit` rows, `limit` rows are drawn."""

    path: str
    name: str | None
    split: str
    revision: str | None = None
    limit: int | None = None


@dataclass(frozen=True)
class Table:
    """A table of labelled texts.

    `file` is its path in a data directory, without suffix. The columns `texts`, "label" and `tags` are read. `classes`
    names the labels 0, 1, ...
    """

    file: str
    hub: HubTable
    texts: tuple[str, str]
    classes: tuple[str, ...]
    tags: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(range(len(self.classes)))

    @property
    def columns(self) -> list[str]:
        return [*self.texts, "label", *self.tags]


_NLI, _QQP = ("premise", "hypothesis"), ("question1", "question2")
NLI_CLASSES = ("entailment", "neutral", "contradiction")
HANS_CLASSES = ("entailment", "non-entailment")
QQP_CLASSES = ("not_duplicate", "duplicate")
_GLUE, _SAMPLE = "nyu-mll/glue", 15_000  # the number of training rows in the directory's sample

MNLI_TRAIN = Table("mnli/train_sample", HubTable(_GLUE, "mnli", "train", limit=_SAMPLE), _NLI, NLI_CLASSES)
MNLI_VALIDATION = Table("mnli/validation_matched", HubTable(_GLUE, "mnli", "validation_matched"), _NLI, NLI_CLASSES)
# HANS has a loading script, which `datasets` no longer runs: the parquet files that the hub converted are read.
HANS = Table(
    "hans/validation",
    HubTable("jhu-cogsci/hans", None, "validation", revision="refs/convert/parquet"),
    _NLI,
    HANS_CLASSES,
    ("heuristic", "subcase"),
)
QQP_TRAIN = Table("qqp/train_sample", HubTable(_GLUE, "qqp", "train", limit=_SAMPLE), _QQP, QQP_CLASSES)
QQP_VALIDATION = Table("qqp/validation_sample", HubTable(_GLUE, "qqp", "validation"), _QQP, QQP_CLASSES)
# PAWS-QQP may not be redistributed. The hub has only PAWS-Wiki, made in the same way from other texts.
PAWS = Table(
    "paws_qqp",
    HubTable("google-research-datasets/paws", "labeled_final", "validation"),
    ("sentence1", "sentence2"),
    QQP_CLASSES,
)

TASKS = {
    "mnli-hans": "MNLI in domain; the 30 subcases of HANS, with contrast pairs made from them",
    "qqp-paws": "Quora question pairs in domain; PAWS duplicates and non-duplicates",
    "overlap-grammar": "the package's own sentences: NLI in domain, HANS' 30 subcases, contrast pairs; needs no data",
    "ioi": "the package's own prompts: the indirect object of two names, for a language model; needs no data",
    "greater_than": "the package's own prompts: a year after another, for a language model; needs no data",
}
TASK_FILE = ".toml"  # the suffix of the file that describes a task of one's own
PROMPT_TASKS = {  # made for one tokenizer; the kinds of contrast pairs of each case
    "ioi": dict.fromkeys(("ABBA", "BABA"), ("names", "abc", "order")),
    "greater_than": {"years": ("year_below",)},
}
TASK_TABLES: dict[str, tuple[Table, ...]] = {  # what each task reads from its data_dir
    "mnli-hans": (MNLI_TRAIN, MNLI_VALIDATION, HANS),
    "qqp-paws": (QQP_TRAIN, QQP_VALIDATION, PAWS),
    "overlap-grammar": (),
    "ioi": (),
    "greater_than": (),
}


def is_task_file(name: object) -> bool:
    """Whether a task is named by the path of the TOML file that describes it."""
    return str(name).endswith(TASK_FILE)


def unknown_task(name: object) -> str:
    """The message about a task that does not exist."""
    near = difflib.get_close_matches(str(name), TASKS, n=1)
    return (
        f"There is no task {str(name)!r}; {f'did you mean {near[0]!r}? T' if near else 't'}he tasks are "
        f"{', '.join(map(repr, TASKS))}. For data of your own, name the TOML file that describes it (my_task.toml), or "
        "build a task with hc.Task(...) or hc.Task.from_frames(...)."
    )
