"""Folders on disk or at a URL, in which a file appears under its name only when it is complete."""

import contextlib
import os
import uuid
from collections.abc import Callable
from typing import Any

from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.untrusted import regular_file

_MAX_BYTES = 16 * 2**20
"""Size limit of a file that is read whole: the record of a run."""

_ATOMIC_PROTOCOLS = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
"""Protocols of object stores, where an object appears when its upload is complete."""


class Folder:
    """A folder of results.

    Attributes:
        name: path or URL as given.
    """

    def __init__(self, name: str) -> None:
        """Refer to a folder; it is neither read nor created.

        Raises:
            SourceError: the protocol is unknown, or its library is not installed.
        """
        self.name = name
        url = name if remote.is_url(name) else f"file://{os.path.abspath(name)}"
        self._system, path = remote.place(url)
        protocol = url.partition("://")[0].lower()
        self._is_local, self._is_atomic = protocol == "file", protocol in _ATOMIC_PROTOCOLS
        self._path = path.rstrip("/")

    def __reduce__(self) -> tuple[type["Folder"], tuple[str]]:
        return Folder, (
            self.name if not self._is_local or remote.is_url(self.name) else os.path.abspath(self.name),
        )

    def file(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        return f"{self.name.rstrip('/')}/{name}"

    def create(self) -> None:
        """Create the folder if it does not exist.

        Raises:
            OutputError: the folder cannot be created.
        """
        self._retry(lambda: self._system.makedirs(self._path, exist_ok=True))

    def names(self) -> list[str]:
        """Return the names of the files in the folder; none if the folder does not exist.

        Raises:
            OutputError: the folder cannot be listed.
        """
        try:
            listed = self._retry(lambda: self._system.ls(self._path, detail=False))
        except FileNotFoundError:
            return []
        return [entry.rstrip("/").rpartition("/")[2] for entry in listed]

    def has(self, name: str) -> bool:
        """Return whether the folder has a file of this name."""
        return bool(self._retry(lambda: self._system.exists(f"{self._path}/{name}")))

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a file, None if it does not exist.

        Raises:
            OutputError: the file cannot be read.
        """
        try:
            data: bytes = self._retry(lambda: self._read(f"{self._path}/{name}"))
        except FileNotFoundError:
            return None
        if len(data) > _MAX_BYTES:
            raise OutputError(
                f"{self.file(name)} has over {_MAX_BYTES:,} bytes, so it is no record of a run: choose another folder with -o"
            )
        return data

    def _read(self, path: str) -> bytes:
        """Return the bytes of a file, at most one more than the limit."""
        if self._is_local:
            return regular_file.read_bytes(path, _MAX_BYTES)
        with self._system.open(path, "rb") as file:
            data: bytes = file.read(_MAX_BYTES + 1)
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file; it appears when it is complete.

        Raises:
            OutputError: the file cannot be written.
        """
        self._write_atomically(name, lambda path: self._system.pipe_file(path, data))

    def copy_in(self, local: str, name: str) -> None:
        """Copy a local file into the folder; it appears when it is complete.

        Raises:
            OutputError: the file cannot be written.
        """
        self._write_atomically(name, lambda path: self._system.put_file(local, path))

    def delete(self, name: str) -> None:
        """Delete a file if it exists.

        Raises:
            OutputError: the file cannot be deleted.
        """
        if self.has(name):
            self._retry(lambda: self._system.rm_file(f"{self._path}/{name}"))

    def _write_atomically(self, name: str, put: Callable[[str], object]) -> None:
        target = f"{self._path}/{name}"
        temporary = f"{self._path}/.{name}.{uuid.uuid4().hex}.partial"

        def put_and_rename() -> None:
            put(temporary)
            if self._is_local:
                os.replace(temporary, target)
            else:
                self._system.mv(temporary, target)

        try:
            self._retry((lambda: put(target)) if self._is_atomic else put_and_rename)
        except FileNotFoundError:
            raise OutputError(
                f"the folder {self.name} no longer exists: create it and run the same command again"
            ) from None
        except BaseException:
            if self._is_local:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            raise

    def _retry(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Return the result of a storage request, repeated while it fails.

        Raises:
            FileNotFoundError: a file or folder does not exist.
            OutputError: access is refused, or every try failed.
        """
        attempt = 0
        while True:
            try:
                return request()
            except FileNotFoundError:
                raise
            except PermissionError as error:
                remedy = "choose another output" if self._is_local else "check the credentials"
                raise OutputError(f"access to {self.name} is refused: {remedy} ({error})") from None
            except Exception as error:  # noqa: BLE001  # each protocol's library raises its own
                attempt += 1
                if attempt == remote.TRIES or self._is_local:
                    reason = getattr(error, "strerror", None) or error
                    raise OutputError(
                        f"{self.name}: {reason}. Finished parts are kept: run the same command again"
                    ) from None
            remote.pause(attempt)
