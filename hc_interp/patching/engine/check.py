"""A check of the fast engine, which reads weights directly, against a hooked pass of the model itself."""

from collections.abc import Iterable

from hc_interp.data.batch import Batch
from hc_interp.errors import ModelError
from hc_interp.models.forward import by_site
from hc_interp.models.hooked import Intervention
from hc_interp.models.site import Site
from hc_interp.models.validate import disagreement
from hc_interp.patching.engine.stack import Stack

CHECKED_KINDS = ("z", "resid_mid", "mlp_out", "resid_post")


def check_engine(stack: Stack, batch: Batch, interventions: Iterable[Intervention]) -> None:
    """Raise `ModelError`, which names the site, where a layer or the logits differ from a hooked pass.

    Each layer of the stack starts from the stream that enters it in the hooked pass, so that rounding errors do not add
    up over layers. The tolerance is that of the check at loading, at any depth.
    """
    model = stack.model
    edits = model.compile(batch, interventions)
    layers = range(stack.depth)
    kinds = [kind for kind in CHECKED_KINDS if kind in model.layer_kinds]
    run = model.run_edits(batch, edits, [Site(i, kind) for i in layers for kind in ("resid_pre", *kinds)])
    hooked = run.captured
    compared = {}
    for i in layers:
        out, values = stack.layer_values(i, hooked[Site(i, "resid_pre")], by_site(edits))
        values[Site(i, "resid_post")] = out
        compared |= {str(site): (values[site], hooked[site]) for site in (Site(i, kind) for kind in kinds)}
    end = hooked[Site(stack.depth - 1, "resid_post")]
    compared["the logits"] = stack.logits(end[:, stack.at]), run.logits
    for where, (computed, expected) in compared.items():
        if difference := disagreement(model, computed, expected):
            raise ModelError(
                f"The fast engine of path patching and a pass of {model.name} differ at {where} ({difference}); "
                "expected the same values, since both use the same weights. Something other than the weights changes "
                "the passes: a hook, a replaced forward, a changed config, dropout. Load the module without it, "
                "hc.load(...), and report this message if it stays."
            )
