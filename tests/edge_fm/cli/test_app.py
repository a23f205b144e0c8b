"""The command line as a user meets it: exit codes and messages."""

import csv
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edge_fm import __version__
from edge_fm.demo import samples
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import RunCli

WARDROBE, VIDEO = samples.CHECKOUT / "wardrobe", samples.CHECKOUT / "wardrobe.mp4"


def test_version(cli: RunCli) -> None:
    """`--version` prints one line."""
    assert cli("--version").out == f"edge-fm {__version__}\n"


def test_label_writes_and_counts(cli: RunCli, tmp_path: Path) -> None:
    """Labelling the samples is exit code 0 and prints the counts; a second run resumes."""
    command = ("label", WARDROBE, "--model", "fashion-nano", "-o", tmp_path / "labels.csv")
    result = cli(*command)
    assert result.code == 0
    assert "40 rows: 40 ok" in result.out
    assert cli(*command).out.endswith("(40 were done before)\n")
    assert "done before" not in cli(*command, "--fresh").out


def test_label_counts_unknown_images(cli: RunCli, tmp_path: Path) -> None:
    """Unknown images are counted as in the rows and do not change the exit code; drawn garments are known."""
    result = cli("label", WARDROBE, "-o", tmp_path / "labels.csv")
    assert result.code == 0
    with (tmp_path / "labels.csv").open(encoding="utf-8", newline="") as file:
        found = Counter(row["status"] for row in csv.DictReader(file))
    assert set(found) <= {"ok", "unknown"}
    assert found["ok"] >= 36
    assert "40 rows: " + ", ".join(f"{found[status]} {status}" for status in sorted(found)) in result.out


def test_an_unreadable_image_is_exit_code_1(cli: RunCli, tmp_path: Path) -> None:
    """A damaged image makes the exit code 1; a text file alone does not."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("text")
    assert cli("label", tmp_path / "in", "-o", tmp_path / "labels.csv").code == 0
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    result = cli("label", tmp_path / "in", "-o", tmp_path / "labels.csv")
    assert result.code == 1
    assert "1 inputs have no label" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("label", "no-such-folder"),
        ("label", WARDROBE, "--model", "no-such-model"),
        ("label", WARDROBE, "--model", __file__),
        ("label", WARDROBE, "-o", "no/such/folder/x.csv"),
        ("label", WARDROBE, "-o", "x.xlsx"),
        ("label", WARDROBE, "--top", "0"),
        ("label",),
        ("webcam", "no-such-video.mp4", "--view", "none"),
        ("webcam", "99", "--view", "none"),
        ("webcam", __file__, "--view", "none"),
        ("verify", "no-such-model"),
        ("inspect", __file__),
        ("data", "no-such-data"),
        ("train", "wardrobe", "--model", "cnnn", "-o", "x"),
        ("evaluate", "fashion", "--data", "no-such-data"),
        ("evaluate", "fashion", "--data", "wardrobe", "--scale", "raw"),
        ("gallery", __file__, "-o", "."),
        ("webcam", "a" * 100_000, "--view", "none"),
        ("webcam", VIDEO, "--view", "web", "--host", ""),
        ("export", "no-such-run", "-o", "x.onnx"),
        ("export", "no-such.keras", "-o", "x.onnx", "--labels", "a,b", "--scale", "unit"),
        ("export", __file__, "-o", "x.onnx", "--labels", "a,b"),
        ("export", __file__, "-o", "x.onnx"),
        ("export", __file__, "-o", "x.onnx", "--labels", "a,b", "--scale", "percent"),
        ("no-such-command",),
    ],
)
def test_wrong_use_is_exit_code_2(
    cli: RunCli, arguments: tuple[object, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong usage, model or data is a message on standard error without a traceback; nothing is written."""
    monkeypatch.chdir(tmp_path)
    result = cli(*arguments)
    assert result.code == 2
    assert result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_model_without_a_passport(cli: RunCli, bare_path: Path, tmp_path: Path) -> None:
    """A model without a passport is refused with a remedy that works, also with labels from a file."""
    refused = cli("label", WARDROBE, "--model", bare_path, "-o", tmp_path / "x.csv")
    assert refused.code == 2
    assert "--labels" in refused.err
    (tmp_path / "labels.txt").write_text("dark\nlight\n")
    for labels in ("dark,light", tmp_path / "labels.txt"):
        assert (
            cli("label", WARDROBE, "--model", bare_path, "--labels", labels, "-o", tmp_path / "x.csv").code
            == 0
        )
    assert cli("inspect", bare_path).code == 2


def test_webcam_prints_changes(cli: RunCli) -> None:
    """A video without a view gives one line per change of label."""
    result = cli("webcam", VIDEO, "--view", "none", "--fast")
    assert result.code == 0
    labels = [line.split("s  ")[1].rsplit("  ")[0] for line in result.out.splitlines()]
    assert {"Trouser", "Bag", "Ankle boot"} <= set(labels)
    assert all(first != second for first, second in itertools.pairwise(labels))
    assert "240 frames" in result.err


def test_verify_and_its_exit_code(
    cli: RunCli, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal golden inputs are exit code 0; different ones are 1, with the stage named."""
    assert cli("verify", tiny_path).code == 0
    monkeypatch.setattr("edge_fm_runtime.golden.TENSOR_TOLERANCE", -1)
    result = cli("verify", tiny_path)
    assert result.code == 1
    assert "preprocessing" in result.err


def test_inspect_json_is_the_passport(cli: RunCli, tiny_path: Path) -> None:
    """`inspect --json` has the passport that the table shows."""
    document = json.loads(cli("inspect", tiny_path, "--json").out)
    assert document["labels"] == ["dark", "light"]
    assert document["size_bytes"] == tiny_path.stat().st_size
    shown = cli("inspect", tiny_path).out
    assert "unknown below 0.6" in shown


def test_data_shows_counts_and_a_strip(cli: RunCli, tmp_path: Path) -> None:
    """Counts per class are printed, and the strip of samples is not empty."""
    result = cli("data", "wardrobe", "-o", tmp_path / "strip.png")
    assert "Ankle boot" in result.out
    assert "28 x 28 x 1 uint8" in result.out
    strip = cv2.imread(str(tmp_path / "strip.png"))
    assert strip is not None
    assert strip.shape[0] > 10 * 50
    assert len(np.unique(strip)) > 100


def test_zoo_and_doctor(cli: RunCli) -> None:
    """Both tables print, and this machine has what a device needs."""
    assert "cnn" in cli("zoo").out
    result = cli("doctor")
    assert result.code == 0
    assert "8 of 8 golden inputs" in result.out


def test_tables_print_brackets(cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remedy such as pip install 'edge-fm[train]' is printed as it is, not read as markup."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert "pip install 'edge-fm[train]'" in cli("doctor").out


def test_evaluate_prints_scores(cli: RunCli) -> None:
    """`evaluate` prints the accuracy on the test part."""
    result = cli("evaluate", "fashion", "--data", "wardrobe")
    assert result.code == 0
    assert re.search(r"accuracy 0\.\d{4}", result.out)


def test_evaluate_refuses_other_classes(cli: RunCli, tiny_path: Path) -> None:
    """A model of two classes is not measured on ten."""
    result = cli("evaluate", tiny_path, "--data", "wardrobe")
    assert result.code == 2
    assert "dark, light" in result.err


def test_the_installed_script_runs() -> None:
    """The installed entry point runs as a process, and its exit code is that of the command."""
    script = Path(sys.executable).with_name("edge-fm")
    done = subprocess.run(
        [script, "label", "nowhere"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
