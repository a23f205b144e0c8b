"""Recipe files: every setting in one place; each mistake is named with its line."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_fm import datasets
from edge_fm.models import runs
from edge_fm.training.edge import recipe
from edge_fm.training.edge.settings import DEFAULTS, EdgeSettings
from edge_fm_runtime.artifact.model_file import BUNDLED
from edge_fm_runtime.errors import DataError
from tests.conftest import RunCli
from tests.edge_fm.pictures import small, write_recipe

BUNDLED_RECIPES = sorted(recipe.RECIPES.glob("*.toml"))


@pytest.mark.parametrize("path", BUNDLED_RECIPES, ids=lambda path: path.name)
def test_a_bundled_recipe_is_complete(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bundled recipe is valid, and states every setting instead of leaving it to a default."""
    monkeypatch.setenv("PHOTOS", "photos")
    made = recipe.read_recipe(path)
    text = path.read_text(encoding="utf-8")
    stated = {line.partition("=")[0].strip() for line in text.splitlines() if "=" in line}
    left_out = {"distillation_weight", "mix", "size"}  # a table of its own, or the data set's
    expected = {*asdict(made.settings), *asdict(made.settings.mix), *asdict(made.settings.mix.variation)}
    assert expected - left_out - {"variation"} <= stated
    assert bool(made.teachers) == ("[distillation]" in text)


def test_every_bundled_model_has_a_recipe() -> None:
    """The recipe of a bundled model has its name, and is found by it from anywhere."""
    for name in BUNDLED:
        assert recipe.find_recipe(f"{name}.toml") == recipe.RECIPES / f"{name}.toml"
    assert recipe.find_recipe("nothing.toml") is None


def test_defaults_are_those_of_the_family(tmp_path: Path) -> None:
    """A recipe of two lines trains with the documented defaults, those of digits for digits."""
    assert recipe.read_recipe(write_recipe(tmp_path)).settings == EdgeSettings()
    digits = recipe.read_recipe(write_recipe(tmp_path, model="digits", data="mnist"))
    assert digits.settings == DEFAULTS["digits"]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            "epoch = 3",
            3,
            "has no key 'epoch'; it takes model, data, size, channels, test, init_from, and the tables settings",
        ),
        ("[settings]\nepoch = 3", 4, "[settings] has no key 'epoch'; it takes epochs, batch_size"),
        ("[settings]\nepochs = 0", 4, "epochs = 0, expected a whole number of 1 or more"),
        ("[settings]\nepochs = 2.5", 4, "epochs = 2.5, expected a whole number"),
        ("[settings]\nepochs = true", 4, "epochs = True, expected a whole number"),
        ("[settings]\n\nlearning_rate = 'fast'", 5, "expected a number from 1e-06 to 1"),
        ("[settings]\nbf16 = 1", 4, "expected true or false"),
        ("[settings]\nlearning_rate = nan", 4, "expected a number"),
        ("[mix]\nmixup = 1.5", 4, "mixup = 1.5, expected a number from 0 to 1"),
        ("[augmentation]\nflip = 'yes'", 4, "expected true or false"),
        ("[distillation]\nteachers = 'fashion'", 4, "expected a list of texts"),
        ("[distillation]\nteachers = [1]", 4, "expected a list of texts"),
        ("[photographs]\nfolder = 3", 4, "expected text"),
        ("[folds]\ncount = 1", 4, "expected a whole number from 2 to 1000"),
        ("[settigns]\nepochs = 3", 3, "has no key 'settigns'"),
        ("settings = 3", 3, "has no key 'settings'"),
        ('"foo.bar" = 3', 3, "'foo.bar' is no key"),
        ('[settings]\n"a.b" = 3', 4, "'a.b' is no key"),
        ("[settings]\nlearning_rate = " + "9" * 400, 4, "expected a number from 1e-06 to 1"),
        ("[settings]\nseed = 4294967296", 4, "expected a whole number from 0 to 4294967295"),
        ("[photographs.class_map]\na = 3", 4, "a = 3, expected a list of class names"),
    ],
)
def test_a_mistake_is_named_with_file_line_and_what_is_allowed(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    """An unknown key, a wrong type and a value out of range are refused where they stand."""
    path = write_recipe(tmp_path, text)
    with pytest.raises(DataError) as refused:
        recipe.read_recipe(path)
    assert str(refused.value).startswith(f"{path}, line {line}: ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "lacks model and data"),
        ('model = "edge"', "lacks data"),
        ('model = "cnn"\ndata = "mnist"', "line 1: model = 'cnn', expected one of edge-nano"),
        ("model =", "cannot be read"),
        ('model = "edge"\ndata = "mnist"\n[settings]\nepochs = ' + "9" * 5001, "cannot be read"),
        ('model = "edge"\ndata = "$NO_SUCH_FOLDER/x"', "needs the environment variable NO_SUCH_FOLDER"),
        ('model = "edge"\ndata = "mnist"\n[photographs]\nfolder = "x"', "needs folder and class_map"),
    ],
)
def test_a_recipe_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    """A recipe without model or data, of another family or broken says what to write."""
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(DataError, match=r"recipe\.toml") as refused:
        recipe.read_recipe(tmp_path / "recipe.toml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("epochs=0", "--set settings.epochs: epochs = 0, expected a whole number of 1 or more"),
        ("settings.epoch=3", "[settings] has no key 'epoch'"),
        ("nothing.epochs=3", "expected TABLE.KEY"),
        ("tilt=many", "tilt = 'many', expected a number from 0 to 180"),
    ],
)
def test_an_override_is_checked_as_strictly(cli: RunCli, tmp_path: Path, assignment: str, said: str) -> None:
    """--set on a recipe refuses what the recipe itself would not be allowed to say."""
    done = cli("train", write_recipe(tmp_path), "--set", assignment, "-o", tmp_path / "run")
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize("name", ["2024", "1.5", "true", "runs/cnn", "with 'quotes'"])
def test_a_path_needs_no_quotes_on_the_command_line(name: str) -> None:
    """A folder whose name is also a TOML number or boolean is a path all the same."""
    assert recipe.read_overrides({"init_from": name}) == {"init_from": name}


def test_a_recipe_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """A file that Windows editors have saved is read like any other."""
    path = write_recipe(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert recipe.read_recipe(path) == recipe.read_recipe(write_recipe(tmp_path))


@pytest.mark.parametrize("assignment", ["model=digits", "data=mnist"])
def test_set_does_not_replace_what_the_command_line_says(
    cli: RunCli, tmp_path: Path, assignment: str
) -> None:
    """Model and data have one place on a command line without a recipe."""
    done = cli("train", "wardrobe", "--model", "edge-nano", "--set", assignment, "-o", tmp_path / "run")
    assert done.code == 2
    assert f"--set {assignment}" in done.err


def test_a_dollar_in_a_path_of_the_command_line_is_literal() -> None:
    """Only a recipe file has environment variables; the shell has replaced those of a command line."""
    made = recipe.build_recipe({"model": "edge", "data": "my$photos", "init_from": "$run"})
    assert (made.data, made.init_from) == ("my$photos", Path("$run"))


def test_min_accuracy_is_for_one_network(cli: RunCli, tmp_path: Path) -> None:
    """With folds, which train several networks, --min-accuracy is refused before any training."""
    arguments = ("--set", "folds.count=2", "--min-accuracy", 0.9, "-o", tmp_path / "run")
    done = cli("train", write_recipe(tmp_path), *arguments)
    assert done.code == 2
    assert "--min-accuracy" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("channels = 2", "channels is 1 for grey or 3 for colour"),
        (
            "channels = 3\n[photographs]\nfolder = 'p'\nclass_map = 'm.toml'",
            "read in grey, and channels is 3: leave one of them out",
        ),
    ],
)
def test_colour_is_refused_where_it_is_not_read(tmp_path: Path, text: str, values: str) -> None:
    """A number of channels that no picture has, and colour beside photographs in grey, are refused."""
    with pytest.raises(DataError, match=values):
        recipe.read_recipe(write_recipe(tmp_path, text))


def test_a_setting_has_a_short_name() -> None:
    """`--set` takes a key without its table, validation as other models call it, and yes or no."""
    short = recipe.read_overrides({"batch_size": "16", "validation": "0.2", "bf16": "yes", "flip": "no"})
    assert short == {
        "settings.batch_size": 16,
        "settings.validation_share": 0.2,
        "settings.bf16": True,
        "augmentation.flip": False,
    }


def test_options_that_belong_in_the_recipe(cli: RunCli, tmp_path: Path) -> None:
    """An option that a recipe states itself is refused beside it, with where to write it."""
    done = cli("train", write_recipe(tmp_path), "--size", 56, "-o", tmp_path / "run")
    assert done.code == 2
    assert "--size cannot be given beside a recipe: write it in the recipe" in done.err


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.usefixtures("small_network")
def test_a_recipe_is_trained_with_its_settings(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From file to run folder: settings of the recipe and overrides are those of the run's record."""
    part = small()
    monkeypatch.setattr(datasets, "load", lambda _name, *_spec, **_more: part)
    text = "[settings]\nepochs = 5\nbatch_size = 16\n[mix]\nscenes = 0\n[augmentation]\nerase = 0.5\n"
    options = ("--epochs", 1, "--set", "mix.empties=0.1", "--set", "seed=3")
    done = cli("train", write_recipe(tmp_path, text), *options, "-o", tmp_path / "run")
    assert done.is_written, done.err
    settings = json.loads((tmp_path / "run" / runs.RECORD).read_text())["settings"]
    assert (settings["epochs"], settings["batch_size"], settings["seed"]) == (1, 16, 3)
    assert (settings["mix"]["scenes"], settings["mix"]["empties"]) == (0, 0.1)
    assert settings["mix"]["variation"]["erase"] == 0.5
