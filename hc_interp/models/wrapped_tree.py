"""`WrappedTree`: checks at each pass that a module still has the parts that it had when it was wrapped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any, Self

from torch import Tensor, nn

from hc_interp.errors import ModelError
from hc_interp.models.foreign_hooks import HOOK_TABLES, any_global_hook, foreign_hooks, refuse_global_hooks

_HELD = ("_modules", "_parameters", "_buffers")


@dataclass(frozen=True, eq=False)
class WrappedTree:
    """The submodules, parameters and buffers of a module as they were when it was wrapped.

    Passes run in copies of the module tree that share its parameters. A submodule or tensor that is replaced later, or
    a hook, would enter only some of them. A weight that is edited in place enters all of them.
    """

    module: nn.Module
    attributes: tuple[dict[str, Any], ...]
    held: tuple[dict[str, Any], ...]
    hooks: tuple[dict[int, Any], ...]
    values: tuple[Any, ...]
    tensors: tuple[Tensor, ...]
    memory: tuple[int, ...]
    replaced_forwards: tuple[bool, ...]
    names: dict[str, Any]

    @classmethod
    def of(cls, module: nn.Module) -> Self:
        parts = list(module.modules())
        attributes = tuple(map(vars, parts))
        held = tuple(getattr(part, name) for part in parts for name in _HELD)
        hooks = tuple(getattr(part, name) for part in parts for name in HOOK_TABLES)
        tensors = (*module.parameters(), *module.buffers())
        values = tuple(_values(held))
        return cls(
            module, attributes, held, hooks, values, tensors, _memory(tensors), _forwards(attributes), _named(module)
        )

    def check(self, name: str) -> None:
        """Raise a `ModelError` that names what was changed since the module was wrapped, or a global hook."""
        if any_global_hook():
            refuse_global_hooks(name)
        now = list(_values(self.held))
        same = len(now) == len(self.values) and all(map(is_, now, self.values))
        same = same and _memory(self.tensors) == self.memory and _forwards(self.attributes) == self.replaced_forwards
        if same and not any(self.hooks):
            return
        if changed := self._changes():
            raise ModelError(
                f"The module of {name} is not the one that was wrapped: {'; '.join(changed[:3])}"
                f"{f' and {len(changed) - 3} more' if len(changed) > 3 else ''}. A pass would use the old part in one "
                "place and the new one in another. Change a module before it is wrapped: hc.load(module, ...). To wrap "
                "this one as it is now, use hc.load(model.module, ...) or, if it has no hooks, model.copy(). To change "
                "a weight of a wrapped model, edit it in place."
            )

    def versions(self) -> tuple[int, ...]:
        """The number of edits in place of each tensor. torch does not count edits through `.data`."""
        return tuple(0 if tensor.is_inference() else tensor._version for tensor in self.tensors)

    def _changes(self) -> list[str]:
        now = _named(self.module)
        changes = [f"{name} was removed" for name in self.names if name not in now]
        changes += [f"{name} was added" for name in now if name not in self.names]
        changes += [f"{name} was replaced" for name in now if now[name] is not self.names.get(name, now[name])]
        moved = [i for i, memory in enumerate(_memory(self.tensors)) if memory != self.memory[i]]
        by_id = {id(value): name for name, value in self.names.items()}
        changes += [f"{by_id[id(self.tensors[i])]} has other memory (.data was set, or .to() called)" for i in moved]
        return foreign_hooks(self.module) + changes


def _values(held: Sequence[dict[str, Any]]) -> Any:
    return chain.from_iterable([table.values() for table in held])


def _memory(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple([tensor.data_ptr() for tensor in tensors])


def _forwards(attributes: Sequence[dict[str, Any]]) -> tuple[bool, ...]:
    return tuple(["forward" in of_part for of_part in attributes])


def _named(module: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for values in (
            module.named_modules(remove_duplicate=False),
            module.named_parameters(remove_duplicate=False),
            module.named_buffers(remove_duplicate=False),
        )
        for name, value in values
    }
