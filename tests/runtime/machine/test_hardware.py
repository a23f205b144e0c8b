"""Machine checks on fake file systems, with a fake camera driver."""

import os
import struct
from pathlib import Path

import pytest

from edge_fm_runtime.machine import doctor, hardware
from edge_fm_runtime.posix import usable_cores


def written(root: Path, path: str, text: str) -> None:
    """Write a file of a fake system."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_memory_is_the_smaller_of_machine_and_group(tmp_path: Path) -> None:
    """The limit of the control group counts where it is below the memory of the machine."""
    assert hardware.usable_memory_bytes(tmp_path) is None
    written(tmp_path, "proc/meminfo", "MemTotal:        1000 kB\nMemFree: 1 kB\n")
    assert hardware.usable_memory_bytes(tmp_path) == 1_024_000
    written(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert hardware.usable_memory_bytes(tmp_path) == 1_024_000
    written(tmp_path, "sys/fs/cgroup/memory.max", "500000\n")
    assert hardware.usable_memory_bytes(tmp_path) == 500_000
    assert hardware.usable_memory_bytes() is not None


def test_the_hottest_zone_counts(tmp_path: Path) -> None:
    """The temperature is that of the hottest zone; a zone that cannot be read is skipped."""
    assert hardware.temperature_celsius(tmp_path) is None
    for number, text in enumerate(("41000", "", "83500")):
        written(tmp_path, f"sys/class/thermal/thermal_zone{number}/temp", text)
    assert hardware.temperature_celsius(tmp_path) == 83.5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ()),
        ("50005", ("under-voltage now", "throttled now", "under-voltage since start", "was throttled")),
        ("none", None),
    ],
)
def test_throttling_in_words(text: str, expected: tuple[str, ...] | None, tmp_path: Path) -> None:
    """Each throttling bit of a Raspberry Pi has a description; other systems return None."""
    assert hardware.throttling(tmp_path) is None
    written(tmp_path, "sys/devices/platform/soc/soc:firmware/get_throttled", text)
    assert hardware.throttling(tmp_path) == expected


def test_cameras_and_their_modes(tmp_path: Path) -> None:
    """Formats and sizes come from the driver, and a device without any is not a camera."""
    for number in (0, 1):
        written(tmp_path, f"dev/video{number}", "")
        written(tmp_path, f"sys/class/video4linux/video{number}/name", "Doorbell\n")
    formats = {b"MJPG": [(640, 480), (1280, 720)], b"YUYV": None}

    def driver(_handle: int, request: int, query: bytearray) -> int:
        index = struct.unpack_from("<I", query)[0]
        if request == 0xC0405602:
            driver.calls += 1  # type: ignore[attr-defined]
            if driver.calls > 3 or index >= len(formats):  # type: ignore[attr-defined]
                raise OSError
            struct.pack_into("<4s", query, 44, list(formats)[index])
            return 0
        sizes = formats[bytes(query[4:8])]
        if sizes is None and index == 0:
            struct.pack_into("<I6I", query, 8, 3, 32, 1920, 2, 24, 1080, 2)
        elif sizes is not None and index < len(sizes):
            struct.pack_into("<III", query, 8, 1, *sizes[index])
        else:
            raise OSError
        return 0

    driver.calls = 0  # type: ignore[attr-defined]
    found = hardware.cameras(tmp_path, driver)
    assert [(Path(camera.device).name, camera.name) for camera in found] == [("video0", "Doorbell")]
    assert found[0].modes == ("MJPG 640x480, 1280x720", "YUYV 32x24 to 1920x1080")


def test_doctor_has_a_remedy_for_heat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heat, throttling and low memory each have a remedy, and none is a failure."""
    monkeypatch.setattr(hardware, "temperature_celsius", lambda: 85.0)
    monkeypatch.setattr(hardware, "throttling", lambda: ("throttled now",))
    monkeypatch.setattr(hardware, "usable_memory_bytes", lambda: 400 * 2**20)
    findings = {finding.name: finding for finding in doctor.examine()}
    for name in ("temperature", "throttling", "memory"):
        assert not findings[name].is_ok
        assert not findings[name].is_required
        assert findings[name].remedy


def test_usable_cores_respect_a_quota(tmp_path: Path) -> None:
    """The quota of the control group counts, in both versions; without one the affinity does."""
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
