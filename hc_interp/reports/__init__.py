"""A run as one HTML page. This package is not named `report`, because `hc.report` is a function."""

from hc_interp.reports.summary import summary
from hc_interp.reports.words import lead

__all__ = ["lead", "summary"]
