"""Records of a feed: log, video, snapshots, unknown frames; and notifications of systemd."""

import json
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.image.opencv import cv2
from edge_fm_runtime.live import records, snapshot
from edge_fm_runtime.live.records import EventLog, Recording, UnknownKeeper
from edge_fm_runtime.live.sd_notify import SdNotifier
from edge_fm_runtime.status import Status
from tests.runtime.live_fakes import reading

FULL = Path("/dev/full")


def events(path: Path) -> list[dict[str, object]]:
    """Return a log's lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_log_has_a_line_for_each_change(tmp_path: Path) -> None:
    """Label, confidence and time of each change, and what happened to the source; nothing is overwritten."""
    path = tmp_path / "new" / "events.jsonl"
    for _ in range(2):
        log = EventLog(path, "fashion", print)
        for told in (
            reading(label="Bag"),
            reading(label="Bag"),
            reading(label="Coat", status=Status.UNKNOWN),
        ):
            assert log.show(told)
        log.wait("camera 0 is lost")
        log.wait("camera 0 is lost")
        log.wait("")
        log.close()
    assert [(e["status"], e.get("label"), e.get("confidence")) for e in events(path)] == [
        ("ok", "Bag", 0.75),
        ("unknown", "Coat", 0.75),
        ("no frames", None, None),
    ] * 2
    assert str(events(path)[0]["time"]).endswith("Z")


def test_the_log_never_grows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old files are turned over, and the oldest are thrown away."""
    monkeypatch.setattr(records, "_LOG_BYTES", 1000)
    log = EventLog(tmp_path / "e.jsonl", "fashion", print)
    for number in range(500):
        log.show(reading(label=f"label {number}"))
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 5
    assert sum(path.stat().st_size for path in files) < 6000
    assert events(tmp_path / "e.jsonl")[-1]["label"] == "label 499"


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_does_not_end_the_log(tmp_path: Path) -> None:
    """That events are lost is said once, the feed goes on, and its end is no error."""
    path = tmp_path / "e.jsonl"
    path.symlink_to(FULL)
    said: list[str] = []
    log = EventLog(path, "fashion", said.append)
    for number in range(9):
        assert log.show(reading(label=f"label {number}"))
    assert len(said) == 1
    assert "until there is room" in said[0]
    log.close()


def test_a_log_that_cannot_be_opened(tmp_path: Path) -> None:
    """A log in an impossible place is refused before the feed begins."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="--log"):
        EventLog(tmp_path / "file" / "e.jsonl", "fashion", print)


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_a_recording_keeps_the_pace_of_the_feed(tmp_path: Path, suffix: str) -> None:
    """A recording drops early frames and fills gaps, so that it lasts as long as the feed."""
    path = tmp_path / f"out{suffix}"
    recording = Recording(path, print, rate=10)
    times_s = [n / 40 for n in range(40)] + [1 + n / 5 for n in range(10)]
    for number, at_s in enumerate(times_s):
        recording.show(reading(number, at_s=at_s, height=120 if number < 45 else 90))
    recording.close()
    capture = cv2.VideoCapture(str(path))
    frames = 0
    while capture.read()[0]:
        frames += 1
    assert frames == 29
    assert capture.get(cv2.CAP_PROP_FRAME_WIDTH) == 640 + 210


def test_a_recording_stops_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When room runs out the video is finished, so that it can be played, and the feed goes on."""
    usage = namedtuple("usage", "free")  # noqa: PYI024  # stands for shutil's
    room = [10**9]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(room[0]))
    said: list[str] = []
    path = tmp_path / "out.mp4"
    recording = Recording(path, said.append, rate=10)
    for number in range(100):
        if number == 50:
            room[0] = 1000
        assert recording.show(reading(number, at_s=number / 10))
    recording.close()
    assert len(said) == 1
    assert "can be played" in said[0]
    assert 50 <= cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FRAME_COUNT) < 90


@pytest.mark.parametrize("name", ["out.gif", "missing/out.mp4"])
def test_a_recording_that_cannot_be(tmp_path: Path, name: str) -> None:
    """A suffix that is no video and a folder that is not there are refused before the feed begins."""
    with pytest.raises(OutputError):
        Recording(tmp_path / name, print)


def test_a_snapshot_is_the_frame_and_its_result(tmp_path: Path) -> None:
    """The picture is the camera's, whole, and the JSON beside it says label, ranking, region and model."""
    told = reading(7)
    path = snapshot.save(told, "fashion", tmp_path / "new", "snapshot")
    facts = json.loads(path.with_suffix(".json").read_text())
    assert cv2.imread(str(path)).shape == told.frame_bgr.shape
    assert (facts["label"], facts["confidence"], facts["region"], facts["frame"]) == (
        "dark",
        0.75,
        [20, 0, 120, 120],
        [160, 120],
    )
    assert facts["ranking"] == [["dark", 0.75], ["other", 0.25]]
    assert len(list(path.parent.iterdir())) == 2


def test_unknown_frames_are_kept_within_their_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only unknown frames, one a second at most, the oldest thrown away first; an earlier run's count too."""
    stamps = iter(f"2026-01-01T00:00:{n:02d}.000Z" for n in range(60))
    monkeypatch.setattr(snapshot, "now", lambda: next(stamps))
    one = _weight_of_one(tmp_path / "probe")
    folder = tmp_path / "unknown"
    for begin_s in (0, 100):
        keeper = UnknownKeeper(folder, "fashion", round(3.5 * one), print)
        for number in range(8):
            keeper.show(reading(1, status=Status.UNKNOWN, at_s=begin_s + number / 2))
            keeper.show(reading(1, at_s=begin_s + number / 2))
    kept = sorted(path.name for path in folder.glob("*.jpg"))
    assert len(kept) == 3
    assert kept[-1] == "unknown-20260101T000008000Z.jpg"
    assert len(list(folder.iterdir())) == 6


def _weight_of_one(folder: Path) -> int:
    snapshot.save(reading(1, status=Status.UNKNOWN), "fashion", folder, "unknown")
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_full_disk_does_not_end_the_keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That frames cannot be kept is said once, nothing half-written is left, and the feed goes on."""
    said: list[str] = []
    keeper = UnknownKeeper(tmp_path / "unknown", "fashion", 10**9, said.append)

    def full(path: Path, data: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for number in range(5):
        assert keeper.show(reading(number, status=Status.UNKNOWN, at_s=number * 2.0))
    assert said == [f"no unknown frames are kept in {tmp_path / 'unknown'} now: No space left on device"]
    assert list((tmp_path / "unknown").iterdir()) == []


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_the_loop_notifies_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop notifies systemd: ready, watchdog pings and stopping."""
    now_s = [1000.0]
    monkeypatch.setattr("edge_fm_runtime.live.sd_notify.time.monotonic", lambda: now_s[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "4000000")
        supervision = SdNotifier()
        for step in range(41):  # ten seconds in quarters
            now_s[0] = 1000 + step / 4
            _ = supervision.show(reading()) if step < 20 else supervision.wait("camera 0 is lost")
        supervision.close()
        told = []
        while True:
            try:
                told.append(systemd.recv(1000).decode())
            except BlockingIOError:
                break
    assert told[0] == "READY=1\nWATCHDOG=1\nSTATUS=dark 75%"
    assert told[1:-1] == ["WATCHDOG=1\nSTATUS=dark 75%"] * 2 + ["WATCHDOG=1\nSTATUS=camera 0 is lost"] * 3
    assert told[-1] == "STOPPING=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a service, and when systemd has gone, the feed goes on."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert SdNotifier().show(reading())
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/socket")
    assert SdNotifier().show(reading())


def test_a_recording_overwrites_nothing(tmp_path: Path) -> None:
    """A recording goes beside a file that exists, such as the feed's own source, and says so."""
    path = tmp_path / "feed.mp4"
    notes: list[str] = []
    path.write_bytes(b"a user's video")
    (tmp_path / "feed-2.mp4").write_bytes(b"another")
    recording = Recording(path, notes.append, rate=10)
    recording.show(reading())
    recording.close()
    assert path.read_bytes() == b"a user's video"
    assert (tmp_path / "feed-2.mp4").read_bytes() == b"another"
    assert (tmp_path / "feed-3.mp4").stat().st_size > 0
    assert "feed-3.mp4" in notes[0]
