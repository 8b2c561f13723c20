"""`Result`, the base of all results, gives them `save`, `load` and `_repr_html_`. `read` reads the file of any result.

A result is a frozen dataclass that derives from `Result` and defines `to_frame`. One JSON file holds a whole result,
per-example values included. Arrays are stored as base64 of their bytes, tables as their columns without the index, and
results inside a result as nested objects. The file has a checksum.
"""

import base64
import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd

from hc_interp.checksum import note_unchecked, read_checked, write_checked
from hc_interp.components import MLP, At, End, Head, component
from hc_interp.errors import ChecksumError, HCError, ResultError
from hc_interp.subnetwork import Subnetwork

# The module that defines each kind of result, as text, so that a file is read without importing every module first.
MODULES = {
    "Alternatives": "hc_interp.search.sampling.alternatives",
    "AttentionProfile": "hc_interp.attention.result",
    "Block": "hc_interp.patching.shards",
    "Concept": "hc_interp.probing.concept",
    "DirectionRecord": "hc_interp.reading.records",
    "EffectiveSize": "hc_interp.evaluation.effective_size",
    "Evaluation": "hc_interp.evaluation.result",
    "Extremes": "hc_interp.extremes.result",
    "Faithfulness": "hc_interp.evaluation.faithfulness_results",
    "FaithfulnessCurve": "hc_interp.evaluation.faithfulness_results",
    "FeatureValues": "hc_interp.probing.features",
    "FirstMatters": "hc_interp.dynamics.first_matters",
    "FinishedRun": "hc_interp.search.store",
    "GeneralizingHeads": "hc_interp.heads.generalizing",
    "HeuristicCore": "hc_interp.heads.core",
    "Interval": "hc_interp.statistics.tests",
    "KindRecord": "hc_interp.reading.records",
    "MaskSearch": "hc_interp.search.result",
    "MeanActivations": "hc_interp.interventions.means",
    "Measured": "hc_interp.records.small_pieces",
    "OverTraining": "hc_interp.dynamics.result",
    "PathEffects": "hc_interp.patching.effects",
    "PathProbes": "hc_interp.probing.path_result",
    "Places": "hc_interp.probing.design",
    "Premises": "hc_interp.reading.premise_result",
    "Probe": "hc_interp.probing.probe",
    "ProbeMap": "hc_interp.probing.probe_map",
    "Ranking": "hc_interp.search.ranking",
    "Specificity": "hc_interp.reading.specificity",
    "ScoreRows": "hc_interp.evaluation.scores",
    "SavedBlock": "hc_interp.search.sampling.store",
    "SavedRepair": "hc_interp.search.sampling.store",
    "SavedRound": "hc_interp.extremes.store",
    "SavedStarts": "hc_interp.search.sampling.store",
    "Scores": "hc_interp.evaluation.scores",
    "SubnetworkSample": "hc_interp.search.sampling.sample",
    "SystemScores": "hc_interp.reading.premise_pieces",
    "Table": "hc_interp.dynamics.result",
    "Verdict": "hc_interp.reading.verdict",
}

# The errors that reading a file can raise if it is missing, truncated or of another program.
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, HCError)


class Result:
    """Base of all results. Subclasses are frozen dataclasses. Each registers itself by name for `load`."""

    _kinds: ClassVar[dict[str, tuple[type["Result"], ...]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__ != MODULES.get(cls.__name__, cls.__module__):
            raise ResultError(
                f"{cls.__module__} defines a result called {cls.__name__}, which is the name of a result of "
                f"{MODULES[cls.__name__]}. Files know results by their names: give the class another one."
            )
        Result._kinds[cls.__name__] = (*_whole(cls.__name__)[-1:], cls)

    def to_frame(self) -> pd.DataFrame:
        """The result as a table. Each kind says what a row is; `NotImplementedError` from a class that does not."""
        raise NotImplementedError(f"{type(self).__name__} does not define to_frame")

    def _repr_html_(self) -> str:
        title = repr(self).splitlines()[0].replace("&", "&amp;").replace("<", "&lt;")
        return f"<p><b>{title}</b></p>{self.to_frame().head(20).to_html(float_format='%.4g', index=False)}"

    def save(self, path: str | Path) -> Path:
        """Write one JSON file, which appears whole or not at all. Returns its path."""
        return write_result(path, self)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote. Raises `ResultError` and warns as `hc.read` does."""
        result = _read(path, cls.__name__)
        if not isinstance(result, cls):
            kind = type(result).__name__
            raise ResultError(
                f"{path} holds a {kind}, not a {cls.__name__}. "
                f"Load it with {kind}.load, or with hc.read, which reads any result."
            )
        return result


def read(path: str | Path) -> Any:
    """Read any file that `save` wrote: a result of any kind, or a `Subnetwork`.

    Raises `ResultError` for a missing or damaged file, a file of another program, and a file that a newer hc_interp
    wrote. Warns (`HCWarning`) of a file of an earlier hc_interp, which has no checksum: damage would not be noticed.
    """
    return _read(path, "Result")


class UnknownResult(ResultError):
    """A file holds a kind of result that no imported module defines."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"it holds a {name}, and no imported module defines a result of that name. Import the module that does, "
            "then read the file again. The command line reads the package's own kinds only"
        )


def _read(path: str | Path, expected: str) -> Any:
    try:
        return read_file(path, f"saved {expected}", "Restore it from a copy, or make and save the result again.")[0]
    except ChecksumError:
        raise
    except UnknownResult as error:
        raise ResultError(f"{path} is not a saved {expected} that can be read here: {error}.") from error
    except UNREADABLE as error:
        raise ResultError(
            f"{path} is not a saved {expected} ({type(error).__name__}: {error}). "
            f"Expected a file that {expected}.save wrote; save the result again."
        ) from error


def write_result(path: str | Path, result: Result, **more: str) -> Path:
    """Write a result's file. `more` are further entries of the file, like the `settings` of the work it belongs to."""
    return write_checked(path, {**more, "result": encode(result)})


def read_file(path: str | Path, what: str, mend: str) -> tuple[Any, dict[str, Any]]:
    """The result or `Subnetwork` in a file, and the file's whole record. Warns of a file without a checksum.

    Raises `ChecksumError` for a damaged file: the message names the file's kind, `what`, and ends with `mend`, which
    says what to do. Raises one of `UNREADABLE` for any other file that cannot be read.
    """
    record, checked = read_checked(path, what, mend)
    value = Subnetwork.from_dict(record) if record.get("kind") == "Subnetwork" else decode(record["result"])
    if not checked:
        note_unchecked(path)
    return value, record


def _kind(name: str) -> type[Result]:
    """The class of a result by its name. A module of the package is imported when a class of it is needed."""
    if name in MODULES:
        import_module(MODULES[name])
    if not (kinds := _whole(name)):
        raise UnknownResult(name)
    return kinds[-1]


def _whole(name: str) -> list[type[Result]]:
    """The classes of this name that are dataclasses by now, the newest last.

    A class of a notebook goes to workers by value. Whoever reads it makes an empty class of its name every time, and
    throws all but the first away.
    """
    return [kind for kind in Result._kinds.get(name, ()) if "__dataclass_fields__" in vars(kind)]


def encode(value: Any) -> Any:
    """Turn a result, or a value that a result holds, into values that JSON has. Raises `TypeError` for other values."""
    if isinstance(value, Result):
        fields = {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}  # type: ignore[arg-type]
        return {"__result__": type(value).__name__, "fields": fields}
    if isinstance(value, Head | MLP | End | At):
        return {"__component__": str(value)}
    if isinstance(value, Subnetwork):
        return {"__subnetwork__": value.to_dict()}
    if isinstance(value, pd.DataFrame):
        columns = [[encode(name), str(column.dtype), encode(column.tolist())] for name, column in value.items()]
        return {"__frame__": columns}
    if value is pd.NA:
        return None
    if hasattr(value, "detach"):
        return {"__tensor__": _encode_tensor(value.detach().cpu())}
    if isinstance(value, np.ndarray):
        return {"__array__": _encode_array(value)}
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        return encode(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return {"__float__": str(value)}
    if isinstance(value, dict):
        return {"__dict__": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, tuple):
        return {"__tuple__": [encode(item) for item in value]}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a result cannot hold a {type(value).__name__}")


def decode(value: Any) -> Any:
    """The inverse of `encode`."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__result__" in value:
        fields = {name: decode(item) for name, item in value["fields"].items()}
        return _kind(value["__result__"])(**fields)
    (tag, content), *_ = value.items()
    match tag:
        case "__component__":
            return component(content)
        case "__subnetwork__":
            return Subnetwork.from_dict(content)
        case "__frame__":
            columns = [pd.Series(decode(items), dtype=dtype) for _, dtype, items in content]
            frame = pd.concat(columns, axis=1) if columns else pd.DataFrame()
            return frame.set_axis([decode(name) for name, *_ in content], axis=1)
        case "__tensor__":
            return _decode_tensor(content)
        case "__array__":
            return _decode_array(content)
        case "__float__":
            return float(content)
        case "__dict__":
            return {decode(k): decode(v) for k, v in content}
        case "__tuple__":
            return tuple(decode(item) for item in content)
    raise ValueError(f"unknown entry {tag}")


def _encode_tensor(tensor: Any) -> dict[str, Any]:
    """A tensor as its bytes and torch's name of its type, since NumPy has no bfloat16."""
    import torch

    flat = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"dtype": dtype, "shape": list(tensor.shape), "data": base64.b64encode(flat).decode()}


def _decode_tensor(record: dict[str, Any]) -> Any:
    import torch

    dtype = getattr(torch, record["dtype"])
    data = bytearray(base64.b64decode(record["data"]))
    return (torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)).reshape(record["shape"])


def _encode_array(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind in "OUS":
        return {"dtype": str(array.dtype), "shape": list(array.shape), "items": encode(array.ravel().tolist())}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def _decode_array(record: dict[str, Any]) -> np.ndarray:
    if "items" in record:
        items = decode(record["items"])
        flat = np.empty(len(items), dtype=record["dtype"])
        for i, item in enumerate(items):  # one by one: NumPy would read a tuple as a further axis
            flat[i] = item
        return flat.reshape(record["shape"])
    flat = np.frombuffer(base64.b64decode(record["data"]), dtype=record["dtype"])
    return flat.reshape(record["shape"]).copy()
