"""Formats are told apart by content; what no module reads is refused with the way on."""

import zipfile
from pathlib import Path

import pytest

from edge_fm_exporters import sources
from edge_fm_exporters.sources.identify import identify
from edge_fm_exporters.sources.unpack import unpack
from edge_fm_runtime.errors import ModelError
from tests.exporters.networks import save, small

HDF5 = b"\x89HDF\r\n\x1a\n"


def archive(path: Path, *names: str) -> Path:
    """Write a zip archive with members of a few bytes."""
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"content")
    return path


@pytest.mark.parametrize(
    ("name", "content", "module"),
    [
        ("m.keras", HDF5, "keras"),
        ("m.hdf5", HDF5, "keras"),
        ("model", HDF5, "keras"),
        ("m.tflite", b"\x1c\0\0\0TFL3", "tflite"),
        ("m.onnx", b"\x08\x07", "onnx"),
    ],
)
def test_a_file_is_told_by_its_content(name: str, content: bytes, module: str, tmp_path: Path) -> None:
    """A suffix that is wrong or missing does not matter where the content says what it is."""
    path = tmp_path / name
    path.write_bytes(content)
    assert identify(path).module == module


@pytest.mark.parametrize(
    ("names", "module", "members"),
    [
        (("config.json", "model.weights.h5"), "keras", ()),
        (("model.onnx", "labels.txt"), "onnx", ("model.onnx", "labels.txt")),
        (("schema.json", "1.npy"), "sklearn", ()),
        (("keras_model.h5", "labels.txt"), "keras", ("keras_model.h5", "labels.txt")),
        (
            ("export/keras_model.h5", "export/labels.txt"),
            "keras",
            ("export/keras_model.h5", "export/labels.txt"),
        ),
        (("model_unquant.tflite", "labels.txt"), "tflite", ("model_unquant.tflite", "labels.txt")),
        (
            ("m/saved_model.pb", "m/variables/variables.index"),
            "saved_model",
            ("m/saved_model.pb", "m/variables/variables.index"),
        ),
    ],
)
def test_an_archive_is_told_by_its_members(
    names: tuple[str, ...], module: str, members: tuple[str, ...], tmp_path: Path
) -> None:
    """A zip is a Keras file, a skops file, or holds one model with its labels."""
    found = identify(archive(tmp_path / "download.zip", *names))
    assert (found.module, found.members) == (module, members)


@pytest.mark.parametrize(
    "names", [("keras_model.h5", "labels.txt"), ("saved_model.pb",), ("m.tflite", "notes.md")]
)
def test_a_folder_with_one_model(names: tuple[str, ...], tmp_path: Path) -> None:
    """A folder stands for the one model in it."""
    for name in names:
        (tmp_path / name).write_bytes(HDF5 if name.endswith(".h5") else b"\x1c\0\0\0TFL3")
    assert (
        identify(tmp_path).module
        == {"h5": "keras", "pb": "saved_model", "tflite": "tflite"}[names[0].split(".")[-1]]
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.pkl", b"\x80\x04\x95", "a pickle.*skops.io.dump"),
        ("model.pt", b"\x80\x02\x8a", "torch.onnx.export"),
        ("model.json", b'{"format": "layers-model"}', "Export Model, Tensorflow, Keras"),
        ("m.keras", b"nothing", "no whole Keras model"),
        ("m.txt", b"nothing", "no model that can be exported"),
        ("empty", b"", "no model that can be exported"),
    ],
)
def test_other_files_are_refused(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """A file of another kind is refused with what to give instead."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        identify(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("archive/data.pkl", "archive/version"), "torch.onnx.export"),
        (("a.h5", "b.h5"), "without one model"),
        (("photo.jpg",), "without one model"),
    ],
)
def test_other_archives_are_refused(names: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """A zip without one model is refused with what to give instead."""
    with pytest.raises(ModelError, match=message):
        identify(archive(tmp_path / "m.zip", *names))


@pytest.mark.parametrize("name", ["../m.h5", "/srv/m.h5", "a/../../m.h5", "..\\m.h5", "C:m.h5"])
def test_a_member_that_leaves_the_folder(name: str, tmp_path: Path) -> None:
    """Nothing is written outside the folder, whatever a member's name is."""
    path = archive(tmp_path / "m.zip", name)
    stored = zipfile.ZipFile(path).namelist()
    (tmp_path / "inside").mkdir()
    with pytest.raises(ModelError, match="written elsewhere"):
        unpack(path, tuple(stored), tmp_path / "inside")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["inside", "m.zip"]


def test_an_archive_that_inflates(tmp_path: Path) -> None:
    """An archive of zeros is refused by its directory, before it is unpacked."""
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m.h5", bytes(50 * 2**20))
    with pytest.raises(ModelError, match="times its size"):
        unpack(path, ("m.h5",), tmp_path)
    assert not (tmp_path / "m.h5").exists()


@pytest.mark.parametrize("name", ["m.hdf5", "m.h5", "model"])
def test_a_damaged_file_of_any_name(name: str, tmp_path: Path) -> None:
    """HDF5 that is cut is refused with a sentence under every suffix, and under none."""
    path = tmp_path / name
    path.write_bytes(HDF5 + bytes(100))
    with pytest.raises(ModelError, match=r"no whole Keras model.*model\.save"):
        sources.load(path)


def test_a_member_whose_bytes_are_damaged(tmp_path: Path) -> None:
    """A member that does not inflate is refused as a damaged archive."""
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("m.h5", HDF5 + bytes(range(256)) * 50)
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    with pytest.raises(ModelError, match="no whole archive"):
        sources.load(path)


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.parametrize(
    ("labels", "note"),
    [("a\na\nb\n", "labels.txt in it is left out: it has the name 'a' twice"), ("a\nb\n", "it has 2 names")],
)
def test_labels_of_an_archive_that_do_not_fit(labels: str, note: str, tmp_path: Path) -> None:
    """A label file that cannot be used is left out with a note, and does not refuse the model."""
    model = save(tmp_path / "m.keras", small)
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(model, "m.keras")
        file.writestr("labels.txt", labels)
    source = sources.load(path)
    assert source.names == ()
    assert [line for line in source.notes if note in line]


def test_a_refusal_of_a_model_in_an_archive_names_the_archive(tmp_path: Path) -> None:
    """The folder that it was unpacked into is gone when the message is read."""
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("keras_model.h5", HDF5 + bytes(100))
    with pytest.raises(ModelError, match=rf"^{path}: keras_model\.h5 is no whole Keras model"):
        sources.load(path)
