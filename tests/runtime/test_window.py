"""A real window, on a virtual display."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
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
    server = subprocess.Popen(
        [server_path, "-displayfd", str(writing), "-screen", "0", "1024x768x24", "-nolisten", "tcp"],
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


def test_a_video_plays_in_a_window(display: str) -> None:
    """Every frame is shown in a real window, which closes by itself at the end."""
    done = webcam({**os.environ, "DISPLAY": display})
    assert done.returncode == 0, done.stderr
    assert "240 frames" in done.stderr


def test_without_a_display_there_is_a_way_out() -> None:
    """No display is a message that names the other view, not an abort from within a library."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}
    }
    done = webcam(environment)
    assert done.returncode == 2, done.stderr
    assert "--view none" in done.stderr
