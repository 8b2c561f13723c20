"""How the reads-from test decides unless told otherwise: `reads_from`, the settings of a run and the command line
read it."""

MARGIN = 0.05  # share of the node effect below which nothing counts as read
PERMUTATIONS = 199  # relabellings of the null
SOURCES = ("means", "zero", "donors")  # what stands for absent heads in necessity and sufficiency
