"""Default settings of the reads-from test. `reads_from`, the settings of a run and the command line read them here."""

MARGIN = 0.05  # a share of the node effect below this counts as no reading
DELTA = 0.3  # share of the generalizing heads' response that other heads must lack for the reading to be specific
PERMUTATIONS = 199  # relabellings of the core in the null
ABLATION_SOURCES = ("means", "zero", "donors")  # what necessity and sufficiency replace values by
