"""Defaults of a search for extremes, shared by the function and the command line. It loads without torch."""

ROUNDS = 10  # in each of which every search proposes masks
LABELINGS = 20  # permuted searches: the least number with which an end can count at .05
SELECT_ROWS = 50  # examples of a case on which ends are searched
FRESH_ROWS = 5000  # validation examples on which the ends are compared in domain
