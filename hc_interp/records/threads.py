"""The number of threads that a computation uses. Sums that are split among threads round differently."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def at_threads(n: int) -> Iterator[None]:
    """Let torch, BLAS and OpenMP use `n` threads in this context."""
    before = torch.get_num_threads()
    with _controller(len(sys.modules)).limit(limits=n):
        torch.set_num_threads(n)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@cache
def _controller(n_modules: int) -> ThreadpoolController:
    """Finding the libraries takes milliseconds, so they are looked for again only after an import."""
    return ThreadpoolController()
