"""A real window, on a virtual display, with real keys and a real mouse."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
EDGE_FM = Path(sys.executable).with_name("edge-fm")


def webcam(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Play the sample video in a window."""
    command = [EDGE_FM, "webcam", ROOT / "samples" / "wardrobe.mp4", "--fast"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def display() -> Iterator[str]:
    """Start a virtual display; its number is chosen by the server."""
    server_path = shutil.which("Xvfb")
    if server_path is None:
        pytest.skip("Xvfb is not installed: apt-get install xvfb")
    reading, writing = os.pipe()
    # Else the server starts anew whenever its only client leaves, and may cut off a window that opens while
    # xdotool comes and goes.
    server = subprocess.Popen(
        [
            server_path,
            "-displayfd",
            str(writing),
            "-screen",
            "0",
            "1024x768x24",
            "-nolisten",
            "tcp",
            "-noreset",
        ],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def hand(display: str) -> Callable[..., str]:
    """Return a function that presses keys and moves the mouse."""
    tool = shutil.which("xdotool")
    if tool is None:
        pytest.skip("xdotool is not installed: apt-get install xdotool")

    def do(*arguments: object) -> str:
        command = [tool, *map(str, arguments)]
        done = subprocess.run(
            command,
            env={**os.environ, "DISPLAY": display},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        time.sleep(0.1)
        return done.stdout

    return do


@contextmanager
def running(command: list[Any], environment: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Run a command, and end it whatever happens; where the test fails, what it has said is shown."""
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        except BaseException as failure:
            code = process.poll()
            process.kill()
            failure.add_note(f"exit code {code}: {process.communicate()[1]}")
            raise
        finally:
            process.kill()


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds; fail if it never does."""
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("it never came")


def test_a_video_plays_in_a_window(display: str) -> None:
    """Every frame is shown in a real window, which closes by itself at the end."""
    done = webcam({**os.environ, "DISPLAY": display})
    assert done.returncode == 0, done.stderr
    assert "240 frames" in done.stderr


@pytest.mark.slow
def test_keys_and_mouse(display: str, hand: Callable[..., str], tmp_path: Path) -> None:
    """Pause holds the picture, s keeps it, a drag moves the region, r and m change it, q ends with code 0."""
    command = [EDGE_FM, "webcam", ROOT / "samples" / "wardrobe", "--every", "1", "--snapshots", tmp_path]
    command += ["--region", "0,0,40,40"]
    environment = {**os.environ, "DISPLAY": display}

    def kept() -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(tmp_path.glob("*.json"))]

    def seen(region: list[int]) -> bool:
        hand("key", "s")
        time.sleep(0.5)
        return bool(kept()) and kept()[-1]["region"] == region

    with running(command, environment) as process:
        until(lambda: hand("search", "--name", "edge-fm"))
        hand("mousemove", 60, 60)
        until(lambda: seen([0, 0, 40, 40]))
        hand("key", "space")
        time.sleep(1.5)  # longer than a picture is shown: what was on its way has come
        before = len(kept())
        hand("key", "s")
        until(lambda: len(kept()) == before + 1)
        time.sleep(1.5)
        hand("key", "s")
        until(lambda: len(kept()) == before + 2)
        first, second = kept()[-2:]
        assert first["ranking"] == second["ranking"]
        hand("key", "space")
        time.sleep(0.5)
        hand("mousedown", 1, "mousemove", 100, 80, "mousemove", 180, 120, "mouseup", 1)
        until(lambda: seen([56, 28, 40, 40]))  # the window shows 224 pixels as 480
        for key in "mhr":
            time.sleep(0.5)
            hand("key", key)
        time.sleep(0.5)
        until(lambda: seen([0, 0, 224, 224]))
        until(lambda: hand("key", "q") or process.poll() is not None)
        assert process.returncode == 0


@pytest.mark.slow
def test_a_closed_window_ends_cleanly(display: str, hand: Callable[..., str], tmp_path: Path) -> None:
    """Closing the window as a person does finishes the recording and ends with code 0."""
    manager = shutil.which("openbox")
    if manager is None:
        pytest.skip("openbox is not installed: apt-get install openbox")
    environment = {**os.environ, "DISPLAY": display}
    command = [
        EDGE_FM,
        "webcam",
        ROOT / "samples" / "wardrobe",
        "--every",
        "2",
        "--record",
        tmp_path / "o.mp4",
    ]
    with running([manager], environment), running(command, environment) as process:
        until(lambda: hand("search", "--name", "edge-fm"))
        time.sleep(1.5)

        def closed() -> bool:
            """Ask as a person does who sees that the window manager was not there yet: again."""
            hand("search", "--name", "edge-fm", "windowactivate")
            hand("key", "alt+F4")
            return process.poll() is not None

        until(closed)
        assert process.returncode == 0
    assert (tmp_path / "o.mp4").stat().st_size > 1000


def test_without_a_display_there_is_a_way_out() -> None:
    """No display is a message that names the other views, not an abort from within a library."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}
    }
    done = webcam(environment)
    assert done.returncode == 2, done.stderr
    assert "--view none" in done.stderr
