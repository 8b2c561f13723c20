"""One run as one HTML page. The room is not called `report`, because `hc.report` is the function."""

from hc_interp.reports.words import lead

__all__ = ["lead"]
