"""Protect the cells of a CSV from spreadsheets, which run text such as `=1+1` as a formula.

A cell that a spreadsheet would run, or that begins with an apostrophe, gets an apostrophe in front. The file
begins with a byte order mark, from which spreadsheets see that it is UTF-8, and readers that it is protected.
"""

import codecs

ENCODING = "utf-8-sig"
"""Encoding of a protected CSV: UTF-8 with a byte order mark."""

_MARK = codecs.BOM_UTF8
_APOSTROPHE = "'"
_STARTS = tuple("=+-@\t\r\n＝＋－＠" + _APOSTROPHE)  # noqa: RUF001  # spreadsheets take full-width signs, too


def protect(cell: str) -> str:
    """Return a cell that a spreadsheet takes for text."""
    return _APOSTROPHE + cell if cell.startswith(_STARTS) else cell


def restore(cell: str) -> str:
    """Return what `protect` was given."""
    inner = cell.removeprefix(_APOSTROPHE)
    return inner if inner.startswith(_STARTS) else cell


def is_protected(beginning: bytes) -> bool:
    """Return whether a CSV is protected, by its first bytes."""
    return beginning.startswith(_MARK)
