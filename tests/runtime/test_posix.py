"""Limits of the process."""

import os
import platform
import subprocess
import sys

import pytest

from edge_fm_runtime import posix

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no such limits")


def test_the_descriptor_limit_is_raised() -> None:
    """The soft limit on descriptors becomes the hard one, and a second call changes nothing."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, before[1]))
        raised = posix.raise_descriptor_limit()
        assert raised is not None
        assert raised > 64
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == raised
        assert posix.raise_descriptor_limit() == raised
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


_FREE = """
import os
from edge_fm_runtime import posix

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

freed, used = [], []
for _ in range(1500):
    freed.append(bytearray(b"x" * 65_536))
    used.append(bytearray(b"x" * 1024))
freed.clear()
before_mb = resident_mb()
posix.release_memory()
print(before_mb - resident_mb())
"""
"""Program that prints how many MB go back to the system."""


def test_a_limit_that_cannot_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit that holds is returned if the system refuses another."""
    import resource

    def refuse(*_arguments: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert posix.raise_descriptor_limit() == 256


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_freed_memory_is_released() -> None:
    """Memory that was freed between blocks in use goes back to the system."""
    # In a process of its own: one that ran other tests has room between their blocks already.
    done = subprocess.run([sys.executable, "-c", _FREE], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 50


def test_memory_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    """With another C library, nothing is released and nothing fails."""
    monkeypatch.setattr("ctypes.CDLL", lambda _name: object())
    posix.release_memory()
