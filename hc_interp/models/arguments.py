"""What may be given alone or as a list, as a list."""

from collections.abc import Iterable
from typing import Any

from hc_interp.errors import ComponentError, InterventionError
from hc_interp.models.site import Site


def listed_interventions(given: Any) -> list[Any]:
    """One or many interventions as a list. Raises `InterventionError` for what is neither."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InterventionError(
            f"Interventions were given as {given!r}; expected one intervention or a list of them, like "
            "[hc.Ablate('L3H7', with_=means)]."
        )
    return list(given)


def listed_sites(given: Any) -> list[Site]:
    """One or many sites as a list. Raises `ComponentError` for what is no site."""
    sites: list[Any] = [given] if isinstance(given, Site | str) or not isinstance(given, Iterable) else [*given]
    if wrong := [site for site in sites if not isinstance(site, Site)]:
        raise ComponentError(
            f"capture holds {wrong[0]!r}, which is not a site. Name places by layer, kind and head: "
            "hc.Site(3, 'z', head=7) is what L3H7 puts out."
        )
    return sites
