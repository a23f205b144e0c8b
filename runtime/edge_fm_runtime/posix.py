"""Differences between operating systems: locks, limits of memory and descriptors, usable cores.

`edge-fm doctor` lists the features that a system lacks.
"""

import contextlib
import ctypes
import math
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_DESCRIPTORS = 10_240

if sys.platform == "win32":
    import msvcrt

    HAS_MEMORY_LIMIT = False

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; return False if another process has it."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def limit_memory(extra_bytes: int) -> None:
        """Do nothing: Windows has no such limit."""

    @contextlib.contextmanager
    def limited_memory(extra_bytes: int) -> Iterator[None]:  # noqa: ARG001  # as below
        """Do nothing: Windows has no such limit."""
        yield

    def end_with_parent() -> None:
        """Do nothing: Windows has no such signal."""

    def peak_memory_bytes() -> int | None:
        """Return None: the standard library cannot read it on Windows."""
        return None

    def raise_descriptor_limit() -> int | None:
        """Return None: Windows has no such limit."""
        return None

else:
    import fcntl
    import resource
    import signal

    _PR_SET_PDEATHSIG = 1
    """Of prctl(2)."""

    HAS_MEMORY_LIMIT = sys.platform.startswith("linux")

    def lock_file(file: BinaryIO) -> bool:
        """Take an exclusive lock that ends with the process; return False if another process has it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def limit_memory(extra_bytes: int) -> None:
        """Limit this process to `extra_bytes` of address space more than it has now (Linux)."""
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

    _limit_lock = threading.RLock()

    @contextlib.contextmanager
    def limited_memory(extra_bytes: int) -> Iterator[None]:
        """Limit this process to `extra_bytes` of data more than it has now, inside the block (Linux).

        Data is what is allocated and can be written, so that libraries and reserved addresses do not count.
        The limit holds for all threads; of two threads' blocks at a time, the second waits for the first.
        """
        statm = Path("/proc/self/statm")
        if not statm.is_file():
            yield
            return
        with _limit_lock:
            soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
            wanted = int(statm.read_text().split()[5]) * resource.getpagesize() + extra_bytes
            limits = [limit for limit in (wanted, soft, hard) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_DATA, (min(limits), hard))
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))

    def end_with_parent() -> None:
        """Let the system kill this process as soon as its parent ends, however that ends (Linux)."""
        if sys.platform.startswith("linux"):
            parent = os.getppid()
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it ended before the call
                os._exit(1)

    def peak_memory_bytes() -> int | None:
        """Return the peak resident size of this process in bytes, None where it is not known."""
        status = Path("/proc/self/status")
        if status.is_file():  # getrusage includes the memory of the parent before exec
            lines = status.read_text().splitlines()
            peaks = [int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")]
            return peaks[0] if peaks else None
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS, the only other system

    def raise_descriptor_limit() -> int | None:
        """Raise the soft limit on open descriptors to the hard one; return it, None if there is none."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # macOS refuses more than this, also where its hard limit says infinity.
        wanted = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else hard
        if soft == resource.RLIM_INFINITY or soft >= wanted:
            return None if soft == resource.RLIM_INFINITY else soft
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
        return wanted


def release_memory() -> None:
    """Return freed memory to the system where the C library keeps it (glibc)."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def usable_cores(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of cores that this process may use, at least 1.

    It is the size of the affinity mask, limited by the quota of the control group.

    Args:
        root: mount point of control groups, with `cpu.max` (version 2) or `cpu/cpu.cfs_*_us` (version 1).
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(root)
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def _quota(root: Path) -> float | None:
    """Return the quota of the control group in cores, None without one."""
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
