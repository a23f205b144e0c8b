"""Sort more inputs than fit in memory, and drop repeated ones."""

import os
import sqlite3
from collections.abc import Iterator
from typing import Self

from edge_fm_runtime.batch.inputs import locators

_CACHE_KIB = 64 * 1024
_BATCH = 10_000
"""Inputs per transaction."""


class InputSorter:
    """Sorts inputs in a SQLite table on disk, and keeps the first spelling of each."""

    def __init__(self, scratch: str, is_distinct: bool) -> None:
        """Create the table.

        Args:
            scratch: a folder for the database.
            is_distinct: whether every spelling is known to be a different input.
        """
        self._database = sqlite3.connect(os.path.join(scratch, "inputs.sqlite"), isolation_level=None)
        for setting in (
            "journal_mode=OFF",
            "synchronous=OFF",
            "temp_store=FILE",
            f"cache_size=-{_CACHE_KIB}",
        ):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute(
            "CREATE TABLE inputs (number INTEGER PRIMARY KEY, identity BLOB, path BLOB, locator BLOB)"
        )
        self._pending: list[tuple[bytes | None, bytes, bytes]] = []
        self._is_distinct = is_distinct
        self._is_plain = True  # every input is spelled as its identity, so equal paths are equal inputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, locator: str) -> None:
        """Add an input."""
        path, spelling = locators.sort_key(locator), os.fsencode(locator)
        identity = None
        if not self._is_distinct:
            identity = os.fsencode(locators.identity(locator))
            self._is_plain &= identity == spelling
        self._pending.append((identity, path, spelling))
        if len(self._pending) == _BATCH:
            self._store()

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield (path, locator) in the order of the bytes of the paths."""
        self._store()
        if self._is_plain:
            last = None
            for path, locator in self._database.execute(
                "SELECT path, locator FROM inputs ORDER BY path, number"
            ):
                if path != last or self._is_distinct:
                    yield path, locator
                last = path
            return
        # With a single min(), SQLite takes the other columns from the same row.
        yield from self._database.execute(
            "SELECT path, locator FROM (SELECT path, locator, min(number) FROM inputs GROUP BY identity) ORDER BY path"
        )

    def _store(self) -> None:
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT INTO inputs (identity, path, locator) VALUES (?, ?, ?)", self._pending
        )
        self._database.execute("COMMIT")
        self._pending.clear()
