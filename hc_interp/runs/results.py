"""`RunResults`: everything that one run of the pipeline found, in memory or in a folder."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, unquote

from hc_interp.checksum import note_unchecked, read_checked, write_checked
from hc_interp.errors import ResultError
from hc_interp.evaluation.result import Evaluation
from hc_interp.heads.core import HeuristicCore
from hc_interp.heads.generalizing import GeneralizingHeads
from hc_interp.patching.effects import PathEffects
from hc_interp.probing.probe import Probe
from hc_interp.reading.premise_result import Premises
from hc_interp.reading.verdict import Verdict
from hc_interp.records.result import Result, read
from hc_interp.search.result import MaskSearch

MANIFEST, PROBE, EXTRA = "manifest.json", "probe-", "extra-"
PARTS: dict[str, type[Result]] = {
    "search": MaskSearch,
    "evaluation": Evaluation,
    "core": HeuristicCore,
    "generalizing": GeneralizingHeads,
    "premises": Premises,
    "edges": PathEffects,
    "verdict": Verdict,
}
PART_NAMES = {kind: name for name, kind in PARTS.items()}


@dataclass(eq=False)
class RunResults:
    """The parts of one run, filled in as it goes; a part that was not computed is None.

    `manifest` is plain data: `settings` (with `demo: true` for a shortened run), versions, times, whatever the run
    wrote down. `extras` are results of other kinds, by name: a probe map, an attention profile, a result of your own.
    In a folder each part is `<name>.json`, as its `save` writes it, each probe `probe-<name>.json` and each extra
    `extra-<name>.json`.
    """

    manifest: dict[str, Any] = field(default_factory=dict)
    search: MaskSearch | None = None
    evaluation: Evaluation | None = None
    core: HeuristicCore | None = None
    generalizing: GeneralizingHeads | None = None
    premises: Premises | None = None
    edges: PathEffects | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)
    verdict: Verdict | None = None
    extras: Mapping[str, Result] = field(default_factory=dict)

    def __setattr__(self, name: str, part: Any) -> None:
        if name in PARTS and part is not None and not isinstance(part, PARTS[name]):
            raise ResultError(
                f"A run's {name} was given as {type(part).__name__}. Expected a {PARTS[name].__name__}, or None."
            )
        if name == "probes" and not (isinstance(part, Mapping) and all(isinstance(p, Probe) for p in part.values())):
            raise ResultError(
                f"A run's probes were given as {type(part).__name__}. Expected a mapping from names to probes: "
                "{'clean': hc.fit_probe(...)}."
            )
        if name == "extras" and not (isinstance(part, Mapping) and all(isinstance(p, Result) for p in part.values())):
            raise ResultError(
                f"A run's extras were given as {type(part).__name__}. Expected a mapping from names to results: "
                "{'attention': hc.attention_profile(...)}."
            )
        super().__setattr__(name, part)

    @classmethod
    def of(cls, results: Sequence[Result] | Mapping[str, Result]) -> Self:
        """A run made of single results: each part where its kind belongs, probes and extras by the mapping's names.

        In a sequence an extra is named by its class. Raises `ResultError` for an object that is no result, and for two
        of one kind (probes may be several).
        """
        named = results if isinstance(results, Mapping) else {f"{i + 1}": item for i, item in enumerate(results)}
        run, probes, extras, kinds = cls(), {}, {}, set()
        for name, item in named.items():
            kind = type(item)
            if isinstance(item, Probe):
                probes[name if isinstance(results, Mapping) else f"{item.site}, {name}"] = item
                continue
            if not isinstance(item, Result):
                raise ResultError(f"{name} is a {kind.__name__}. Expected a result, like hc.reads_from returns one.")
            if kind in kinds:
                raise ResultError(
                    f"{name} is a second {kind.__name__}. Expected one of each kind; only probes may be several."
                )
            kinds.add(kind)
            if kind in PART_NAMES:
                setattr(run, PART_NAMES[kind], item)
            else:
                extras[name if isinstance(results, Mapping) else kind.__name__] = item
        run.probes, run.extras = probes, extras
        return run

    def get(self, kind: type) -> Any:
        """The part or extra of this kind, or None. For `PathEffects` those of the verdict may serve; of `Probe` all."""
        if kind is PathEffects:
            return self.paths
        if kind is Probe:
            return self.probes or None
        if kind in PART_NAMES:
            return getattr(self, PART_NAMES[kind])
        return next((extra for extra in self.extras.values() if isinstance(extra, kind)), None)

    @property
    def paths(self) -> PathEffects | None:
        """The single paths: `edges`, or those of the verdict."""
        return self.edges if self.edges is not None or self.verdict is None else self.verdict.edges

    @property
    def present(self) -> tuple[str, ...]:
        """The names of the parts that are there."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name))

    def save(self, directory: str | Path) -> Path:
        """Write each part into the folder `directory`, and return its path."""
        folder = Path(directory)
        write_checked(folder / MANIFEST, self.manifest)
        for name in PARTS:
            if (part := getattr(self, name)) is not None:
                part.save(folder / f"{name}.json")
        for name, probe in self.probes.items():
            probe.save(folder / probe_file(name))
        for name, extra in self.extras.items():
            extra.save(folder / named_file(EXTRA, name))
        return folder

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read the folder `directory` that `save`, or a run, wrote.

        Raises `ResultError` where there is none or a part is broken.
        """
        folder = Path(directory)
        if not (folder / MANIFEST).is_file():
            raise ResultError(
                f"{folder} is not the folder of a run: it has no {MANIFEST}. Give the folder that the run wrote to."
            )
        manifest, checked = _manifest(folder / MANIFEST)
        with warnings.catch_warnings(record=not checked):  # of a run without checksums one warning is enough
            found = {
                name: kind.load(path) for name, kind in PARTS.items() if (path := folder / f"{name}.json").is_file()
            }
            probes = {_name_in(path, PROBE): Probe.load(path) for path in sorted(folder.glob(f"{PROBE}*.json"))}
            extras = {_name_in(path, EXTRA): read(path) for path in sorted(folder.glob(f"{EXTRA}*.json"))}
        if not checked:
            note_unchecked(folder)
        return cls(manifest=manifest, probes=probes, extras=extras, **found)  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        parts = [self.verdict] if self.verdict is not None else [getattr(self, n) for n in self.present if n in PARTS]
        return "".join([f"<p><b>{self!r}</b></p>", *(part._repr_html_() for part in parts)])

    def __repr__(self) -> str:
        return f"RunResults({', '.join(self.present) or 'empty'})"


def probe_file(name: str) -> str:
    """The file of a run's probe."""
    return named_file(PROBE, name)


def named_file(prefix: str, name: str) -> str:
    """A file name for any text: spaces as "-", other unusual characters as their codes, so that it can be read back."""
    return prefix + quote(name, safe=" ").replace("-", "%2D").replace(" ", "-") + ".json"


def _name_in(path: Path, prefix: str) -> str:
    return unquote(path.stem.removeprefix(prefix).replace("-", " "))


def _manifest(path: Path) -> tuple[dict[str, Any], bool]:
    mend = "Restore it from a copy, or run it again."
    try:
        return read_checked(path, "manifest of a run", mend)
    except (OSError, ValueError) as error:
        raise ResultError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Expected the JSON object that a run wrote. "
            f"{mend}"
        ) from error
