"""Every error that hc_interp raises on purpose.

A message says three things, in this order: what was given, what was expected, what to do.
"""


class HCError(Exception):
    """Base of all errors that a user can mend. The command line turns it into one paragraph and exit code 2."""


class ModelError(HCError):
    """A checkpoint, module or tokenizer that cannot be wrapped, or that is not what it claims to be."""


class LabelError(HCError):
    """The order or the names of a classifier's labels cannot be read, or data uses a label outside them."""


class DataError(HCError):
    """A data file, frame, batch or split that lacks what it needs."""


class AlignmentError(DataError):
    """A contrast pair whose two sides do not have the same layout; names the pair and the position."""


class ComponentError(HCError):
    """A component or site that cannot be parsed or that the model does not have."""


class InterventionError(HCError):
    """A list of interventions that has no meaning together, or on this model and batch."""


class SearchError(HCError):
    """A mask search that cannot be run as asked, or whose loss is not finite."""


class ResultError(HCError):
    """A result file that is missing, truncated, of another kind or of another version."""


class HCWarning(UserWarning):
    """Something that is allowed but probably not meant."""
