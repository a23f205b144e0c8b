"""The zoo: models by name, shapes, options, reference figures."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge_fm import datasets
from edge_fm.datasets.wardrobe import draw_set
from edge_fm.models import measurements, zoo
from edge_fm.models.architecture import Framework
from edge_fm.models.runs import Run
from edge_fm.models.settings import TrainSettings
from edge_fm.training import sklearn_fit
from edge_fm.training.edge import settings as settings_module
from edge_fm.training.results import FitInputs
from edge_fm_exporters.framework import import_keras
from edge_fm_runtime.errors import DataError
from edge_fm_runtime.image.opencv import cv2
from tests.conftest import ROOT, RunCli

_KERAS = [name for name, a in zoo.ARCHITECTURES.items() if a.framework is Framework.KERAS]
_SKLEARN = [name for name, a in zoo.ARCHITECTURES.items() if a.framework is Framework.SKLEARN]

LAYERS = {
    "ann": ["Flatten", "Dense"],
    "dnn-sigmoid": ["Flatten", "Dense", "Dense"],
    "mlp-128": ["Flatten", "Dense", "Dense"],
    "mlp-256-64": ["Flatten", "Dense", "Dense", "Dense"],
    "mlp-dropout": ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"],
    "cnn": ["Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dropout", "Dense"],
    "cnn-strided-wide": [
        *("Conv2D", "Conv2D", "MaxPooling2D", "Flatten"),
        *("Dense", "Dropout", "Dense", "Dropout", "Dense"),
    ],
    "cnn-strided": ["Conv2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense", "Dropout", "Dense"],
    "cnn-dropout": [
        *("Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D"),
        *("Flatten", "Dense", "Dropout", "Dense"),
    ],
    "cnn-light": ["Conv2D", "MaxPooling2D", "Flatten", "Dropout", "Dense", "Dense"],
    "mnist-mlp": ["Flatten", "Dense", "Dense", "Dense"],
}


@pytest.mark.train
@pytest.mark.parametrize("name", _KERAS)
def test_networks_have_the_stated_size(name: str) -> None:
    """Each has the stated number of parameters, and its outputs are probabilities."""
    architecture = zoo.find(name)
    model = architecture.build((28, 28, 1), 10, architecture.options)
    assert model.count_params() == architecture.parameters
    answer = np.asarray(model(np.zeros((2, 28, 28, 1), np.float32)))
    assert answer.shape == (2, 10)
    np.testing.assert_allclose(answer.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.train
@pytest.mark.parametrize("name", LAYERS)
def test_networks_have_the_layers_of_their_tutorials(name: str) -> None:
    """The types of the layers are equal, in order."""
    architecture = zoo.find(name)
    model = architecture.build((28, 28, 1), 10, architecture.options)
    assert [type(layer).__name__ for layer in model.layers] == LAYERS[name]


@pytest.mark.train
@pytest.mark.parametrize("name", _KERAS)
def test_networks_adapt_to_other_data(name: str) -> None:
    """Size, channels and number of classes follow the data."""
    architecture = zoo.find(name)
    model = architecture.build((64, 64, 3), 4, architecture.options)
    assert model.output_shape == (None, 4)


@pytest.mark.train
@pytest.mark.parametrize("name", _SKLEARN)
def test_linear_models_have_the_stated_size(name: str) -> None:
    """Fitted on ten classes of 784 pixels, each has the stated number of parameters."""
    architecture = zoo.find(name)
    wardrobe = datasets.limited(datasets.load("wardrobe"), 300, 10)
    model = architecture.build((28, 28, 1), 10, architecture.options | {"max_iter": 2})
    inputs = FitInputs(
        training=wardrobe.train,
        validation=None,
        settings=TrainSettings(epochs=1, patience=None),
        listener=lambda _number, _share, _figures: None,
        folder=Path("nowhere"),
    )
    sklearn_fit.fit(model, inputs)
    final = model.steps[-1][1] if hasattr(model, "steps") else model
    parts = getattr(final, "estimators_", [final])
    assert sum(part.coef_.size + part.intercept_.size for part in parts) == architecture.parameters


@pytest.mark.train
def test_an_option_changes_the_network() -> None:
    """The rate is that of every dropout layer; 0 leaves the layers out."""
    architecture = zoo.find("mlp-dropout")
    model = architecture.build((28, 28, 1), 10, architecture.parse({"dropout": "0.35"}).options)
    assert [layer.rate for layer in model.layers if "dropout" in layer.name] == [0.35, 0.35]
    bare = architecture.build((28, 28, 1), 10, architecture.parse({"dropout": "0"}).options)
    assert not [layer for layer in bare.layers if "dropout" in layer.name]


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("mlp-128", {"dropout": "0.3"}, "has no setting 'dropout'; it takes batch_size=64"),
        ("cnn", {"width": "3"}, "it takes dropout=0.4, batch_size=64, learning_rate=0.001"),
        ("cnn", {"dropout": "1.5"}, "a number from 0 to 0.95"),
        ("cnn", {"dropout": "nan"}, "a number from 0 to 0.95"),
        ("cnn", {"dropout": "much"}, "a number from 0 to 0.95"),
        ("logreg", {"max_iter": "2.5"}, "a whole number from 1"),
        (
            "logreg",
            {"batch_size": "16"},
            "it takes C=1, max_iter=100, validation=0, balance=yes, seed=0, folds=0$",
        ),
        ("cnn", {"batch_size": "0"}, "a whole number from 1 to 1000000"),
        ("cnn", {"learning_rate": "nan"}, "a number from 1e-06 to 1"),
        ("cnn", {"validation": "1"}, "a number from 0 to 0.9"),
        ("cnn", {"seed": "4294967296"}, "a whole number from 0 to 4294967295"),
        ("cnn", {"balance": "maybe"}, "expected yes or no"),
        ("cnn", {"init_from": ""}, "expected a run folder"),
    ],
)
def test_wrong_options_are_refused(name: str, given: dict[str, str], message: str) -> None:
    """The message names an unknown option, or the range of a value."""
    with pytest.raises(DataError, match=message):
        zoo.find(name).parse(given)


def test_settings_replace_the_defaults() -> None:
    """Every setting of `--set` reaches the training under its field; patience 0 runs all epochs."""
    texts = {"batch_size": "16", "learning_rate": "1e-4", "validation": "0", "patience": "0"}
    texts |= {"balance": "no", "seed": "7", "folds": "3", "init_from": "first", "dropout": "0.1"}
    given = zoo.find("cnn").parse(texts)
    assert given.training == TrainSettings(
        batch_size=16,
        learning_rate=1e-4,
        validation_share=0,
        patience=None,
        balance=False,
        seed=7,
        folds=3,
    )
    assert (given.options, given.init_from) == ({"dropout": 0.1}, Path("first"))


def test_an_unknown_architecture_names_the_nearest() -> None:
    """The message suggests a similar name."""
    with pytest.raises(DataError, match="did you mean cnn"):
        zoo.find("cnnn")


def test_the_zoo_has_every_figure_of_the_sources() -> None:
    """Every published figure is a reference of its model."""
    shown = {
        name: [reference.value for variant in a.variants for reference in variant.references]
        for name, a in zoo.ARCHITECTURES.items()
        if a.variants
    }
    assert shown == {
        "logreg": [0.841],
        "sgd": [0.827],
        "sgd-cv": [0.819],
        "ann": [0.853],
        "dnn-sigmoid": [],
        "mlp-128": [0.872, 0.8885],
        "mlp-256-64": [0.8896],
        "mlp-dropout": [0.8831],
        "cnn": [0.9193, 0.222, 0.912],
        "cnn-strided-wide": [0.9026],
        "cnn-strided": [0.9054, 0.9028],
        "cnn-dropout": [0.915],
        "cnn-light": [0.9160],
        "mnist-mlp": [0.98, 0.98, 0.97],
        "ovr": [],
        "ovo": [],
    }


@pytest.mark.train
class TestTrainCommand:
    """Runs of `edge-fm train`."""

    def test_min_accuracy(self, cli: RunCli, tmp_path: Path) -> None:
        """A lower accuracy ends with exit code 1, and the run folder stays."""
        command = ["train", "wardrobe", "--model", "logreg", "--set", "max_iter=3", "-o", tmp_path / "run"]
        assert cli(*command, "--min-accuracy", "0.3").code == 0
        failed = cli(*command, "--fresh", "--min-accuracy", "0.999")
        assert failed.code == 1
        assert "is below --min-accuracy 0.999" in failed.err
        assert (tmp_path / "run" / "model.skops").is_file()

    @pytest.mark.parametrize("name", ["cnn", "edge", "digits"])
    def test_a_model_in_place_of_the_data_is_refused(self, cli: RunCli, tmp_path: Path, name: str) -> None:
        """The message has the command with data and model in their places."""
        done = cli("train", name, "-o", tmp_path / "run")
        assert done.code == 2
        data = "mnist" if name == "digits" else "fashion-mnist"
        assert f"edge-fm train {data} --model {name} -o {tmp_path / 'run'}" in done.err

    @pytest.mark.parametrize("source", ["same", "missing", "other", "classes"])
    def test_a_refused_warm_start_touches_no_run(self, cli: RunCli, tmp_path: Path, source: str) -> None:
        """A run of another model, of other classes, a missing one or the output itself is refused at once."""
        out, start = tmp_path / "out", tmp_path / "start"
        for folder in (out, start):
            folder.mkdir()
            Run(
                architecture="cnn" if source == "other" else "mlp-128",
                data="wardrobe",
                class_names=("a", "b") if source == "classes" else datasets.load("wardrobe").class_names,
                scale="unit",
                model="model.keras",
                options={},
                settings={},
                epochs=1,
                best_epoch=1,
                scores={},
                seconds=1.0,
                interrupted=False,
                licence="",
                tools={},
                created="2026-01-01",
            ).save(folder)
        given = {"same": out, "missing": tmp_path / "nothing"}.get(source, start)
        command = ("train", "wardrobe", "--model", "mlp-128", "--set", f"init_from={given}", "-o", out)
        done = cli(*command, "--fresh")
        assert done.code == 2
        assert str(given) in done.err
        assert (out / "run.json").is_file()

    @pytest.mark.slow
    def test_warm_start(self, cli: RunCli, tmp_path: Path) -> None:
        """init_from starts from a run of the same model, and refuses a run of another."""
        first, second = tmp_path / "first", tmp_path / "second"
        common = ("--epochs", 1, "--set", "patience=0", "--set", "validation=0")
        images, labels = draw_set(20, 0)
        np.savez(tmp_path / "part.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        for model, start, out in (
            ("mlp-128", (), first),
            ("mlp-128", ("--set", f"init_from={first}"), second),
        ):
            options = ("--model", model, *common, *start, "--set", "learning_rate=1e-6", "-o", out)
            assert cli("train", tmp_path / "part.npz", *options).code == 1  # so slow that it stays at chance
        kept = [
            import_keras().saving.load_model(run / "model.keras", compile=False).get_weights()
            for run in (first, second)
        ]
        assert all(np.abs(one - other).max() < 1e-3 for one, other in zip(*kept, strict=True))
        options = ("--model", "cnn", *common, "--set", f"init_from={first}", "-o", tmp_path / "third")
        other = cli("train", tmp_path / "part.npz", *options)
        assert other.code == 2
        assert "it is a run of mlp-128" in other.err

    @pytest.mark.slow
    def test_a_folder_of_photographs(self, cli: RunCli, tmp_path: Path) -> None:
        """Colour images of another size train, and unreadable files are counted and named."""
        rng = np.random.default_rng(0)
        for index, name in enumerate(("red", "green")):
            (tmp_path / "photos" / name).mkdir(parents=True)
            for number in range(12 + 20 * index):
                picture = rng.integers(0, 90, (40, 30, 3), np.uint8)
                picture[..., 2 - index] += 150
                cv2.imwrite(str(tmp_path / "photos" / name / f"{number}.png"), picture)
        (tmp_path / "photos" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
        done = cli(
            *("train", tmp_path / "photos", "--model", "mlp-128", "--size", 16, "--channels", 3),
            *(
                "--augment",
                "none",
                "--epochs",
                8,
                "--set",
                "patience=0",
                "--set",
                "validation=0",
                "-o",
                tmp_path / "run",
            ),
        )
        assert done.code == 0, done.err
        assert "1 file was left out" in done.err
        assert "broken.jpg" in done.err
        assert "test: accuracy 1.0000" in done.out
        exported = cli("export", tmp_path / "run", "--data", tmp_path / "photos", "-o", tmp_path / "own.onnx")
        assert exported.code == 0, exported.err

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--set", "dropout"], "expected NAME=VALUE"),
            (["--size", "32"], "has a size of its own"),
            (["--channels", "2"], "expected 1 for grey or 3 for colour"),
            (["--channels", "3", "--model", "edge"], "only a folder of pictures can be read"),
            (["--augment", "much"], "expected camera or none"),
            (["--augment", "none", "--model", "logreg"], "logreg takes no --augment"),
            (["--set", "folds=many"], "expected a whole number"),
        ],
    )
    def test_wrong_arguments_are_refused(
        self, cli: RunCli, tmp_path: Path, options: list[str], message: str
    ) -> None:
        """The message names the argument, the exit code is 2, and no folder is created."""
        done = cli("train", "wardrobe", "--model", "cnn", *options, "-o", tmp_path / "run")
        assert done.code == 2
        assert message in done.err
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("folders", [["one"], ["one", "empty"]])
    def test_unusable_folders_are_refused(self, cli: RunCli, tmp_path: Path, folders: list[str]) -> None:
        """The message names a single class, or a class without images."""
        for name in folders:
            (tmp_path / "photos" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "photos" / "one" / "a.png"), np.zeros((9, 9), np.uint8))
        done = cli("train", tmp_path / "photos", "-o", tmp_path / "run")
        assert done.code == 2
        assert "at least two classes" in done.err or "no readable picture" in done.err

    def test_the_edge_family_refuses_options_of_other_models(self, cli: RunCli, tmp_path: Path) -> None:
        """An option without effect is refused by name."""
        for option in (
            ["--set", "dropout=0.3"],
            ["--set", "patience=3"],
            ["--set", "balance=no"],
        ):
            done = cli("train", "wardrobe", "--model", "edge", *option, "-o", tmp_path / "run")
            assert done.code == 2
            assert repr(option[1].partition("=")[0]) in done.err

    @pytest.mark.parametrize(
        "options", [["--set", "validation=0"], ["--set", "folds=1"], ["--set", "folds=9999"]]
    )
    def test_a_refused_training_keeps_the_earlier_run(
        self, cli: RunCli, tmp_path: Path, options: list[str]
    ) -> None:
        """The arguments are checked before the folder changes."""
        (tmp_path / "run.json").write_text("an earlier run")
        done = cli("train", "wardrobe", "--model", "mlp-128", *options, "-o", tmp_path, "--fresh")
        assert done.code == 2, done.err
        assert (tmp_path / "run.json").read_text() == "an earlier run"


class TestTable:
    """Tables of the measurements: `edge-fm zoo` and docs/zoo.md."""

    def test_the_page_equals_the_measurements(self) -> None:
        """docs/zoo.md is the text generated from docs/zoo.json."""
        table = measurements.load()
        assert (ROOT / "docs" / "zoo.md").read_text(encoding="utf-8") == table.markdown()

    def test_every_model_is_measured(self) -> None:
        """The measurements have the parameters and references of every tutorial model."""
        rows = {row["name"]: row for row in measurements.load().raw["rows"]}
        for name, architecture in zoo.ARCHITECTURES.items():
            if not architecture.variants:
                continue
            assert rows[name]["parameters"] == architecture.parameters
            wanted = [(r.value, r.metric, r.part) for v in architecture.variants for r in v.references]
            assert [(f["value"], f["metric"], f["part"]) for f in rows[name]["figures"]] == wanted

    def test_no_name_is_cut_when_piped(self, cli: RunCli) -> None:
        """Each model is one line with its full name and all its figures."""
        lines = cli("zoo").out.splitlines()
        table = measurements.load()
        for architecture in zoo.ARCHITECTURES.values():
            (line,) = [line for line in lines if line.split()[:1] == [architecture.name]]
            assert f"{architecture.parameters:,}" in line
            for cell in table.cells(architecture.name):
                assert cell in line

    @pytest.mark.parametrize("name", zoo.ARCHITECTURES)
    def test_one_model(self, cli: RunCli, name: str) -> None:
        """`edge-fm zoo NAME` prints layers, options and reference figures."""
        shown = cli("zoo", name)
        architecture = zoo.find(name)
        assert shown.code == 0
        assert architecture.summary in shown.out
        for option, value in architecture.options.items():
            assert f"{option}={value:g}" in shown.out
        for variant in architecture.variants:
            for reference in variant.references:
                assert str(reference) in shown.out

    @pytest.mark.parametrize("name", ["edge-plus", "digits", "cnn"])
    def test_the_settings_are_the_training_defaults(self, cli: RunCli, name: str) -> None:
        """`edge-fm zoo NAME` prints the default training settings, for the edge family too."""
        of_recipe = settings_module.DEFAULTS.get(name, settings_module.EdgeSettings())
        settings = zoo.find(name).settings if name == "cnn" else of_recipe
        shown = " ".join(cli("zoo", name).out.split())
        assert f"batch_size={settings.batch_size}, learning_rate={settings.learning_rate:g}" in shown
        assert f"epochs {settings.epochs}" in shown
        assert ("patience" in shown) == (name == "cnn")

    def test_as_json(self, cli: RunCli) -> None:
        """`--json` prints all measurements."""
        assert json.loads(cli("zoo", "--json").out)["rows"] == measurements.load().raw["rows"]

    def test_a_broken_file_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """The message names the file and the script that writes it."""
        (tmp_path / "zoo.json").write_text("{")
        monkeypatch.setattr(measurements, "_INSTALLED", tmp_path / "zoo.json")
        with pytest.raises(DataError, match=r"zoo\.json is broken.*benchmarks/zoo\.py"):
            measurements.load()
