"""What the systems do differently: locks, memory limits, usable cores. `edge-fm doctor` says what is off."""

import math
import os
import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt

    HAS_MEMORY_LIMIT = False

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; False if another holds it."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def limit_memory(extra_bytes: int) -> None:
        """Windows has no such limit."""

    def peak_memory_bytes() -> int | None:
        """Windows does not tell it in the standard library."""
        return None

else:
    import fcntl
    import resource

    HAS_MEMORY_LIMIT = sys.platform.startswith("linux")

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; False if another holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def limit_memory(extra_bytes: int) -> None:
        """Let this process take at most `extra_bytes` of address space more than it has now (Linux)."""
        statm = Path("/proc/self/statm")
        if not statm.is_file():
            return
        taken = int(statm.read_text().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        wanted = taken + extra_bytes
        resource.setrlimit(
            resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    def peak_memory_bytes() -> int | None:
        """Return the largest resident size that this process has had; None where the system does not tell."""
        status = Path("/proc/self/status")
        if status.is_file():  # getrusage counts what the parent took before the program was started
            lines = status.read_text().splitlines()
            peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
            return peaks[0] if peaks else None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, the only other one


def usable_cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many cores this process may use, at least 1: its affinity, within its control group's quota.

    Args:
        root: where control groups are mounted: `cpu.max` of version 2, `cpu/cpu.cfs_*_us` of version 1.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _quota(root: Path) -> float | None:
    """Return the control group's quota in cores, None without one."""
    try:
        limit, period = (root / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        period_us = int((root / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return limit_us / period_us if limit_us > 0 else None
