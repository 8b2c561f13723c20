"""What may be given alone or as a list, as a list."""

from collections.abc import Iterable
from typing import Any

from hc_interp.errors import ComponentError, InterventionError
from hc_interp.models.site import Site


def listed_interventions(given: Any) -> list[Any]:
    """One or many interventions as a list. Raises `InterventionError` for what is neither, or holds something else."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InterventionError(
            f"Interventions were given as {given!r}; expected one intervention or a list of them, like "
            "[hc.Ablate('L3H7', with_=means)]."
        )
    listed = list(given)
    for index, item in enumerate(listed):
        if not hasattr(item, "edits"):
            raise InterventionError(
                f"Item {index} of the interventions is {item!r}, not an intervention. "
                "Use hc.Keep, hc.Ablate, hc.SoftMask, hc.Patch, hc.PatchPath, hc.Scale, hc.Steer or hc.Edit, or "
                "derive a class from hc.Intervention."
            )
    return listed


def listed_sites(given: Any) -> list[Site]:
    """One or many sites as a list. Raises `ComponentError` for what is no site."""
    sites: list[Any] = [given] if isinstance(given, Site | str) or not isinstance(given, Iterable) else [*given]
    if wrong := [site for site in sites if not isinstance(site, Site)]:
        raise ComponentError(
            f"capture holds {wrong[0]!r}, which is not a site. Name places by layer, kind and head: "
            "hc.Site(3, 'z', head=7) is what L3H7 puts out."
        )
    return sites
