"""Read memory, temperature, throttling, cameras and their modes from a Linux system.

Ioctls and structures: linux/videodev2.h. Throttling bits: Raspberry Pi documentation, `vcgencmd
get_throttled`.
"""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_ENUM_FMT = 0xC0405602
_ENUM_FRAMESIZES = 0xC02C564A
_CAPTURE = 1
_DISCRETE = 1
_FMT = struct.Struct("<III32sI4I")
_SIZE = struct.Struct("<III6I2I")
_MAX_ENTRIES = 64
"""Formats of a camera, and sizes of a format, that are listed at most."""

_THROTTLED = {
    0: "under-voltage now",
    1: "clock capped now",
    2: "throttled now",
    3: "too hot now",
    16: "under-voltage since start",
    17: "clock was capped",
    18: "was throttled",
    19: "was too hot",
}

Ioctl = Callable[[int, int, bytearray], int]


@dataclass(frozen=True)
class CameraModes:
    """A capture device and its modes.

    Attributes:
        device: path, such as `/dev/video0`.
        name: name from the driver.
        modes: format and sizes, such as `MJPG 640x480, 1280x720`; empty where the driver does not list them.
    """

    device: str
    name: str
    modes: tuple[str, ...]


def usable_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that this process may use in bytes, None if unknown.

    It is the memory of the machine or the limit of the control group, whichever is smaller.
    """
    found = []
    info = root / "proc/meminfo"
    if info.is_file():
        lines = info.read_text().splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal:")]
    for limit in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        path = root / limit
        if path.is_file() and (text := path.read_text().strip()).isdecimal():
            found.append(int(text))
    return min(found, default=None)


def temperature_celsius(root: Path = Path("/")) -> float | None:
    """Return the temperature of the hottest zone in degrees Celsius, None if unknown."""
    found = []
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*/temp")):
        try:
            found.append(int(zone.read_text()) / 1000)
        except (OSError, ValueError):  # a zone that is switched off
            continue
    return max(found, default=None)


def throttling(root: Path = Path("/")) -> tuple[str, ...] | None:
    """Return the reasons why a Raspberry Pi is or was throttled, in words; None if unknown."""
    path = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
    try:
        bits = int(path.read_text(), 16)
    except (OSError, ValueError):
        return None
    return tuple(text for bit, text in _THROTTLED.items() if bits >> bit & 1)


def cameras(root: Path = Path("/"), ioctl: Ioctl | None = None) -> list[CameraModes]:
    """Return the capture devices that can be opened, with their modes.

    Args:
        root: root of the file system.
        ioctl: replaces the system's ioctl in tests.
    """
    found = []
    for device in sorted((root / "dev").glob("video*")):
        name = root / "sys/class/video4linux" / device.name / "name"
        driver_name = name.read_text().strip() if name.is_file() else ""
        modes = tuple(_modes(device, ioctl or _ioctl()))
        if modes or not name.is_file():  # the metadata device of a camera has no modes
            found.append(CameraModes(str(device), driver_name, modes))
    return found


def _ioctl() -> Ioctl:
    import fcntl

    return fcntl.ioctl


def _modes(device: Path, ioctl: Ioctl) -> Iterator[str]:
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return
    try:
        for index in range(_MAX_ENTRIES):
            query = bytearray(_FMT.pack(index, _CAPTURE, 0, b"", 0, *[0] * 4))
            try:
                ioctl(handle, _ENUM_FMT, query)
            except OSError:
                return
            pixels = int(_FMT.unpack(query)[4])
            sizes = ", ".join(_sizes(handle, pixels, ioctl))
            yield f"{pixels.to_bytes(4, 'little').decode('ascii', 'replace').strip()} {sizes}".strip()
    finally:
        os.close(handle)


def _sizes(handle: int, pixels: int, ioctl: Ioctl) -> Iterator[str]:
    for index in range(_MAX_ENTRIES):
        query = bytearray(_SIZE.pack(index, pixels, 0, *[0] * 6, 0, 0))
        try:
            ioctl(handle, _ENUM_FRAMESIZES, query)
        except OSError:
            return
        _, _, kind, *numbers = _SIZE.unpack(query)
        if kind != _DISCRETE:
            yield f"{numbers[0]}x{numbers[3]} to {numbers[1]}x{numbers[4]}"
            return
        yield f"{numbers[0]}x{numbers[1]}"
