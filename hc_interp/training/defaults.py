"""Defaults of fine-tuning, shared by `finetune` and the command line. This file loads without torch."""

BATCH_SIZE = 32
RATE = 5e-5  # peak learning rate of full fine-tuning
LORA_RATE = 3e-4  # that of LoRA, whose updates start at 0
WARM_UP = 0.1  # share of the steps in which the learning rate rises to its peak
WEIGHT_DECAY = 0.01  # of matrices; biases and norms have none
BETAS = (0.9, 0.999)  # decay of AdamW's means of the gradient and of its square
CLIP = 1.0  # largest norm of the gradient of all weights together
MAX_PER_CASE = 200  # examples of each case, and of validation, that a checkpoint is measured on
PULL_PAIRS = 50  # overlap pairs of each case that a checkpoint's pull is measured on
