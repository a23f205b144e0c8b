"""List and open files at URLs through fsspec, with retries and a time limit.

fsspec knows the protocols: `s3://` (needs s3fs), `gs://` (gcsfs), `https://`, `file://` and more. Credentials
and endpoints are where each of these looks for them, such as `AWS_ACCESS_KEY_ID` and `AWS_ENDPOINT_URL`.
"""

import functools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any

from edge_fm_runtime.errors import SourceError

TRIES = 5
"""Number of tries before a row reports a failure."""

_WAIT_S = 0.2
"""Seconds before the second try; each later wait is about twice as long."""

_CONNECT_S, _READ_S = 5, 10
"""Seconds that a server may stay silent."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_MAGIC = re.compile(r"[*?\[]")


def is_url(name: str) -> bool:
    """Return whether a text is a URL."""
    return _URL.match(name) is not None


def has_magic(url: str) -> bool:
    """Return whether a URL is a pattern such as `s3://bucket/*.tar`."""
    return not url.lower().startswith(("http://", "https://")) and _MAGIC.search(url) is not None


@functools.cache
def filesystem(url: str) -> Any:  # noqa: ANN401  # fsspec ships no types
    """Return the fsspec file system of a URL's protocol.

    Raises:
        SourceError: fsspec, or what it needs for the protocol, is not installed, or there is no such
            protocol.
    """
    protocol = url.partition("://")[0].lower()
    fsspec = _fsspec()
    options: dict[str, Any] = {"use_listings_cache": False}
    if protocol in {"s3", "s3a"} and "config_kwargs" not in fsspec.config.conf.get("s3", {}):
        # The tries are ours; without these a silent server is waited for for minutes.
        options["config_kwargs"] = {
            "connect_timeout": _CONNECT_S,
            "read_timeout": _READ_S,
            "retries": {"max_attempts": 0},
        }
    elif protocol in {"http", "https"}:
        import aiohttp

        options["client_kwargs"] = {
            "timeout": aiohttp.ClientTimeout(sock_connect=_CONNECT_S, sock_read=_READ_S)
        }
    try:
        system = fsspec.filesystem(protocol, **options)
    except (ImportError, ValueError) as error:
        raise SourceError(f"{url} cannot be opened: {error}") from None
    if protocol in {"s3", "s3a"}:
        system.retries = 1  # again: the tries are ours
    return system


def place(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the URL's path in it.

    Raises:
        SourceError: as `filesystem`.
    """
    system = filesystem(url.partition("://")[0] + "://")
    return system, system._strip_protocol(url)  # noqa: SLF001  # fsspec documents it under this name


def find(url: str) -> Iterator[str]:
    """Yield the URLs of a file, or of all files below a folder, without names that start with a dot.

    A folder is listed one level at a time; only the names of the levels above the one in hand are held.

    Raises:
        SourceError: it is not there, or access is refused.
    """
    system, path = place(url)
    yield from _below(system, url, path.rstrip("/"), url.rstrip("/"))


def _below(system: Any, url: str, path: str, base: str) -> Iterator[str]:  # noqa: ANN401
    for entry in _patient(url, lambda: system.ls(path, detail=True)):
        found = entry["name"].rstrip("/")
        name = found.rpartition("/")[2]
        if found == path:
            if entry["type"] == "file" and entry["size"] != 0:  # an empty one of this name marks a folder
                yield base
        elif not name.startswith("."):
            if entry["type"] == "directory":
                if entry.get("islink"):
                    continue  # as in a local folder, so that a loop of links cannot trap a run
                yield from _below(system, url, found, f"{base}/{name}")
            else:
                yield f"{base}/{name}"


def glob(url: str) -> list[str]:
    """Return the URLs that match a pattern, sorted.

    Raises:
        SourceError: there is none, or access is refused.
    """
    system, path = place(url)
    matches = sorted(_patient(url, lambda: system.glob(path)))
    if not matches:
        raise SourceError(f"nothing matches {url!r}: check the pattern")
    return [system.unstrip_protocol(match) for match in matches]


def opened(url: str) -> IO[bytes]:
    """Open a file at a URL for sequential reading.

    Raises:
        SourceError: it is not there, or access is refused.
    """
    system, path = place(url)
    file: IO[bytes] = _patient(url, lambda: system.open(path, "rb", cache_type="readahead"))
    return file


def check_access(locators: Sequence[str]) -> None:
    """Check that inputs at URLs can be accessed; a missing file passes.

    Args:
        locators: of a few inputs; what is no URL is passed over.

    Raises:
        SourceError: none of them can be.
    """
    refusals = []
    for url in (locator.partition("\0")[0] for locator in locators if is_url(locator)):
        system, path = place(url)
        try:
            _patient(url, functools.partial(system.exists, path))
        except SourceError as error:
            refusals.append(error)
        else:
            return
    if refusals:
        raise refusals[0]


def pause(attempt: int) -> None:
    """Wait before try `attempt` from 1, exponentially longer, with jitter."""
    import random

    time.sleep(_WAIT_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5))  # noqa: S311  # no secret


def _patient(url: str, ask: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return a server's answer; retry after failures of the server.

    Raises:
        SourceError: it is not there, access is refused, or every try failed.
    """
    attempt = 0
    while True:
        try:
            return ask()
        except FileNotFoundError:
            raise SourceError(f"there is nothing at {url}: check the name") from None
        except PermissionError as error:
            raise SourceError(f"access to {url} is refused: check the credentials ({error})") from None
        except Exception as error:  # noqa: BLE001  # whatever a protocol's library raises
            if "Credentials" in type(error).__name__:
                raise SourceError(f"access to {url} needs credentials: {error}") from None
            attempt += 1
            if attempt == TRIES:
                raise SourceError(f"{url} cannot be reached: {error}") from None
        pause(attempt)


@functools.cache
def _fsspec() -> Any:  # noqa: ANN401  # a module without types
    try:
        import fsspec
    except ImportError:
        raise SourceError("a URL needs fsspec: run pip install 'edge-fm[ray]'") from None
    return fsspec
