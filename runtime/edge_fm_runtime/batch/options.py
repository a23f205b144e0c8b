"""Options of a labelling run; light, since the command line loads it before NumPy."""

import re
from dataclasses import dataclass, field

from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.image import guard
from edge_fm_runtime.image.guard import Limits

BATCH = 8
"""Images per inference; the last is padded, so that a row never depends on its neighbours."""


@dataclass(frozen=True)
class RowOptions:
    """Options that a row depends on, besides input and model.

    Attributes:
        top: how many labels a row keeps, at least 1.
        limits: how large a picture may be.
    """

    top: int = 1
    limits: Limits = guard.DEFAULT_LIMITS


MAX_SHARDS = 1_000_000


@dataclass(frozen=True)
class Shard:
    """One part of the inputs.

    Attributes:
        index: number of this part, from 1.
        count: number of parts, up to MAX_SHARDS.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "3/16".

        Raises:
            SourceError: it is no such thing.
        """
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise SourceError(f"the shard {text!r:.40} is no INDEX/COUNT such as 3/16, from 1/16 to 16/16")
        if int(found[2]) > MAX_SHARDS:
            raise SourceError(f"{int(found[2]):,} shards are more than the limit of {MAX_SHARDS:,}")
        return cls(int(found[1]), int(found[2]))


@dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        row: what a row depends on.
        fresh: whether to forget what an earlier run has done.
        workers: how many processes.
        timeout_s: how long one input may take, in seconds; it is tried twice.
        memory_bytes: how much a worker may take on top of what the loaded model takes.
        shard: which part of the inputs, None for all.
        fields: the columns to write, in order; empty for all.
        spreadsheet_safe: whether to protect the cells of a CSV from spreadsheets.
    """

    row: RowOptions = field(default_factory=RowOptions)
    fresh: bool = False
    workers: int = 1
    timeout_s: float = 4.0
    memory_bytes: int = 1024 * 2**20
    shard: Shard | None = None
    fields: tuple[str, ...] = ()
    spreadsheet_safe: bool = False
