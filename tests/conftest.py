"""Fixtures and helpers for all tests."""

import os
import signal
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from edge_fm_runtime.classifier import Classifier

DATA = Path(__file__).resolve().parent / "data"
ROOT = Path(__file__).resolve().parent.parent
# Networks of four channels, like those that tests train, overwrite memory on processors with AVX512:
# docs/decisions/0016.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

REAL_FILE = "fashion-mnist/t10k-images-idx3-ubyte.gz"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests on real data, with the reason, only where no folder for it is set."""
    if os.environ.get("EDGE_FM_DATA"):
        return
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason=f"EDGE_FM_DATA is not set to a folder with {REAL_FILE}"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Seed the weights of every network that a test builds, so that none passes or fails by chance."""
    if item.get_closest_marker("train"):
        from edge_fm_exporters.framework import import_keras

        import_keras().utils.set_random_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let the exports of `train` tests time fewer rounds, and fit their margins on fewer drawn images."""
    if not item.get_closest_marker("train"):
        return (yield)
    from edge_fm_exporters.decision import reduced_decoding
    from edge_fm_exporters.quantization import search

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "ROUNDS", 50)
        patch.setattr(reduced_decoding, "_MOST", 64)
        patch.setattr(reduced_decoding, "_DRAWN", 2**21)
        patch.setattr(reduced_decoding, "_looks", _few_looks())
        return (yield)


@cache
def _few_looks() -> Callable[..., object]:
    """Return `reduced_decoding._looks` with a cache that keeps the images of every input size."""
    from edge_fm_exporters.decision import reduced_decoding

    return cache(reduced_decoding._looks.__wrapped__)


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    """Return the model that answers with the mean grey level."""
    return DATA / "tiny.onnx"


@pytest.fixture(scope="session")
def bare_path() -> Path:
    """Return the same model without a passport."""
    return DATA / "bare.onnx"


@pytest.fixture(scope="session")
def tiny(tiny_path: Path) -> Classifier:
    """Return the tiny model, opened."""
    return Classifier.load(tiny_path)


@dataclass(frozen=True)
class CliResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def is_written(self) -> bool:
        """Whether the command wrote its result, although it may be no good, as after one epoch."""
        return self.code in {0, 1}


RunCli = Callable[..., CliResult]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> RunCli:
    """Return a function that runs the command line in this process, through its real entry point."""
    from edge_fm.cli import main

    def run(*arguments: object) -> CliResult:
        words = [str(argument) for argument in arguments]
        monkeypatch.setattr("sys.argv", ["edge-fm", *words[:1], "--debug", *words[1:]])
        code: object = 0
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            main()
        except SystemExit as ending:
            code = ending.code or 0
        finally:
            signal.signal(signal.SIGINT, on_interrupt)
        out, err = capsys.readouterr()
        assert isinstance(code, int)
        return CliResult(code, out, err)

    return run
