"""Defaults of a mask search, shared by `search_masks`, the settings of a run and the command line."""

SPARSITY = 0.5  # share of components removed
SEEDS = 6  # subnetworks at each sparsity
STEPS = 120  # training steps of one search
EXCHANGES = 16  # rounds of swaps after training, at most
