"""What the machine tells of itself, from file systems that the tests make; no camera is here, so its driver is imitated."""

import os
import struct
from pathlib import Path

import pytest

from edge_fm_runtime.machine import doctor, hardware
from edge_fm_runtime.posix import usable_cores


def written(root: Path, path: str, text: str) -> None:
    """Write a file of an imitated system."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_memory_is_the_least_of_machine_and_group(tmp_path: Path) -> None:
    """A control group's limit counts where it is below the machine's memory; none, or `max`, leaves that."""
    assert hardware.usable_memory_bytes(tmp_path) is None
    written(tmp_path, "proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n")
    assert hardware.usable_memory_bytes(tmp_path) == 1_024_000
    written(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert hardware.usable_memory_bytes(tmp_path) == 1_024_000
    written(tmp_path, "sys/fs/cgroup/memory.max", "500000\n")
    assert hardware.usable_memory_bytes(tmp_path) == 500_000
    assert hardware.usable_memory_bytes() is not None


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    """Zones are in thousandths of a degree; one that cannot be read is passed over."""
    assert hardware.temperature_celsius(tmp_path) is None
    for number, text in enumerate(("41000", "", "83500")):
        written(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", text)
    assert hardware.temperature_celsius(tmp_path) == 83.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", ()),
        ("50005", ("under-voltage now", "throttled now", "under-voltage since start", "was throttled")),
        ("none", None),
    ],
)
def test_throttling_in_words(text: str, said: tuple[str, ...] | None, tmp_path: Path) -> None:
    """Each bit that a Raspberry Pi sets is a few words; elsewhere nothing is said."""
    assert hardware.throttling(tmp_path) is None
    written(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", text)
    assert hardware.throttling(tmp_path) == said


def test_cameras_and_their_modes(tmp_path: Path) -> None:
    """Formats and sizes are read as the driver enumerates them; a second device without any is no camera."""
    for number in (0, 1):
        written(tmp_path, f"dev/video{number}", "")
        written(tmp_path, f"sys/class/video4linux/video{number}/name", "Doorbell\n")
    formats = {b"MJPG": [(640, 480), (1280, 720)], b"YUYV": None}

    def driver(_handle: int, request: int, asked: bytearray) -> int:
        index = struct.unpack_from("<I", asked)[0]
        if request == 0xC0405602:
            driver.calls += 1  # type: ignore[attr-defined]
            if driver.calls > 3 or index >= len(formats):  # type: ignore[attr-defined]
                raise OSError
            struct.pack_into("<4s", asked, 44, list(formats)[index])
            return 0
        sizes = formats[bytes(asked[4:8])]
        if sizes is None and index == 0:
            struct.pack_into("<I6I", asked, 8, 3, 32, 1920, 2, 24, 1080, 2)
        elif sizes is not None and index < len(sizes):
            struct.pack_into("<III", asked, 8, 1, *sizes[index])
        else:
            raise OSError
        return 0

    driver.calls = 0  # type: ignore[attr-defined]
    found = hardware.cameras(tmp_path, driver)
    assert [(Path(camera.device).name, camera.name) for camera in found] == [("video0", "Doorbell")]
    assert found[0].modes == ("MJPG 640x480, 1280x720", "YUYV 32x24 to 1920x1080")


def test_doctor_says_what_to_do_when_it_is_hot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heat, throttling and little memory each come with a remedy, and none makes the device unfit."""
    monkeypatch.setattr(hardware, "temperature_celsius", lambda: 85.0)
    monkeypatch.setattr(hardware, "throttling", lambda: ("throttled now",))
    monkeypatch.setattr(hardware, "usable_memory_bytes", lambda: 400 * 2**20)
    findings = {finding.what: finding for finding in doctor.examine()}
    for what in ("temperature", "throttling", "memory"):
        assert not findings[what].fine
        assert not findings[what].needed
        assert findings[what].remedy


def test_usable_cores_respect_a_quota(tmp_path: Path) -> None:
    """A control group's quota counts in both versions; none means the affinity."""
    free = usable_cores(tmp_path)
    assert free == len(os.sched_getaffinity(0))
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == free
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert usable_cores(tmp_path) == min(free, 2)
