"""From what was typed to what the public functions take: models, tasks, heads, sources of replacement."""

import re
import sys
from pathlib import Path
from typing import Any

import hc_interp as hc
from hc_interp.components import Head, components, heads_of, is_upstream
from hc_interp.errors import ComponentError, HCError, ResultError


def names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",")] if text else None


def load(
    model: str,
    task: str,
    data_dir: str | None,
    labels: str | None,
    device: str | None,
    dtype: str | None,
    too_long: str = "refuse",
) -> tuple[Any, Any]:
    """Model and task; the task first, since it is refused sooner."""
    quiet()
    found = hc.load_task(task, data_dir=data_dir)
    loaded = hc.load(model, labels=names(labels), device=device, dtype=dtype)
    return loaded, found.fitting(loaded) if too_long == "drop" else found


def quiet() -> None:
    """No bars of transformers where nobody watches; the package's own are lines there."""
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()


def is_file(text: str) -> bool:
    return text.endswith(".json")


def ends(text: str) -> Any:
    """Senders or receivers: a result from its file, or heads, mlps, embed, output and names, comma separated."""
    return heads_in(text) if is_file(text) else text


def heads_in(text: str) -> Any:
    """A result with `.heads` from its file, or the heads that are named."""
    if not is_file(text):
        return names(text)
    found = hc.read(text)
    if heads_of(found) is found:
        raise ResultError(
            f"{text} holds a {type(found).__name__}, which names no heads. Expected what hc-interp core or "
            "hc-interp generalizing wrote, or heads themselves, like L2H9,L3H4."
        )
    return found


def subnetworks_of(paths: list[Path]) -> dict[str, Any]:
    """Subnetworks by name: those of searches, as `hc-interp search` wrote them, and single ones."""
    found: dict[str, Any] = {}
    for path in paths:
        result = hc.read(path)
        prefix = f"{path.stem}-" if len(paths) > 1 else ""
        if isinstance(result, hc.Subnetwork):
            found[path.stem] = result
        elif isinstance(result, hc.MaskSearch):
            found |= {f"{prefix}{index}": item for index, item in enumerate(result.subnetworks)}
        else:
            raise ResultError(
                f"{path} holds a {type(result).__name__}, not a MaskSearch or a Subnetwork. Expected a file of "
                "hc-interp search, or a single subnetwork's."
            )
    return found


def source(kind: str, model: Any, task: Any, n: int, seed: int) -> Any:
    """What a removed component is replaced by."""
    if kind == "zero":
        return 0
    if task.train is None:
        raise HCError(f"{task.name} has no training split to take {kind} from. Choose --replace zero.")
    examples = task.train.sample(n, seed)
    if kind == "donors":
        return hc.Donors(model, examples, seed)
    return hc.mean_activations(model, examples, positional=kind == "positional")


def split(task: Any, name: str) -> Any:
    """A split of the task. Raises `HCError` where it has none."""
    if (found := getattr(task, name)) is None:
        raise HCError(
            f"The task {task.name} has no {name} examples, which this needs. Choose another: hc-interp tasks."
        )
    return found


def site_named(text: str) -> Any:
    """A site from its name, as it prints: L3H7.v, L3.resid_post, embed, pooled."""
    if text in ("embed", "pooled"):
        return hc.Site(None, text)
    match = re.fullmatch(r"L(\d+)(?:H(\d+))?\.(\w+)", text)
    if not match:
        raise ComponentError(f"{text!r} names no site. Expected one like L3H7.v, L3.z, L3.resid_post, embed or pooled.")
    layer, head, kind = match.groups()
    return hc.Site(int(layer), kind, None if head is None else int(head))


def cut_paths(senders: str, site: Any, means: Any) -> Any:
    """Everything that these heads send to the site's head replaced by its mean, on every route."""
    if site.head is None or site.kind not in ("q", "k", "v"):
        raise HCError(f"--cut was given with the site {site}. Expected q, k or v of one head, like L3H7.v.")
    receiver = Head(site.layer, site.head)
    heads = [head for head in components(heads_of(heads_in(senders))) if is_upstream(head, receiver)]
    if not heads:
        raise HCError(f"None of the heads of --cut {senders} is upstream of {receiver}. Choose a later site.")
    return hc.PatchPath(tuple(heads), receiver, through=(site.kind,), source=means, route="all")


def results_of(paths: list[Path]) -> Any:
    """The run in a folder that `hc.run` left, or results by the names of their files."""
    if len(paths) == 1 and paths[0].is_dir():
        return hc.RunResults.load(paths[0])
    return {path.stem: hc.read(path) for path in paths}


def run_of(paths: list[Path]) -> Any:
    """One run: that of a folder, or single result files, each put where its kind belongs."""
    found = results_of(paths)
    return found if isinstance(found, hc.RunResults) else hc.RunResults.of(found)
