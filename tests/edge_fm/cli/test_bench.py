"""`edge-fm bench`: the figures of each model, and the chart."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge_fm.drawing.bench_chart import draw
from edge_fm.drawing.canvas import BLUE, RED
from edge_fm_runtime.errors import ModelError
from edge_fm_runtime.machine import bench
from edge_fm_runtime.machine.bench import Measurement
from tests.conftest import RunCli


@pytest.mark.slow
def test_each_file_is_measured(tiny_path: Path) -> None:
    """Percentiles are in order; start and memory are a whole process's; size and precision the file's."""
    tiny, fashion = bench.measure([str(tiny_path), "fashion"], lambda _done, _total, _what: None, rounds=30)
    assert (tiny.model, tiny.precision, tiny.size_bytes) == (str(tiny_path), "fp32", tiny_path.stat().st_size)
    assert fashion.precision == "int8"
    for found in (tiny, fashion):
        assert 0 < found.p50_us <= found.p90_us <= found.p99_us
        assert found.images_per_second > 0
        assert found.cold_start_ms * 1000 > found.p50_us
        assert found.peak_memory_bytes is None or 20e6 < found.peak_memory_bytes < 300e6
    assert tiny.p50_us < fashion.p50_us


def test_a_failed_start_gives_its_reason(tmp_path: Path) -> None:
    """A file that the measuring process cannot open is named, with that process's last line."""
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    with pytest.raises(ModelError, match=r"broken\.onnx could not be opened in a new process: .*ModelError"):
        bench._cold_start(str(tmp_path / "broken.onnx"))


def test_the_chart_has_a_disc_for_each_model() -> None:
    """Colour is precision, area is file size; a faster model is further left, a better one higher."""
    small = Measurement("small", "int8", 100_000, 50, 60, 70, 1, 1, None)
    large = Measurement("large", "fp32", 400_000, 100, 110, 120, 1, 1, None)
    pixels = draw([small, large], {"small": 0.90, "large": 0.95}, "chart").pixels_bgr.astype(int)
    centres, areas = [], []
    for colour in (BLUE, RED):
        shade = np.round(np.array(colour[::-1]) * 0.55 + 255 * 0.45)
        rows, columns = np.nonzero(np.abs(pixels - shade).max(axis=2) <= 2)
        centres.append((columns.mean(), rows.mean()))
        areas.append(len(rows))
    assert areas[1] == pytest.approx(4 * areas[0], rel=0.15)
    assert centres[0][0] < centres[1][0]
    assert centres[0][1] > centres[1][1]


@pytest.mark.slow
def test_the_command(cli: RunCli, tmp_path: Path) -> None:
    """`--json` prints the figures alone; a chart without data to measure accuracy on is refused."""
    refused = cli("bench", "fashion", "--chart", tmp_path / "chart.png")
    assert refused.code == 2
    assert "give --data" in refused.err
    command = ("bench", "fashion", "--data", "wardrobe", "--rounds", 10)
    done = cli(*command, "--chart", tmp_path / "chart.png", "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    assert found["model"] == "fashion"
    assert 0 < found["accuracy"]["low"] < found["accuracy"]["value"] < found["accuracy"]["high"] < 1
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_for_json_is_refused_with_the_new_spelling(cli: RunCli) -> None:
    """`--json FILE` wrote a file once: the error says how to write one."""
    refused = cli("bench", "fashion", "--json", "bench.json")
    assert refused.code == 2
    assert "--json > bench.json" in refused.err
