"""Transformers without its progress bars, or without its words."""

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


@contextmanager
def no_words_of_transformers() -> Iterator[None]:
    """Hide the bars, and the reports of weights that a checkpoint lacks, where the caller looks at these itself."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with no_bars_of_transformers():
            yield
    finally:
        logging.set_verbosity(level)
