"""Digests: the same work has the same one in every process, and other work another."""

import math
import subprocess
import sys
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import unwrap
from typing import Any

import numpy as np
import pytest
import torch
from path_pairs import make_pairs

from hc_interp.errors import HCError
from hc_interp.interventions.means import mean_activations
from hc_interp.interventions.nodes import Ablate
from hc_interp.interventions.sites import Edit
from hc_interp.metrics import logit_diff
from hc_interp.models.site import Site
from hc_interp.records.digest import NOT_HASHED, _source, digest


def test_digests_tell_settings_apart_by_content(tiny_bert) -> None:
    means = mean_activations(tiny_bert, make_pairs(5).clean)
    other = replace(means, values={**means.values, "embed": means.values["embed"] + 1})
    settings = [
        means,
        other,
        Ablate("L0H1", means),
        Ablate("L0H1", other),
        Ablate("L0H2", means),
        0,
        "pair",
        unwrap(logit_diff),  # without the wrapper by which tests check its tensors: that has no source text
    ]
    assert len({digest(item) for item in settings}) == len(settings)
    assert digest(means) == digest(replace(means, values=dict(means.values)))


def test_digests_tell_functions_apart_by_what_they_do() -> None:
    def times(factor: float):
        return lambda value: value * factor

    def outer(factor: float):
        def late(value):
            return value * scale

        if factor:
            scale = factor
        return late

    functions = [
        lambda value: value * 2.0,
        lambda value: value * 0.5,
        lambda value, by=2.0: value * by,
        lambda value, by=0.5: value * by,
        lambda value: torch.tanh(value),
        lambda value: torch.sin(value),
        times(1.0),
        times(3.0),
        outer(0.0),
        outer(1.0),
        partial(torch.mul, other=2.0),
        partial(torch.mul, other=3.0),
        torch.nn.Linear(1, 1),
        torch.nn.Linear(1, 1),
        Doubler(1).apply,
        Doubler(2).apply,
        Doubler(1),
        Doubler(2),
    ]
    assert len({digest(Edit(Site(0, "z"), fn)) for fn in functions}) == len(functions)
    assert digest(times(3.0)) == digest(times(3.0))
    assert digest(Doubler(2).apply) == digest(Doubler(2).apply)


def test_digests_of_what_refers_to_itself_and_of_plain_objects() -> None:
    def recursive(factor: float):
        def down(value, depth=2):
            return value * factor if depth == 0 else down(value, depth - 1)

        return down

    assert digest(recursive(2.0)) == digest(recursive(2.0)) != digest(recursive(3.0))
    first, again, other = Plain(1.0), Plain(1.0), Plain(2.0)
    assert digest(first.shifted) == digest(again.shifted) != digest(other.shifted)


class Plain:
    """Not callable, without a repr of its own, and it holds itself."""

    def __init__(self, by: float) -> None:
        self.by, self.own = by, self

    def shifted(self, value):
        return value + self.by


class Doubler:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def apply(self, value):
        return value * self.factor

    __call__ = apply


@dataclass(frozen=True)
class Named:
    value: int
    name: str = field(metadata=NOT_HASHED)


def test_fields_that_say_where_content_came_from_are_left_out() -> None:
    assert digest(Named(1, "a")) == digest(Named(1, "b")) != digest(Named(2, "a"))


# fmt: off
ONE_LINE = [lambda v: v * 2.0, lambda v: v * 0.5, lambda v, é="ü": v, lambda x: lambda y: x + y]
# fmt: on


def test_lambdas_on_one_line_are_told_apart() -> None:
    given = [*ONE_LINE, ONE_LINE[-1](1), ONE_LINE[-1](2)]
    assert len({digest(fn) for fn in given}) == len(given)
    assert digest(ONE_LINE[-1](1)) == digest(ONE_LINE[-1](1))
    assert [_source(fn) for fn in given[2:5]] == ['lambda v, é="ü": v', "lambda x: lambda y: x + y", "lambda y: x + y"]


def scaled(fn, by):
    @wraps(fn)
    def outer(value):
        return fn(value) * by

    return outer


def shifted(fn, by):
    @wraps(fn)
    def outer(value):
        return fn(value) + by

    return outer


def test_a_function_is_known_by_its_own_text_not_by_what_it_wraps() -> None:
    def half(value):
        return value / 2

    assert digest(scaled(half, 2)) == digest(scaled(half, 2))
    assert len({digest(fn) for fn in (half, scaled(half, 2), scaled(half, 3), shifted(half, 2))}) == 4


def test_functions_written_in_c_are_known_by_name_and_by_what_they_belong_to() -> None:
    one, two = torch.ones(2), torch.zeros(2)
    functions = [math.sin, math.cos, torch.sin, torch.cos, np.sin, np.cos, one.mul, two.mul, one.add]
    assert len({digest(fn) for fn in functions}) == len(functions)
    assert digest(one.mul) == digest(torch.ones(2).mul)


HALF = "def half(value):\n    return value / 2\n"


def test_a_function_without_source_text_is_refused() -> None:
    namespace: dict[str, Any] = {}
    exec(HALF, namespace)
    with pytest.raises(HCError, match=r"source text of the function half cannot be read.*written in a file"):
        digest(namespace["half"])
    with pytest.raises(HCError, match="source text of the function half"):
        digest(Edit(Site(0, "z"), partial(namespace["half"])))


def test_a_digest_depends_on_the_text_alone(tmp_path) -> None:
    """Other bytecode of the same text (optimised, without docstrings) gives the same digest in another process."""
    (tmp_path / "mine.py").write_text(
        'def half(value):\n    "Half of it."\n    assert value\n    return value / 2\n\nSET = {"a", "b", "c", "d"}\n'
    )
    code = "import mine; from hc_interp.records.digest import digest; print(digest(mine.half), digest(mine.SET))"
    digests = set()
    for options in (["-O"], ["-OO"], []):
        run = subprocess.run(
            [sys.executable, *options, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        digests.add(run.stdout)
    assert len(digests) == 1
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("/ 2", "/ 3"))
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout not in digests


def test_arrays_of_the_same_bytes_are_told_apart_by_type_and_shape() -> None:
    zeros = [
        torch.zeros(4),
        torch.zeros(4, dtype=torch.int32),
        torch.zeros(2, 2),
        torch.zeros(1, 4),
        torch.zeros(2, 2).int(),
    ]
    assert len({digest(array) for array in zeros}) == len(zeros)
    assert digest(torch.zeros(4)) == digest(np.zeros(4, dtype=np.float32))
