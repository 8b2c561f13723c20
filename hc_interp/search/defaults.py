"""Defaults of a mask search and of a sample, shared by the functions, the settings of a run and the command line."""

SPARSITY = 0.5  # share of components removed
BESIDE = 0.7  # sparsity of the subnetworks that a run evaluates beside these
SEEDS = 12  # subnetworks at each sparsity
STEPS = 120  # training steps of one search
EXCHANGES = 0  # rounds of swaps after training, at most: with swaps nearly all seeds end in one mask

CHAINS = 8  # of a sample of subnetworks
ROWS = 128  # examples that define its loss
WARM_UP, SWEEPS = 80, 100  # moves of every chain before the sample, and in it
