"""Turns the text of options into the arguments of the public functions: models, tasks, heads, replacement values."""

import re
import sys
from pathlib import Path
from typing import Any

import hc_interp as hc
from hc_interp.components import Head, components, heads_of, is_upstream
from hc_interp.data.tables import PROMPT_TASKS
from hc_interp.errors import ComponentError, HCError, ResultError


def names(text: str | None) -> list[str] | None:
    """The names in a comma-separated text; None for no text."""
    return [name.strip() for name in text.split(",")] if text else None


def label_names(text: str | None) -> list[str] | None:
    """The names of classes, or words, in a comma-separated text as they stand: spaces belong to words (" yes, no").

    None for no text. Spaces are dropped where every name but the first begins with one and the first does not: as in
    "entailment, neutral, contradiction".
    """
    if not text:
        return None
    parts = text.split(",")
    listed = not parts[0].startswith(" ") and all(part.startswith(" ") for part in parts[1:])
    return [part.strip() for part in parts] if listed else parts


def load(
    model: str,
    task: str,
    data_dir: str | None,
    labels: str | None,
    device: str | None,
    dtype: str | None,
    too_long: str = "refuse",
    template: str | None = None,
    read_at: int | None = None,
) -> "tuple[hc.HookedModel, hc.Task]":
    """Load the model and the task. The task is loaded first, because an error in it shows sooner; prompts are made for
    the model. `task` may be the path of a task's own TOML file."""
    quiet()
    prompts = task in PROMPT_TASKS
    data = None if prompts else hc.load_task(task, data_dir=data_dir, template=template)
    loaded = hc.load(model, labels=label_names(labels), read_at=read_at, device=device, dtype=dtype)
    if data is None:
        data = hc.load_task(task, template=template, tokenizer=loaded)
    return loaded, data.fitting(loaded) if too_long == "drop" else data


def quiet() -> None:
    """Turn off the progress bars of transformers, unless a terminal shows them."""
    if not sys.stderr.isatty():
        from transformers.utils import logging

        logging.disable_progress_bar()


def is_file(text: str) -> bool:
    return text.endswith(".json")


def senders_or_receivers(text: str) -> Any:
    """The result in a file, or the text itself: heads, mlps, embed, output and names, comma separated."""
    return heads_in(text) if is_file(text) else text


def heads_in(text: str) -> Any:
    """The result in a file, which has `.heads`, or the names in the text. Raises `ResultError` for other results."""
    if not is_file(text):
        return names(text)
    result = hc.read(text)
    if heads_of(result) is result:
        raise ResultError(
            f"{text} holds a {type(result).__name__}, which names no heads. Expected what hc-interp core or "
            "hc-interp generalizing wrote, or heads themselves, like L2H9,L3H4."
        )
    return result


def subnetworks_of(paths: list[Path]) -> "dict[str, hc.Subnetwork]":
    """The subnetworks in files, by name: those of each `MaskSearch` and `SubnetworkSample`, and single ones.

    Raises `ResultError` for a file that holds something else.
    """
    subnetworks: dict[str, hc.Subnetwork] = {}
    for path in paths:
        result = hc.read(path)
        prefix = f"{path.stem}-" if len(paths) > 1 else ""
        if isinstance(result, hc.Subnetwork):
            subnetworks[path.stem] = result
        elif isinstance(result, hc.MaskSearch | hc.SubnetworkSample):
            subnetworks |= {f"{prefix}{index}": item for index, item in enumerate(result.subnetworks)}
        else:
            raise ResultError(
                f"{path} holds a {type(result).__name__}, not a MaskSearch, a SubnetworkSample or a Subnetwork. "
                "Expected a file of hc-interp search or subnetworks, or a single subnetwork's."
            )
    return subnetworks


def source(kind: str, model: "hc.HookedModel", task: "hc.Task", n: int, seed: int) -> Any:
    """The values that replace a removed component, of a `kind` of --replace. Means and donors use `n` examples.

    Raises `HCError` for a task without the training split that means and donors need.
    """
    if kind == "zero":
        return 0
    if task.train is None:
        raise HCError(f"{task.name} has no training split to take {kind} from. Choose --replace zero.")
    examples = task.train.sample(n, seed)
    if kind == "donors":
        return hc.Donors(model, examples, seed)
    return hc.mean_activations(model, examples, positional=kind == "positional")


def split(task: "hc.Task", name: str) -> "hc.Examples":
    """The split of the task that has this name. Raises `HCError` if the task lacks it."""
    if (examples := getattr(task, name)) is None:
        raise HCError(
            f"The task {task.name} has no {name} examples, which this needs. Choose another: hc-interp tasks."
        )
    return examples


def site_named(text: str) -> "hc.Site":
    """The site of this name, such as L3H7.v, L3.resid_post, embed or pooled. Raises `ComponentError` for others."""
    if text in ("embed", "pooled"):
        return hc.Site(None, text)
    match = re.fullmatch(r"L(\d+)(?:H(\d+))?\.(\w+)", text)
    if not match:
        raise ComponentError(f"{text!r} names no site. Expected one like L3H7.v, L3.z, L3.resid_post, embed or pooled.")
    layer, head, kind = match.groups()
    return hc.Site(int(layer), kind, None if head is None else int(head))


def cut_ends(senders: str, site: "hc.Site") -> tuple[tuple[Head, ...], Head]:
    """The heads of --cut that are upstream of the site's head, and that head.

    Raises `HCError` if the site is not the q, k or v of one head, or if no sender is upstream of that head.
    """
    if site.layer is None or site.head is None or site.kind not in ("q", "k", "v"):
        raise HCError(f"--cut was given with the site {site}. Expected q, k or v of one head, like L3H7.v.")
    receiver = Head(site.layer, site.head)
    named = components(heads_of(heads_in(senders)))
    heads = tuple(head for head in named if isinstance(head, Head) and is_upstream(head, receiver))
    if not heads:
        raise HCError(f"None of the heads of --cut {senders} is upstream of {receiver}. Choose a later site.")
    return heads, receiver


def results_of(paths: list[Path]) -> Any:
    """The run in a folder that `hc.run` wrote, or the results in files, by file name."""
    if len(paths) == 1 and paths[0].is_dir():
        return hc.RunResults.load(paths[0])
    return {path.stem: hc.read(path) for path in paths}


def run_of(paths: list[Path]) -> "hc.RunResults":
    """The run in a folder, or a run made of the results in files."""
    results = results_of(paths)
    return results if isinstance(results, hc.RunResults) else hc.RunResults.of(results)
