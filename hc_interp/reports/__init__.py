"""One run as one HTML page. The room is not called `report`, because `hc.report` is the function."""
