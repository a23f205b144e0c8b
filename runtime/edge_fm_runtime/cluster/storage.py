"""A folder here or at a URL, where a file appears under its name only when it is whole."""

import contextlib
import os
import uuid
from collections.abc import Callable
from typing import Any

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.errors import OutputError

_PUTS_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
"""Protocols of object stores: what is sent appears when all of it has arrived."""


class Folder:
    """A folder of results.

    Attributes:
        name: path or URL, as it was given.
    """

    def __init__(self, name: str) -> None:
        """Name a folder; nothing is touched.

        Raises:
            SourceError: its protocol is unknown, or what it needs is not installed.
        """
        self.name = name
        url = name if remote.is_url(name) else f"file://{os.path.abspath(name)}"
        self._system, path = remote.place(url)
        protocol = url.partition("://")[0].lower()
        self._is_local, self._puts_whole = protocol == "file", protocol in _PUTS_WHOLE
        self._path = path.rstrip("/")

    def __reduce__(self) -> tuple[type["Folder"], tuple[str]]:
        return Folder, (
            self.name if not self._is_local or remote.is_url(self.name) else os.path.abspath(self.name),
        )

    def file(self, name: str) -> str:
        """Return the path or URL of a file in it."""
        return f"{self.name.rstrip('/')}/{name}"

    def make(self) -> None:
        """Make it, if it is not there.

        Raises:
            OutputError: it cannot be made.
        """
        self._patient(lambda: self._system.makedirs(self._path, exist_ok=True))

    def names(self) -> list[str]:
        """Return the names of the files in it; none if it is not there.

        Raises:
            OutputError: it cannot be listed.
        """
        try:
            listed = self._patient(lambda: self._system.ls(self._path, detail=False))
        except FileNotFoundError:
            return []
        return [entry.rstrip("/").rpartition("/")[2] for entry in listed]

    def has(self, name: str) -> bool:
        """Whether there is a file of this name."""
        return bool(self._patient(lambda: self._system.exists(f"{self._path}/{name}")))

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes, None if it is not there.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            data: bytes = self._patient(lambda: self._system.cat_file(f"{self._path}/{name}"))
        except FileNotFoundError:
            return None
        return data

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place, whole.

        Raises:
            OutputError: it cannot be written.
        """
        self._in_place(name, lambda path: self._system.pipe_file(path, data))

    def take(self, local: str, name: str) -> None:
        """Put a copy of a local file in place, whole.

        Raises:
            OutputError: it cannot be written.
        """
        self._in_place(name, lambda path: self._system.put_file(local, path))

    def delete(self, name: str) -> None:
        """Delete a file, if it is there.

        Raises:
            OutputError: it cannot be deleted.
        """
        if self.has(name):
            self._patient(lambda: self._system.rm_file(f"{self._path}/{name}"))

    def _in_place(self, name: str, put: Callable[[str], object]) -> None:
        target = f"{self._path}/{name}"
        temporary = f"{self._path}/.{name}.{uuid.uuid4().hex}.partial"

        def put_and_rename() -> None:
            put(temporary)
            if self._is_local:
                os.replace(temporary, target)
            else:
                self._system.mv(temporary, target)

        try:
            self._patient((lambda: put(target)) if self._puts_whole else put_and_rename)
        except FileNotFoundError:
            raise OutputError(f"the folder {self.name} is gone. What was done so far is kept") from None
        except BaseException:
            if self._is_local:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise

    def _patient(self, do: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return what the storage answers, asking again where it may have failed.

        Raises:
            FileNotFoundError: something is not there.
            OutputError: access is refused, or every try failed.
        """
        attempt = 0
        while True:
            try:
                return do()
            except FileNotFoundError:
                raise
            except PermissionError as error:
                remedy = "choose another output" if self._is_local else "check the credentials"
                raise OutputError(f"access to {self.name} is refused: {remedy} ({error})") from None
            except Exception as error:  # noqa: BLE001  # whatever a protocol's library raises
                attempt += 1
                if attempt == remote.TRIES or self._is_local:
                    reason = getattr(error, "strerror", None) or error
                    raise OutputError(f"{self.name}: {reason}. What was done so far is kept") from None
            remote.pause(attempt)
