"""Every command that takes a file, given one that is no regular file."""

import os
from pathlib import Path

import pytest

from tests.conftest import RunCli

COMMANDS = [
    ["inspect", "FILE.onnx"],
    ["verify", "FILE.onnx"],
    ["bench", "FILE.onnx"],
    ["evaluate", "FILE.onnx", "--data", "wardrobe"],
    ["label", "FOLDER", "-o", "out.csv", "--model", "FILE.onnx"],
    ["label", "FOLDER", "-o", "out.csv", "--labels", "FILE.txt"],
    ["webcam", "FOLDER", "--view", "none", "--model", "FILE.onnx"],
    ["bundle", "FILE.onnx", "-o", "out.tar.gz"],
    ["export", "FILE.keras", "-o", "out.onnx"],
    ["export", "FILE.h5", "-o", "out.onnx"],
    ["export", "FILE.skops", "-o", "out.onnx"],
    ["evaluate", "fashion", "--data", "FILE.npz"],
    ["export", "FILE.keras", "--labels", "FILE.txt", "-o", "out.onnx"],
    ["sort", "FILE.csv", "--into", "out"],
    ["gallery", "FILE.jsonl", "-o", "out.html"],
    ["merge", "FILE.csv", "-o", "out.csv"],
    ["train", "FILE.toml", "-o", "out"],
]
TRAINING = ["train", "wardrobe", "--model", "edge-nano", "--set", "init_from=FILE.onnx", "-o", "out"]


@pytest.mark.parametrize(
    "command", [*COMMANDS, pytest.param(TRAINING, marks=pytest.mark.train)], ids=" ".join
)
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_no_command_waits_for_what_is_no_file(
    cli: RunCli, tmp_path: Path, command: list[str], kind: str
) -> None:
    """A pipe without a writer and an endless device end in exit code 2 and one sentence, at once."""
    words = []
    for setting, _, word in (word.rpartition("=") for word in command):
        path = tmp_path / word.replace("FILE", kind)
        if "FILE" in word and not os.path.lexists(path):
            if kind == "pipe":
                os.mkfifo(path)
            else:
                path.symlink_to("/dev/zero")
        value = str(path) if "FILE" in word or word.startswith("out") else word
        words.append(f"{setting}={value}" if setting else value)
    (tmp_path / "pictures").mkdir()
    done = cli(*(str(tmp_path / "pictures") if word == "FOLDER" else word for word in words))
    assert done.code == 2, done.err
    assert "Traceback" not in done.err
