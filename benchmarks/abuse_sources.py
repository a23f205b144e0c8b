"""Craft trained models and data sets that a stranger might give to edge-fm; for `abuse.py`."""

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import skops.io  # noqa: TID253  # a script, which starts slowly anyway
from abuse_files import CLASSES, SIDE, special, write
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # noqa: TID253

KERAS_MODEL = Path(__file__).parents[1] / "samples" / "cnn.keras"

_LARGE = 2**40
_ENTRY = struct.Struct("<4s6H3L5H2L")
"""Entry of a zip archive's directory, up to its name."""


def write_sources(folder: Path) -> list[Path]:
    """Write crafted `.keras`, `.h5` and `.skops` files."""
    written: list[Path] = []
    for suffix, files in ((".keras", _keras()), (".h5", _hdf5()), (".skops", _skops())):
        written += write(folder, dict(files), suffix) + special(folder, suffix)
    return written


def write_data_sets(folder: Path) -> list[Path]:
    """Write crafted `.npz` files."""
    return write(folder, dict(_npz()), ".npz") + special(folder, ".npz")


def _zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def _bomb(name: str, size: int) -> bytes:
    """Return an archive with a member of zeros, written piece by piece."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(name, "w", force_zip64=True) as member:
            for _ in range(size // 2**20):
                member.write(bytes(2**20))
        archive.writestr("config.json", b"{}")
    return buffer.getvalue()


def _edited(archive: bytes, edit: Callable[[list[Any]], None]) -> bytes:
    """Return an archive whose directory entries are changed: their 19 numbers before the name."""
    data = bytearray(archive)
    place = data.find(b"PK\1\2")
    while place >= 0:
        entry = list(_ENTRY.unpack_from(data, place))
        edit(entry)
        _ENTRY.pack_into(data, place, *entry)
        place = data.find(b"PK\1\2", place + 4)
    return bytes(data)


def _hdf5_file(fill: Callable[[h5py.File], None]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


def _packed_zeros(file: h5py.File) -> None:
    file.create_dataset("zeros", (2**29,), "f8", chunks=(2**20,), compression="gzip")
    file["zeros"][:4096] = 1


def _hdf5_faults() -> Iterator[tuple[str, Callable[[h5py.File], None]]]:
    """Yield what makes an HDF5 file large, or lead out of itself."""
    yield "packed", _packed_zeros
    yield "shape", lambda file: file.create_dataset("huge", (_LARGE, 8), "f4", chunks=(1, 8))
    yield "soft-link", lambda file: file.__setitem__("link", h5py.SoftLink("/elsewhere"))
    yield "external-link", lambda file: file.__setitem__("link", h5py.ExternalLink("/etc/passwd", "/"))
    yield "circle", lambda file: file.__setitem__("again", file["/"])
    external = [("/etc/passwd", 0, 100)]
    yield "external-data", lambda file: file.create_dataset("outside", (100,), "u1", external=external)
    layout = h5py.VirtualLayout((8,), "f4")
    layout[:] = h5py.VirtualSource("/tmp/other.h5", "data", (8,))  # noqa: S108  # it is not opened
    yield "virtual", lambda file: file.create_virtual_dataset("virtual", layout)
    yield "reference", lambda file: file.create_dataset("points", (9,), h5py.ref_dtype)
    yield "strings", lambda file: file.create_dataset("strings", (2**30,), h5py.string_dtype(), chunks=(9,))
    yield "deep", lambda file: file.create_group("/".join(["deeper"] * 3000))
    yield "attribute", lambda file: file.attrs.create("many", ["long" * 9000] * 1000)


def _keras() -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(KERAS_MODEL) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])

    def configured(value: object) -> bytes:
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        return _zipped({**members, "config.json": text})

    def layers(*added: dict[str, Any]) -> bytes:
        inner = {**config["config"], "layers": [*config["config"]["layers"], *added]}
        return configured({**config, "config": inner})

    def layer(kind: str, **settings: object) -> dict[str, Any]:
        return {"module": "keras.layers", "class_name": kind, "config": settings, "registered_name": None}

    yield "bomb", _bomb("model.weights.h5", 3 * 2**30)
    yield "overlap", _edited(_zipped(members), lambda entry: entry.__setitem__(16, 0))
    yield "sizes", _edited(_zipped(members), lambda entry: entry.__setitem__(9, 2**31))
    yield "small-sizes", _edited(_zipped(members), lambda entry: entry.__setitem__(9, 10))
    yield "encrypted", _edited(_zipped(members), lambda entry: entry.__setitem__(3, 1))
    yield "method", _edited(_zipped(members), lambda entry: entry.__setitem__(4, 77))
    yield "directory", _zipped({f"{number}": b"" for number in range(60_000)})
    yield "nested", _zipped({**members, "more.zip": _bomb("inner", 2**30)})
    yield "no-config", _zipped({"model.weights.h5": members["model.weights.h5"]})
    for name, value in (("integer", 7), ("list", []), ("text", "x"), ("empty", {}), ("null", None)):
        yield f"config-{name}", configured(value)
    yield "config-deep", configured(b'{"a":' * 50_000 + b"1" + b"}" * 50_000)
    yield "config-nested", configured(b'{"a":' * 500 + b"1" + b"}" * 500)
    yield "config-digits", configured(b'{"class_name": "Sequential", "config": ' + b"9" * 400 + b"}")
    yield "config-nan", configured(b'{"class_name": NaN}')
    yield "config-twice", configured(b'{"class_name": 1, "class_name": 2}')
    yield "config-long", configured(b'"' + b"x" * 2**26 + b'"')
    yield "lambda", layers(layer("Lambda", name="code", function="os.system"))
    yield "many-layers", layers(*(layer("ReLU", name=f"r{number}") for number in range(30_000)))
    yield "units", layers(layer("Dense", name="wide", units=10**8), layer("Dense", name="end", units=10))
    yield "negative", layers(layer("Dense", name="wide", units=-3))
    yield "no-number", layers(layer("Dense", name="wide", units="many"))
    for name, fault in _hdf5_faults():
        yield f"weights-{name}", _zipped({**members, "model.weights.h5": _hdf5_file(fault)})
    yield "weights-noise", _zipped({**members, "model.weights.h5": b"\x89HDF\r\n\x1a\n" + bytes(900)})
    yield "cut", KERAS_MODEL.read_bytes()[:-30]
    yield "noise", np.random.default_rng(0).bytes(100_000)
    yield "nothing", b""


def _hdf5() -> Iterator[tuple[str, bytes]]:
    good = b'{"class_name": "Sequential", "config": {"layers": []}}'

    def configured(value: object) -> bytes:
        return _hdf5_file(lambda file: file.attrs.__setitem__("model_config", value))

    for name, fault in _hdf5_faults():

        def both(file: h5py.File, fault: Callable[[h5py.File], None] = fault) -> None:
            file.attrs["model_config"] = good
            fault(file)

        yield name, _hdf5_file(both)
    for name, value in (("integer", 7), ("numbers", np.ones(3)), ("words", ["a", "b"]), ("bytes", b"\xff")):
        yield f"config-{name}", configured(value)
    yield "config-none", _hdf5_file(lambda file: file.attrs.__setitem__("other", 1))
    yield "config-list", configured("[]")
    yield "config-deep", configured('{"a":' * 5000 + "1" + "}" * 5000)
    yield "config-good", configured(good)
    yield "noise", np.random.default_rng(0).bytes(100_000)
    yield "head", _hdf5_file(_packed_zeros)[:600]


def _skops() -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    good = LogisticRegression().fit(rng.random((40, SIDE * SIDE)), np.arange(40) % CLASSES)

    def fitted(**changes: object) -> bytes:
        model = copy.copy(good)
        for name, value in changes.items():
            setattr(model, name, value)
        return bytes(skops.io.dumps(model))

    yield "classes-table", fitted(classes_=np.arange(CLASSES).reshape(2, 5))
    yield "classes-number", fitted(classes_=np.array(3))
    yield "classes-text", fitted(classes_="abcdefghij")
    yield "classes-more", fitted(classes_=np.arange(50))
    yield "classes-many", fitted(classes_=np.arange(1_000_000))
    yield "classes-floats", fitted(classes_=np.linspace(0, 1, CLASSES))
    for name, value in (("huge", 2**62), ("zero", 0), ("negative", -784), ("text", "784"), ("float", 784.0)):
        yield f"features-{name}", fitted(n_features_in_=value)
    yield "features-other", fitted(n_features_in_=100)
    yield "weights-shape", fitted(coef_=np.ones((3, 5)))
    yield "weights-nan", fitted(coef_=np.full((CLASSES, SIDE * SIDE), np.nan))
    yield "weights-text", fitted(coef_="weights")
    yield "weights-none", fitted(coef_=None)
    yield "bias-shape", fitted(intercept_=np.ones((7, 7)))
    yield "solver", fitted(solver=7)
    yield "dictionary", bytes(skops.io.dumps({"a": 1}))
    schema = b'{"__class__":"dict","__module__":"builtins","__loader__":"DictNode","content":'
    yield "schema-deep", _zipped({"schema.json": schema * 5000 + b"1" + b"}" * 5000})
    yield "schema-number", _zipped({"schema.json": b"7"})
    yield "no-schema", _zipped({"other": b"7"})
    yield "bomb", _bomb("schema.json", 2**30)
    yield "noise", rng.bytes(100_000)


def _npz() -> Iterator[tuple[str, bytes]]:
    images, labels = np.zeros((40, SIDE, SIDE), np.uint8), np.arange(40) % CLASSES

    def saved(**changes: NDArray[np.generic]) -> bytes:
        buffer = io.BytesIO()
        arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
        np.savez_compressed(buffer, **{**arrays, **changes})  # type: ignore[arg-type]  # its last is a bool
        return buffer.getvalue()

    yield "good", saved()
    yield "labels-huge", saved(y_train=labels + 2**60)
    yield "labels-table", saved(y_train=np.zeros((40, 9), np.int64))
    yield "labels-fewer", saved(y_test=labels[:5])
    yield "images-scalar", saved(x_train=np.array(7, np.uint8))
    yield "images-flat", saved(x_train=np.zeros(40, np.uint8))
    yield "images-empty", saved(x_train=images[:0])
    yield "names-table", saved(class_names=np.zeros((3, 3)))
    yield "objects", saved(x_train=np.array([{}], object))
    header = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }"
    lying = (header % _LARGE).ljust(127) + b"\n"
    yield "header", _zipped({"x_train.npy": lying + bytes(9)})
    yield "bomb", _bomb("x_train.npy", 3 * 2**30)
    yield "noise", np.random.default_rng(0).bytes(100_000)
