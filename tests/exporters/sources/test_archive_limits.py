"""Files of trained models that are refused by size, links and types, before a framework reads them."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from edge_fm_exporters import sources
from edge_fm_exporters.sources import SourceModel, archive_limits
from edge_fm_exporters.sources.archive_limits import check
from edge_fm_runtime.errors import ModelError
from tests.conftest import ROOT

GOOD = ROOT / "samples" / "cnn.keras"
CONFIG = b'{"class_name": "Sequential", "config": {"layers": []}}'

Fill = Callable[[h5py.File], object]


def hdf5(fill: Fill) -> bytes:
    """Return an HDF5 file with a network's configuration, and what `fill` adds."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = CONFIG
        fill(file)
    return buffer.getvalue()


def keras(**changes: bytes) -> bytes:
    """Return a `.keras` file; `config` and `weights` replace its members, others are added."""
    names = {"config": "config.json", "weights": "model.weights.h5"}
    with zipfile.ZipFile(GOOD) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members |= {names.get(name, name): data for name, data in changes.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def refused(path: Path, data: bytes, message: str) -> None:
    """Write a file and check that it is refused with a message."""
    path.write_bytes(data)
    with pytest.raises(ModelError, match=message):
        check(path)


def packed(file: h5py.File) -> None:
    """Add an array of 4 GB in a few kilobytes."""
    file.create_dataset("zeros", (2**29,), "f8", chunks=(2**20,), compression="gzip")[:9] = 1


def virtual(file: h5py.File) -> None:
    """Add an array whose values are in another file."""
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (8,))
    file.create_virtual_dataset("virtual", layout)


FAULTS: list[tuple[str, Fill, str]] = [
    ("packed", packed, "its arrays have over 402,653,184 bytes"),
    ("shape", lambda file: file.create_dataset("x", (2**40,), "f4", chunks=(8,)), "its arrays have over"),
    ("soft", lambda file: file.__setitem__("x", h5py.SoftLink("/a")), "'x' is a link"),
    ("external", lambda file: file.__setitem__("x", h5py.ExternalLink("/etc/passwd", "/")), "'x' is a link"),
    ("circle", lambda file: file.__setitem__("x", file["/"]), "has another name"),
    ("outside", lambda file: file.create_dataset("x", (9,), "u1", external=[("a", 0, 9)]), "in other files"),
    ("virtual", virtual, "in other files"),
    ("reference", lambda file: file.create_dataset("x", (9,), h5py.ref_dtype), "expected numbers"),
    ("strings", lambda file: file.create_dataset("x", (9,), h5py.string_dtype()), "expected numbers"),
    ("deep", lambda file: file.create_group("/".join("a" * 40)), "more than 32 deep"),
]


@pytest.mark.parametrize(("fill", "message"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_hdf5_files_that_are_large_or_lead_elsewhere(tmp_path: Path, fill: Fill, message: str) -> None:
    """Each is refused by what it declares, alone and as the weights in a `.keras` file."""
    refused(tmp_path / "m.h5", hdf5(fill), message)
    refused(tmp_path / "m.keras", keras(weights=hdf5(fill)), message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, "of int64, expected text"),
        (np.ones(3), "of ndarray, expected text"),
        ("[]", "no JSON object"),
        ("{", "Expecting property name"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested more than 100 deep"),
        ('{"a":' * 50_000, "nested too deep"),
        ('{"a": ' + "9" * 400 + "}", "beyond 64 bits"),
        ('{"a": 1, "a": 2}', "the key 'a' twice"),
        (json.dumps({"layers": [{"class_name": "ReLU"}] * 20_001}), "20,001 objects"),
    ],
    ids=lambda value: repr(value)[:16],
)
def test_configurations_that_are_none(tmp_path: Path, value: object, message: str) -> None:
    """A configuration of another type, or too large or deep, is refused in both formats."""
    refused(tmp_path / "m.h5", hdf5(lambda file: file.attrs.__setitem__("model_config", value)), message)
    if isinstance(value, str):
        refused(tmp_path / "m.keras", keras(config=value.encode()), message)


def test_archives_within_archives_have_the_same_limit(tmp_path: Path) -> None:
    """A bomb is found one level down; a level further, nothing is opened."""
    inner, bomb = io.BytesIO(), bytes(100 * 2**20)
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bomb)
    refused(tmp_path / "m.keras", keras(more=inner.getvalue()), "over 200 times as many")
    refused(tmp_path / "m.keras", keras(more=keras(again=keras())), "an archive within the archive 'more'")


def test_only_regular_files_of_a_size_are_read(tmp_path: Path) -> None:
    """A pipe, a folder, a device and a file of 3 GB are refused at once, in every format."""
    for suffix in (".keras", ".h5", ".skops"):
        paths = [tmp_path / f"{name}{suffix}" for name in ("pipe", "folder", "device", "large")]
        os.mkfifo(paths[0])
        paths[1].mkdir()
        paths[2].symlink_to("/dev/zero")
        with paths[3].open("wb") as file:
            file.truncate(3 * 2**30)
        for path, message in zip(
            paths, ("a named pipe", "has no model", "a device", "limit is"), strict=True
        ):
            with pytest.raises(ModelError, match=message):
                sources.load(path)


def test_a_plain_model_passes() -> None:
    """The sample of a Keras model is within every limit."""
    check(GOOD)


def test_what_a_format_raises_is_a_sentence(tmp_path: Path) -> None:
    """Any exception of a loader names the file; an interrupt stays one."""
    path = tmp_path / "m.skops"

    @archive_limits.within_limits
    def fails(path: Path, size: tuple[int, int] | None = None) -> SourceModel:
        raise AttributeError(f"no such thing\nin {path} of {size}")

    with pytest.raises(ModelError, match=r"m\.skops cannot be used: no such thing\. "):
        fails(path)


@pytest.mark.train
@pytest.mark.parametrize(
    "layers",
    [
        [{"class_name": "Dense", "config": {"name": "wide", "units": 10**8}}],
        [{"class_name": "UpSampling2D", "config": {"name": "up", "size": [2000, 2000]}}],
    ],
    ids=["weights", "activations"],
)
def test_a_network_that_takes_too_much_memory_is_refused(
    tmp_path: Path, layers: list[dict[str, object]]
) -> None:
    """A configuration of a few bytes that asks for gigabytes ends in an error, and stays below 2 GB."""
    image: dict[str, object] = {
        "class_name": "InputLayer",
        "config": {"name": "image", "batch_shape": [None, 28, 28, 1]},
    }
    ending: list[dict[str, object]] = [
        {"class_name": "GlobalMaxPooling2D", "config": {"name": "pool"}},
        {"class_name": "Dense", "config": {"name": "end", "units": 3}},
    ]
    named: dict[str, object] = {"module": "keras.layers", "registered_name": None}
    every = [named | one for one in (image, *layers, *ending)]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": every}}
    path = tmp_path / "m.keras"
    path.write_bytes(keras(config=json.dumps(config).encode()))
    with pytest.raises(ModelError, match=r"m\.keras (cannot be|has)"):
        sources.load(path)
