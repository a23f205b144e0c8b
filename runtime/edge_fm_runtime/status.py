"""The outcome of one input: the `status` column of a labelled folder."""

from enum import StrEnum


class Status(StrEnum):
    """Outcome of one input; each input has exactly one."""

    OK = "ok"
    UNKNOWN = "unknown"  # confidence below the threshold of the model; the row still has the label
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    MISSING = "missing"

    @property
    def labelled(self) -> bool:
        """Whether the model answered."""
        return self in {Status.OK, Status.UNKNOWN}

    @property
    def bad(self) -> bool:
        """Whether the run ends with exit code 1: not answered, and the file is not of another type."""
        return not self.labelled and self is not Status.UNSUPPORTED
