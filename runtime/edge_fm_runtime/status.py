"""What became of one input: the `status` column of a labelled folder."""

from enum import StrEnum


class Status(StrEnum):
    """One word for each way that an input can end; each input has exactly one."""

    OK = "ok"
    UNKNOWN = "unknown"  # below the model's threshold; the label is still given
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
        """Whether the model gave an answer."""
        return self in {Status.OK, Status.UNKNOWN}

    @property
    def bad(self) -> bool:
        """Whether it makes the run end with exit code 1: no answer, and not merely "no picture"."""
        return not self.labelled and self is not Status.UNSUPPORTED
