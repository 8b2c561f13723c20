"""What a mask search does unless told otherwise: `search_masks`, the settings of a run and the command line read it."""

SPARSITY = 0.5  # share of components removed
SEEDS = 6  # subnetworks at each sparsity
STEPS = 120  # training steps of one search
EXCHANGES = 16  # rounds in which a trained mask then trades components
