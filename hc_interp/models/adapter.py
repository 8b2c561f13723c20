"""`Adapter`: a folder in which peft saved a change of a base model, such as LoRA's. It is merged into the base."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import nn

from hc_interp.errors import ModelError
from hc_interp.models.families import FAMILIES, unsupported
from hc_interp.models.families.family import Family

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_WRAPPED = "base_model.model."  # begins the names of weights that an adapter replaces whole
# peft's names of tasks, and how the names of transformers' classes for them end.
_TASKS = {
    "SEQ_CLS": ("ForSequenceClassification",),
    "TOKEN_CLS": ("ForTokenClassification",),
    "CAUSAL_LM": ("ForCausalLM", "LMHeadModel"),
}


@dataclass(frozen=True)
class Adapter:
    """An adapter's folder: the name of its base, its task, the class of the model that it was trained on, the shapes of
    its weights, and whether it has a tokenizer."""

    folder: Path
    base: str
    task: str | None
    base_class: str | None
    shapes: dict[str, tuple[int, ...]]
    has_tokenizer: bool

    @classmethod
    def find(cls, source: str, *, local: bool) -> Self | None:
        """The adapter in a folder or hub repository, or None if it holds none. Raises `ModelError` for an adapter that
        cannot be merged, before its base is read."""
        from safetensors import safe_open
        from transformers.utils.hub import cached_file
        from transformers.utils.peft_utils import find_adapter_config_file

        config_file = find_adapter_config_file(source, local_files_only=local)
        if config_file is None:
            return None
        settings = json.loads(Path(config_file).read_text(encoding="utf-8"))
        base = settings.get("base_model_name_or_path")
        if not isinstance(base, str) or not base:
            raise ModelError(
                f"{source} is an adapter whose {_CONFIG} says base_model_name_or_path={base!r}; expected the folder or "
                "hub id of the model that it changes. Write it there."
            )
        _refuse_inputs(config_file, source, settings.get("peft_type"))
        weights, tokenizer_config = (
            cached_file(source, name, local_files_only=local, _raise_exceptions_for_missing_entries=False)
            for name in (_WEIGHTS, "tokenizer_config.json")
        )
        if weights is None:
            raise ModelError(
                f"{source} is an adapter without {_WEIGHTS}. Pickled weights are refused: save it again by "
                "PeftModel.save_pretrained(folder), which writes safetensors."
            )
        with safe_open(weights, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        base_class = (settings.get("auto_mapping") or {}).get("base_model_class")
        has_tokenizer = tokenizer_config is not None
        return cls(Path(config_file).parent, base, settings.get("task_type"), base_class, shapes, has_tokenizer)

    def architecture(self, config: Any, source: str) -> str:
        """The name of the class to load the base with: by the adapter's task, else by the class it was trained on.

        Raises `ModelError` if hc_interp cannot wrap any such class.
        """
        import transformers

        endings = _TASKS.get(self.task or "", ())
        names = FAMILIES if endings else [self.base_class, *(config.architectures or ())] if self.task is None else ()
        for name in names:
            fits = name in FAMILIES and isinstance(config, getattr(transformers, name).config_class)
            if fits and (not endings or name.endswith(endings)):
                return name
        what = f"task_type={self.task!r} on a {config.model_type}" + (
            f" made of {self.base_class}" * bool(self.base_class)
        )
        raise ModelError(unsupported(f"{self.folder} is an adapter with {what}, of base {source}"))

    def n_labels(self, family: Family) -> int | None:
        """The number of classes of the adapter's own classification head, or None if it brings none."""
        shape = self.shapes.get(f"{_WRAPPED}{family.head}.weight")
        return shape[0] if shape and family.readout != "vocabulary" else None

    def holds(self, key: str) -> bool:
        """Whether the adapter replaces this weight of the base as a whole."""
        return f"{_WRAPPED}{key}" in self.shapes

    def merge(self, module: nn.Module) -> nn.Module:
        """Merge the change into the weights of `module`, the base. Raises `ModelError` if it does not fit."""
        import peft

        wrapped = peft.PeftModel.from_pretrained(module, str(self.folder))  # type: ignore[arg-type]
        loaded = set(peft.get_peft_model_state_dict(wrapped))
        if differ := sorted(loaded ^ set(self.shapes)):
            raise ModelError(
                f"{self.folder} is an adapter whose {_WEIGHTS} and {_CONFIG} do not fit the base {self.base}: "
                f"{len(differ)} weights are in one of them only (first: {differ[0]}). Give it the base that it was "
                "trained on."
            )
        return wrapped.merge_and_unload()


def _refuse_inputs(config_file: str, source: str, kind: Any) -> None:
    """Raise `ModelError` for an adapter that adds inputs, which no weight can hold, and if peft is not installed."""
    try:
        import peft
    except ImportError as error:
        raise ModelError(
            f"{source} is an adapter ({_CONFIG}: {kind}), which peft merges into its base, and peft is not installed. "
            "Install it: pip install 'hc-interp[lora]'. Or pass a merged model: "
            "model.merge_and_unload().save_pretrained(folder)."
        ) from error
    if peft.PeftConfig.from_pretrained(str(Path(config_file).parent)).is_prompt_learning:
        raise ModelError(
            f"{source} is an adapter of kind {kind}, which adds inputs that no weight can hold. Expected one that can "
            "be merged, like LoRA. Such a model cannot be wrapped."
        )
