"""Limits of the process."""

import os
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


def test_a_limit_that_cannot_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system refuses, the limit that holds is returned."""
    import resource

    def refuse(*_arguments: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 4096))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert posix.raise_descriptor_limit() == 256


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps freed memory")
def test_releasing_memory_returns() -> None:
    """Memory can be released at any time, with and without glibc."""
    posix.release_memory()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctypes.CDLL", lambda _name: object())
        posix.release_memory()
