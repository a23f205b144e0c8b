"""Fixtures for the tests of the runtime."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_runtime.batch.label import Model
from edge_fm_runtime.batch.options import BATCH
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.live.web.server import WebSettings, WebView
from tests.pictures import encoded
from tests.runtime.labelling import DARK, GREY, PNG
from tests.runtime.live_fakes import OpenView
from tests.s3 import S3, served


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Model:
    """Return the model that answers with the mean grey level."""
    return Model(tiny_path.read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with light, dark, ambiguous and broken images, and odd names."""
    made = tmp_path / "in"
    (made / "sub").mkdir(parents=True)
    for index in range(20):
        (made / f"{index:02}.png").write_bytes(PNG if index % 2 else DARK)
    (made / "sub" / "01.png").write_bytes(PNG)
    (made / "unsure.png").write_bytes(GREY)
    (made / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (made / 'a,"b\n<script>.png').write_bytes(PNG)
    with open(os.fsencode(made) + b"/\xff.png", "wb") as file:  # noqa: PTH123  # a name that is not UTF-8
        file.write(PNG)
    return made


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder with more images than eight batches."""
    made = tmp_path / "many"
    made.mkdir()
    rng = np.random.default_rng(1)
    for index in range(8 * BATCH + 7):
        (made / f"{index}.png").write_bytes(
            encoded(rng.integers(0, 256, (28, 28), np.uint8) // (index % 5 + 1))
        )
    return made


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    """Return an S3 server."""
    with served() as server:
        yield server


@pytest.fixture(scope="module")
def ray(s3: S3) -> Iterator[Any]:
    """Return Ray, with a cluster of two processors on this machine that reaches the S3 server."""
    import ray

    assert s3.url

    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def open_view(tiny: Classifier, tmp_path: Path) -> Iterator[OpenView]:
    """Return a function that serves a page; every page is closed at the end."""
    views: list[WebView] = []

    def serve(**settings: Any) -> WebView:
        wanted = {"port": 0, "snapshots": tmp_path, **settings}
        views.append(WebView(lambda: tiny, "tiny", WebSettings(**wanted), lambda _text: None))
        return views[-1]

    yield serve
    for view in views:
        view.close()


@pytest.fixture
def view(open_view: OpenView) -> WebView:
    """Return a page that anyone on this machine may open."""
    return open_view()
