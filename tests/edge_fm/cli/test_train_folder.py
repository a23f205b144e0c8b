"""Training on folders of pictures, and measuring on the pictures that were left for it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import RunCli
from tests.edge_fm.datasets.folders import write_picture
from tests.pictures import encoded

LOGREG = ("--model", "logreg", "--set", "max_iter=5")


def write_shades(folder: Path, count: int, seed: int) -> Path:
    """Write noisy pictures of two classes, dark and light, and return the folder."""
    rng = np.random.default_rng(seed)
    for low, name in ((0, "dark"), (150, "light")):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            picture = np.repeat(np.repeat(rng.integers(low, low + 100, (8, 8, 3), np.uint8), 4, 0), 4, 1)
            (folder / name / f"{number}.png").write_bytes(encoded(picture, ".png"))
    return folder


@pytest.mark.train
def test_a_test_folder_goes_with_the_run(cli: RunCli, tmp_path: Path) -> None:
    """Training, evaluation and export of a run use its test folder, and its copies are reported."""
    data, test = write_shades(tmp_path / "data", 15, 0), write_shades(tmp_path / "test", 6, 1)
    shutil.copy(data / "dark" / "0.png", test / "dark" / "copy.png")
    run = tmp_path / "run"
    trained = cli("train", data, *LOGREG, "--size", 16, "--test", test, "-o", run)
    assert trained.is_written, trained.err
    assert "1 of 13 test pictures are copies or near duplicates" in trained.err
    assert json.loads((run / "run.json").read_text())["test"] == str(test)
    evaluated = cli("evaluate", run, "--data", data, "--json")
    assert json.loads(evaluated.out)["images"] == 13
    exported = cli("export", run, "-o", tmp_path / "mine.onnx")
    assert exported.is_written, exported.err
    assert "13 images" in exported.out or "13 pictures" in exported.out
    whole = cli("evaluate", tmp_path / "mine.onnx", "--data", data, "--all", "--json")
    assert json.loads(whole.out)["images"] == 30
    part = cli("evaluate", tmp_path / "mine.onnx", "--data", data, "--json")
    assert json.loads(part.out)["images"] < 15


@pytest.mark.train
def test_a_run_of_another_split_is_noted(cli: RunCli, tmp_path: Path) -> None:
    """An export of a run whose record lacks the version says that its test figures are too high."""
    data, run = write_shades(tmp_path / "data", 15, 0), tmp_path / "run"
    assert cli("train", data, *LOGREG, "--size", 16, "-o", run).is_written
    said = "chose a folder's test part by position"
    assert said not in cli("export", run, "-o", tmp_path / "a.onnx").err
    values = json.loads((run / "run.json").read_text())
    del values["version"]
    (run / "run.json").write_text(json.dumps(values))
    assert said in cli("export", run, "-o", tmp_path / "b.onnx").err


@pytest.mark.train
def test_a_former_run_is_kept(cli: RunCli, tmp_path: Path) -> None:
    """A second training is refused and costs nothing; with --fresh the former run is beside the new one."""
    data, run = write_shades(tmp_path / "data", 8, 0), tmp_path / "run"
    command = ("train", data, *LOGREG, "--size", 8, "-o", run)
    assert cli(*command).code == 0
    former = {path.name: path.read_bytes() for path in run.iterdir()}
    write_picture(data / "dark" / "new.png", 5)
    again = cli(*command)
    assert again.code == 2
    assert "--fresh, which first moves it to run.1" in again.err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == former
    assert cli(*command, "--fresh").code == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "run.1").iterdir()} == former
    assert (run / "run.json").is_file()


def test_a_test_folder_needs_a_folder(cli: RunCli, tmp_path: Path) -> None:
    """A named data set has its test part, and beside a recipe the folder is a key of it."""
    test = write_shades(tmp_path / "test", 1, 0)
    done = cli("train", "wardrobe", *LOGREG, "--test", test, "-o", tmp_path / "run")
    assert (done.code, "has a test part of its own" in done.err) == (2, True)
    recipe = cli("train", "fashion.toml", "--test", test, "-o", tmp_path / "run")
    assert (recipe.code, f"--set test={test}" in recipe.err) == (2, True)
