"""Hot reload: open a new model file beside the model in use, verify it, and switch between images.

A file that is incomplete, broken, or whose golden inputs give other answers on this machine is refused, and
the old model stays in use. Replace the file with `mv` (or `edge-fm export`, which does the same), so that it
is never incomplete.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edge_fm_runtime.artifact.model_file import BUNDLED, read_model, read_passport
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import EdgeFmError, ModelError
from edge_fm_runtime.golden import replay

POLL_S = 1.0
"""Seconds between two checks of the file, which is read when two checks in a row find it the same."""

_FileState = tuple[int, int, int]
"""Modification time in nanoseconds, size in bytes, inode."""


@dataclass(frozen=True)
class Reloaded:
    """A new model, verified.

    Attributes:
        data: bytes of the file.
        classifier: the classifier opened from them.
    """

    data: bytes
    classifier: Classifier


class HotReloader:
    """Watches the file of a model and opens its replacements; a bundled model has no file to watch.

    As a context manager it checks the file in a thread, and `take` returns a replacement; without the thread,
    call `check`.
    """

    def __init__(
        self,
        model: str,
        current: Classifier,
        notify: Callable[[str], None],
        labels: Sequence[str] | None = None,
        language: str | None = None,
    ) -> None:
        """Start from the file as it is now.

        Args:
            model: the name of a bundled model, or the path of a file.
            current: the classifier in use.
            notify: called with a sentence when a file is loaded or refused; may be called from another
                thread.
            labels: class names for files without a passport.
            language: language of the labels, None for the original ones.
        """
        self._path = None if model in BUNDLED else Path(model)
        self._notify, self._labels, self._language = notify, labels, language
        self._current, self._next = current, current
        self._handled = self._pending = self._file_state()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Classifier:
        """The classifier in use."""
        return self._current

    def check(self) -> Reloaded | None:
        """Check the file now; return the new model if there is one and it is verified."""
        state = self._file_state()
        if self._path is None or state is None or state == self._handled:
            return None
        if state != self._pending:
            self._pending = state
            return None
        self._handled = state
        try:
            reloaded = self._open(self._path)
        except Exception as error:  # noqa: BLE001  # a running feed survives any file
            fault = str(error) if isinstance(error, EdgeFmError) else f"{type(error).__name__}: {error}"
            self._notify(
                f"{self._path} was replaced, but the new file is refused: {fault}. The old model stays in use"
            )
            return None
        self._notify(f"{self._path} was replaced; the new model is verified and in use from now on")
        return reloaded

    def __enter__(self) -> Self:
        """Check the file every `POLL_S` seconds, in a thread, until the block ends."""
        if self._path is not None:
            self._thread = threading.Thread(target=self._watch, name="hot-reload", daemon=True)
            self._thread.start()
        return self

    def take(self) -> Classifier | None:
        """Switch to the new model if there is one, and return it; without one this costs nothing."""
        if self._next is self._current:
            return None
        self._current = self._next
        return self._current

    def __exit__(self, *_raised: object) -> None:
        """End the thread."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(POLL_S):
            reloaded = self.check()
            if reloaded is not None:
                self._next = reloaded.classifier

    def _file_state(self) -> _FileState | None:
        try:
            status = self._path.stat() if self._path is not None else None
        except OSError:
            return None  # removed, and not yet replaced
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)

    def _open(self, path: Path) -> Reloaded:
        """Open and verify a new file.

        Raises:
            ModelError: the file cannot be used on this machine, or cannot replace the old model.
        """
        data = read_model(path)
        classifier = Classifier.from_bytes(data, self._labels, self._language)
        old, new = self._current.passport.input.channels, classifier.passport.input.channels
        if old != new:
            raise ModelError(f"it takes {new} channels and the old model {old}: restart to use it")
        if read_passport(data) is not None:
            different = [result for result in replay(classifier) if result.stage]
            if different:
                raise ModelError(
                    f"{len(different)} of its golden inputs give other answers here ({different[0].stage} differs): "
                    f"run 'edge-fm verify {path}' for details"
                )
        return Reloaded(data, classifier)
