"""A model file that is replaced while it is in use: opened beside the old one, verified, then taken up between two pictures.

A file that is half copied, broken, or whose golden inputs answer otherwise on this machine is refused, and the old
model goes on. Put a new one in place with `mv` (or `edge-fm export`, which does): then it is never half there.
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
"""A file is read when it has looked the same twice in a row."""

_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Reloaded:
    """A new model that may be taken up.

    Attributes:
        data: the file's bytes.
        classifier: opened from them.
    """

    data: bytes
    classifier: Classifier


class HotReloader:
    """Watches the file of a model; of a bundled one there is none to watch."""

    def __init__(
        self,
        model: str,
        current: Classifier,
        note: Callable[[str], None],
        labels: Sequence[str] | None = None,
        language: str | None = None,
    ) -> None:
        """Begin with the file as it is now.

        Args:
            model: as the user named it.
            current: what is in use.
            note: told what was taken up, or refused and why; may be called from another thread.
            labels: for files without a passport.
            language: of the labels.
        """
        self._path = None if model in BUNDLED else Path(model)
        self._note, self._labels, self._language = note, labels, language
        self._current, self._next = current, current
        self._seen = self._pending = self._stamp()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Classifier:
        """What is in use."""
        return self._current

    def look(self) -> Reloaded | None:
        """Look at the file now; return the new model if there is one that may be taken up."""
        stamp = self._stamp()
        if self._path is None or stamp is None or stamp == self._seen:
            return None
        if stamp != self._pending:
            self._pending = stamp
            return None
        self._seen = stamp
        try:
            renewed = self._opened(self._path)
        except EdgeFmError as error:
            self._note(
                f"{self._path} was replaced, and the new file is refused: {error}. The old model goes on"
            )
            return None
        self._note(f"{self._path} was replaced; the new model is verified and in use from now on")
        return renewed

    def __enter__(self) -> Self:
        """Look at the file again and again, in a thread, until the block ends."""
        if self._path is not None:
            self._thread = threading.Thread(target=self._watch, name="renewal", daemon=True)
            self._thread.start()
        return self

    def take(self) -> Classifier | None:
        """Take up the new model if there is one, and return it; this costs nothing when there is none."""
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
            renewed = self.look()
            if renewed is not None:
                self._next = renewed.classifier

    def _stamp(self) -> _Stamp | None:
        try:
            status = self._path.stat() if self._path is not None else None
        except OSError:
            return None  # between its removal and its return
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)

    def _opened(self, path: Path) -> Reloaded:
        """Open and verify.

        Raises:
            ModelError: the file cannot be used here, or not in place of the old one.
        """
        data = read_model(path)
        classifier = Classifier.from_bytes(data, self._labels, self._language)
        old, new = self._current.passport.input.channels, classifier.passport.input.channels
        if old != new:
            raise ModelError(f"it takes {new} channels, the old one {old}: start again to use it")
        if read_passport(data) is not None:
            different = [result for result in replay(classifier) if result.stage]
            if different:
                raise ModelError(
                    f"{len(different)} of its golden inputs answer otherwise here ({different[0].stage} differs): "
                    f"'edge-fm verify {path}' says more"
                )
        return Reloaded(data, classifier)
