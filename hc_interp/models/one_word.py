"""`at_one_word`: a language model without label words as a model whose logits are `[batch, class]`."""

from typing import Any
from weakref import WeakKeyDictionary

from hc_interp.models.hooked import HookedModel
from hc_interp.models.transformer_lens_backend import share_tree

_VIEWS: WeakKeyDictionary[HookedModel, HookedModel] = WeakKeyDictionary()


def at_one_word(model: HookedModel) -> HookedModel:
    """The model as metrics need it: itself, unless its logits are a whole vocabulary at every position.

    For such a language model it is a model over the same parameters. Its logits are those of all words, `[batch,
    vocab]`, at one position of each row: the last one that is not padding, or the first mask token of a masked model.
    """
    if model.labels is not None or model.readout.one_word:
        return model
    _ = model.fingerprint  # raises `ModelError` if a part of the module was replaced, as a pass would
    if model not in _VIEWS:
        settings: dict[str, Any] = {**model.settings(), "one_word": True}
        _VIEWS[model] = HookedModel(share_tree(model.module), name=model.name, **settings)
    return _VIEWS[model]
