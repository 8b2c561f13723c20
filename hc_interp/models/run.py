"""`Run`: what one pass gave."""

from dataclasses import dataclass

import pandas as pd
from jaxtyping import Float
from torch import Tensor

from hc_interp.models.site import Site

_ROWS, _CLASSES = 10, 20  # of the logits, in a notebook


@dataclass(frozen=True, eq=False)
class Run:
    """The results of one pass: `logits`, and `captured[site]` for each requested site.

    `logits` are `[batch, class]`, or `[batch, pos, vocab]` of a language model without label words.
    """

    logits: Float[Tensor, "batch *class"]
    captured: dict[Site, Tensor]

    def __repr__(self) -> str:
        values = [f"logits {list(self.logits.shape)}"]
        values += [f"{site} {list(value.shape)}" for site, value in self.captured.items()]
        return f"Run({', '.join(values)})"

    def _repr_html_(self) -> str:
        """The shapes, and the logits of the first rows if they are those of a few classes."""
        html = f"<p><b>{self!r}</b></p>"
        if self.logits.ndim != 2 or self.logits.shape[1] > _CLASSES:
            return html
        table = pd.DataFrame(self.logits[:_ROWS].detach().float().cpu().numpy()).rename_axis(columns="class")
        return html + table.to_html(float_format="%.4g")
