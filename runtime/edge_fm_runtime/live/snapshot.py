"""Save a frame as JPEG, with its result as JSON beside it."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live.loop import FrameResult

_JPEG_QUALITY = 95


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def described(reading: FrameResult, model: str) -> dict[str, Any]:
    """Return a result as a dict for JSON."""
    prediction, box = reading.prediction, reading.box
    return {
        "time": now(),
        "model": model,
        "status": prediction.status.value,
        "label": prediction.label,
        "confidence": round(prediction.confidence, 4),
        "ranking": [[label, round(share, 4)] for label, share in prediction.ranking],
        "region": [box.x, box.y, box.width, box.height],
        "frame": [reading.frame_bgr.shape[1], reading.frame_bgr.shape[0]],
        "latency_ms": round(reading.latency_ms, 3),
    }


def save(reading: FrameResult, model: str, folder: Path, prefix: str) -> Path:
    """Write PREFIX-TIME.jpg and PREFIX-TIME.json; return the path of the image.

    Args:
        reading: what to keep.
        model: its name.
        folder: made if it is not there.
        prefix: of the names.

    Raises:
        OSError: it cannot be written; nothing half-written is left.
    """
    folder.mkdir(parents=True, exist_ok=True)
    facts = described(reading, model)
    stem = f"{prefix}-{facts['time'].replace(':', '').replace('-', '').replace('.', '')}"
    done, encoded = cv2.imencode(".jpg", reading.frame_bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise OSError(f"{folder / stem} cannot be encoded")
    path = folder / f"{stem}.jpg"
    _write(path, encoded.tobytes())
    _write(path.with_suffix(".json"), (json.dumps(facts, ensure_ascii=False, indent=1) + "\n").encode())
    return path


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
