"""The fast engine held against a hooked pass: it reads weights directly, and must measure the model that runs."""

from collections.abc import Iterable

from hc_interp.data.batch import Batch
from hc_interp.errors import ModelError
from hc_interp.models.forward import by_site
from hc_interp.models.hooked import Intervention
from hc_interp.models.site import Site
from hc_interp.models.validate import disagreement
from hc_interp.patching.engine.stack import Stack

KINDS = ("z", "resid_mid", "mlp_out", "resid_post")


def check_engine(stack: Stack, batch: Batch, interventions: Iterable[Intervention]) -> None:
    """Raise `ModelError` naming the first site at which a layer, given what enters it in a hooked pass, computes
    something else than that pass did; then the same of the logits.

    Layer by layer, so that rounding does not add up: the tolerance is that of the check at loading, at any depth.
    """
    model = stack.model
    edits = model.compile(batch, interventions)
    layers = range(stack.depth)
    run = model.run_edits(batch, edits, [Site(i, kind) for i in layers for kind in ("resid_pre", *KINDS)])
    at = run.captured
    pairs = {}
    for i in layers:
        out, values = stack.layer_values(i, at[Site(i, "resid_pre")], by_site(edits))
        values[Site(i, "resid_post")] = out
        pairs |= {str(site): (values[site], at[site]) for site in (Site(i, kind) for kind in KINDS)}
    end = at[Site(stack.depth - 1, "resid_post")]
    pairs["the logits"] = stack.logits(end[:, stack.at]), run.logits
    for where, (found, expected) in pairs.items():
        if difference := disagreement(model, found, expected):
            raise ModelError(
                f"The fast engine of path patching and a pass of {model.name} differ at {where} ({difference}); "
                "expected the same values, since both are of the same weights. Something that the weights do not show "
                "changes the passes: a hook, a replaced forward, a changed config, dropout. Load the module without "
                "it, hc.load(...), and report this message if it stays."
            )
