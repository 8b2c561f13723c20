"""Transformers without its progress bars."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_bars_of_transformers() -> Iterator[None]:
    """Hide the bars that transformers shows whenever a checkpoint is loaded or saved."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
