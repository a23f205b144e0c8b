"""Record a feed: a log of label changes, a video, and frames with unknown labels.

A disk that is full, or a folder that goes away, is reported once and never ends the feed.
"""

import contextlib
import itertools
import json
import logging.handlers
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.image.opencv import as_uint8, cv2
from edge_fm_runtime.live import overlay, snapshot
from edge_fm_runtime.live.cameras.base import BgrImage
from edge_fm_runtime.live.loop import FrameResult
from edge_fm_runtime.live.text import format_prediction
from edge_fm_runtime.status import Status

Note = Callable[[str], None]

_LOG_BYTES, _LOG_FILES = 10 * 2**20, 5
_SPARE_BYTES = 64 * 2**20
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_LIVE_RATE = 15.0
_LONGEST_GAP_S = 2.0
_BETWEEN_KEPT_S = 1.0
_CHECK_EVERY = 30


class EventLog:
    """Log of label changes as JSON lines: time, label, confidence; at most five files of 10 MB."""

    def __init__(self, path: Path, model: str, note: Note) -> None:
        """Open the log to append.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _Rotating(path, note)
        except OSError as error:
            raise OutputError(
                f"the log {path} cannot be written: {error.strerror}. Choose another with --log"
            ) from error
        self._model = model
        self._last = ""

    def show(self, reading: FrameResult) -> bool:
        """Write a line if the label has changed."""
        label = format_prediction(reading.prediction)
        if label != self._last:
            self._last = label
            facts = snapshot.described(reading, self._model)
            self._write({key: facts[key] for key in ("time", "status", "label", "confidence")})
        return True

    def wait(self, notice: str) -> bool:
        """Write a new message of the source."""
        if notice and notice != self._last:
            self._last = notice
            self._write({"time": snapshot.now(), "status": "no frames", "error": notice})
        return True

    def close(self) -> None:
        """Close the file; what a full disk had no room for was noted when it was written."""
        with contextlib.suppress(OSError):
            self._handler.close()

    def _write(self, event: dict[str, object]) -> None:
        line = json.dumps(event, ensure_ascii=False)
        self._handler.emit(logging.LogRecord("edge-fm", logging.INFO, "", 0, line, None, None))


class _Rotating(logging.handlers.RotatingFileHandler):
    """Rotating file handler that reports a failure once instead of for each line."""

    def __init__(self, path: Path, note: Note) -> None:
        super().__init__(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES - 1, encoding="utf-8")
        self._note = note
        self._failing = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  # the library's name
        if not self._failing:
            self._failing = True
            self._note(
                f"the log {self.baseFilename} cannot be written now: events are lost until there is room"
            )


class Recording:
    """Video of the feed with its overlay, at the feed's own rate."""

    def __init__(self, path: Path, note: Note, rate: float | None = None) -> None:
        """Prepare a video; the first frame sets its size and creates the file, which overwrites none.

        Args:
            path: `.mp4`, or `.avi`, which is larger but can be read up to its last frame even after a power
                cut; where there is such a file, a numbered one is made, such as `feed-2.mp4`.
            note: takes a sentence if it has to stop.
            rate: frames a second; 15 if not given.

        Raises:
            OutputError: another suffix, or the folder is not there.
        """
        if path.suffix.lower() not in _CODECS:
            raise OutputError(f"{path} has no suffix of a video that can be written: give .mp4 or .avi")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent} is no folder: make it first, or choose another with --record")
        self._path, self._note, self._rate = _free(path), note, rate or _LIVE_RATE
        if self._path != path:
            note(f"{path} exists, so the recording goes to {self._path}")
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._first_s = 0.0
        self._written = 0
        self._stopped = False

    def show(self, reading: FrameResult) -> bool:
        """Write the frame as often as its time demands: not if early, repeatedly to fill a gap."""
        if self._stopped:
            return True
        if self._writer is None:
            self._first_s = reading.at_s
        due = int((reading.at_s - self._first_s) * self._rate) + 1
        if due <= self._written:
            return True
        picture = overlay.draw(reading)
        writer = self._writer or self._begun(picture.shape[1], picture.shape[0])
        if writer is None:
            return True
        fitted = picture if picture.shape[1::-1] == self._size else _letterboxed(picture, self._size)
        for _ in range(min(due - self._written, round(_LONGEST_GAP_S * self._rate))):
            writer.write(fitted)
        if due // _CHECK_EVERY != self._written // _CHECK_EVERY:
            self._check_room()
        self._written = due
        return True

    def wait(self, notice: str) -> bool:  # noqa: ARG002
        """Do nothing: there is nothing to record."""
        return True

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _begun(self, width: int, height: int) -> "cv2.VideoWriter | None":
        self._size = width - width % 2, height - height % 2  # codecs want even sides
        codec = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(str(self._path), codec, self._rate, self._size)
        if not writer.isOpened() or not self._has_room():
            writer.release()
            self._stop("it cannot be written: is the folder writable, and is there room?")
            return None
        self._writer = writer
        return writer

    def _has_room(self) -> bool:
        try:
            return shutil.disk_usage(self._path.parent).free > _SPARE_BYTES
        except OSError:
            return False

    def _check_room(self) -> None:
        """Stop before the disk is full: OpenCV reports no error, and a cut video cannot be read."""
        if not self._has_room():
            self.close()
            self._stop(f"less than {_SPARE_BYTES >> 20} MB are free; what was recorded can be played")

    def _stop(self, reason: str) -> None:
        self._stopped = True
        self._note(f"no recording to {self._path} any more: {reason}")


def _free(path: Path) -> Path:
    """Return the path, or the first numbered one at which nothing is: a recording overwrites no file."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    return next(
        candidate for candidate in itertools.chain([path], numbered) if not os.path.lexists(candidate)
    )


class UnknownKeeper:
    """Saves frames with unknown labels, at most one per second; the oldest go first."""

    def __init__(self, folder: Path, model: str, max_bytes: int, note: Note) -> None:
        """Create the folder.

        Args:
            folder: where `unknown-*.jpg` and `.json` go.
            model: its name.
            max_bytes: of all of them together.
            note: takes a sentence when one cannot be kept.

        Raises:
            OutputError: the folder cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._kept = sorted(
                (path, _weight(path)) for path in folder.glob("unknown-*.jpg") if path.is_file()
            )
        except OSError as error:
            raise OutputError(
                f"{folder} cannot be made: {error.strerror}. Choose another with --save-unknown"
            ) from error
        self._folder, self._model, self._max_bytes, self._note = folder, model, max_bytes, note
        self._bytes = sum(weight for _, weight in self._kept)
        self._next_s = -np.inf
        self._failing = False

    def show(self, reading: FrameResult) -> bool:
        """Save the frame if its label is unknown and a second has passed."""
        if reading.prediction.status is Status.UNKNOWN and reading.at_s >= self._next_s:
            self._next_s = reading.at_s + _BETWEEN_KEPT_S
            try:
                path = snapshot.save(reading, self._model, self._folder, "unknown")
                self._kept.append((path, _weight(path)))
                self._bytes += self._kept[-1][1]
                self._make_room()
                self._failing = False
            except OSError as error:
                if not self._failing:
                    self._failing = True
                    self._note(f"no unknown frames are kept in {self._folder} now: {error.strerror or error}")
        return True

    def wait(self, notice: str) -> bool:  # noqa: ARG002
        """Do nothing: there is no frame to save."""
        return True

    def close(self) -> None:
        """Do nothing: nothing stays open."""

    def _make_room(self) -> None:
        while self._bytes > self._max_bytes and self._kept:
            path, weight = self._kept.pop(0)
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
            self._bytes -= weight


def _weight(path: Path) -> int:
    """Return the bytes of a saved image and its JSON file."""
    facts = path.with_suffix(".json")
    return path.stat().st_size + (facts.stat().st_size if facts.is_file() else 0)


def _letterboxed(picture: BgrImage, size: tuple[int, int]) -> BgrImage:
    """Letterbox an image into a video of another size."""
    scale = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
    wide, tall = max(1, int(picture.shape[1] * scale)), max(1, int(picture.shape[0] * scale))
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[:tall, :wide] = as_uint8(cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA))
    return canvas
