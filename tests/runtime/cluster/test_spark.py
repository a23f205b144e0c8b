"""The Spark example in docs/scale.md, run from the page."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_runtime.batch import label
from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.cluster import manifest
from tests.conftest import ROOT
from tests.pictures import encoded
from tests.runtime.batch.test_remote import tar_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17 on the PATH"),
    pytest.mark.filterwarnings("ignore"),  # Spark's own
]
PNG, DARK = (encoded(np.full((28, 28), level, np.uint8)) for level in (250, 10))


def example() -> str:
    """Return the code of the example."""
    text = (ROOT / "docs" / "scale.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(code)


def test_the_example_is_short() -> None:
    """The example has at most thirty lines of code."""
    assert len([line for line in example().splitlines() if line.strip()]) <= 30


def test_the_example_gives_the_rows_of_a_local_run(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On Spark with two cores, the rows are those of `edge-fm label`, failures included."""
    folder = tmp_path / "in"
    folder.mkdir()
    for index in range(50):
        (folder / f"{index:02}.png").write_bytes(PNG if index % 3 else DARK)
    (folder / "broken.png").write_bytes(PNG[:40])
    (folder / "note.txt").write_bytes(b"no picture")
    (tmp_path / "a.tar").write_bytes(tar_of({"t.png": PNG}))
    inputs = [str(folder), str(tmp_path / "a.tar")]
    manifest.write(inputs, str(tmp_path / "list.parquet"), lambda *_: None)
    label.label(Model(tiny_path.read_bytes()), inputs, tmp_path / "local.csv", Options(), lambda *_: None)

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--master local[2] --conf spark.ui.enabled=false pyspark-shell")
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    names: dict[str, Any] = {
        "MODEL": str(tiny_path),
        "LIST": str(tmp_path / "list.parquet"),
        "OUT": str(tmp_path / "out"),
        "PARTITIONS": 4,
    }
    exec(compile(example(), "docs/scale.md", "exec"), names)  # noqa: S102  # the code is on our page
    names["spark"].stop()
    rows = [row for part in (tmp_path / "out").glob("*.parquet") for row in files.read(part)]
    assert sorted(rows, key=lambda row: os.fsencode(row.path)) == list(files.read(tmp_path / "local.csv"))
    assert len(rows) == 53
