"""Work that is stopped when it takes too long."""

import threading

import pytest

from edge_fm_runtime.untrusted import deadline


def test_work_in_time_is_left_alone() -> None:
    """Nothing is stopped before its time."""
    stopped = threading.Event()
    with deadline.stop_after(60, stopped.set, "late"):
        pass
    assert not stopped.is_set()
    with deadline.stop_after(10, stopped.set, "late"):
        stopped.wait(0.3)  # looks once, and finds that there is time left
    assert not stopped.is_set()


def test_late_work_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work past its time is asked to stop; if it ends then, the process goes on."""
    given_up: list[str] = []
    monkeypatch.setattr(deadline, "give_up", given_up.append)
    stopped = threading.Event()
    with deadline.stop_after(0.01, stopped.set, "late"):
        assert stopped.wait(60)
    assert given_up == []


def test_work_that_does_not_stop_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that goes on after it was asked to stop ends the process, with the message."""
    given_up: list[str] = []
    ended = threading.Event()
    monkeypatch.setattr(deadline, "_GRACE_S", 0.01)

    def give_up(message: str) -> None:
        given_up.append(message)
        ended.set()

    monkeypatch.setattr(deadline, "give_up", give_up)
    with deadline.stop_after(0.01, lambda: None, "late"):
        assert ended.wait(60)
    assert given_up == ["late"]
