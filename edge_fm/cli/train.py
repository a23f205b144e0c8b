"""Train a model into a run folder."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_fm.cli import options, terminal

if TYPE_CHECKING:
    from edge_fm.augmentation.transforms import Variation
    from edge_fm.datasets import Dataset
    from edge_fm.models.architecture import Architecture
    from edge_fm.models.runs import Run
    from edge_fm.training.edge.recipe import EdgeRecipe
    from edge_fm.training.results import Listener

_RECIPE_OPTIONS = ("--set", "--epochs", "--augment", "--flip", "--min-accuracy")
"""Options that can be given beside a recipe file; it says all else itself."""

_RECIPE_KEYS = {
    "--model": "model",
    "--size": "size",
    "--test": "test",
    "--channels": "channels",
}
"""Keys of a recipe for options that cannot be given beside it."""

_AUTO = "auto"
_AUTO_OPTIONS = ("--test", "--flip", "--max-kb", "--max-ms", "--min-accuracy")

_OF_THE_MODEL = "the model's own"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train", rich_help_panel=options.MAKE)(train)


def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="Data set, folder, .npz file or RECIPE.toml.", show_default=False
        ),
    ],
    out: Annotated[Path, options.out_option("The run folder to write.", default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Model of 'edge-fm zoo', or auto: try several and take the smallest good one.",
            show_default="auto for a folder, else cnn",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Setting of the model or the recipe, such as batch_size=16. Repeatable.",
            show_default=_OF_THE_MODEL,
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=100_000, help="Largest number of epochs.", show_default=_OF_THE_MODEL
        ),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=8,
            max=1024,
            help="Height and width of the input in pixels.",
            show_default="the data's; 28 for a folder",
        ),
    ] = None,
    channels: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="1 for grey, 3 for colour.",
            show_default="the data's; 1 for a folder",
        ),
    ] = None,
    test: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with the classes of the folder DATA to test on; all of DATA is trained on.",
            show_default="a fifth of DATA, or its own test part",
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="camera: vary pictures as a camera does. none: as they are.",
            show_default="camera for a folder and the edge family",
        ),
    ] = None,
    flip: Annotated[
        bool | None,
        typer.Option(
            "--flip/--no-flip",
            help="Whether pictures may be mirrored left to right as they are varied.",
            show_default="flip; not for digits",
        ),
    ] = None,
    max_kb: Annotated[
        float | None,
        typer.Option(
            "--max-kb",
            metavar="KB",
            min=1,
            callback=options.finite,
            help="Largest int8 file that auto takes, in kB.",
            show_default="4000",
        ),
    ] = None,
    max_ms: Annotated[
        float | None,
        typer.Option(
            "--max-ms",
            metavar="MS",
            min=0.001,
            callback=options.finite,
            help="Longest time for one picture that auto takes, on one thread of this machine.",
            show_default="10",
        ),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            callback=options.finite,
            help="Exit with code 1 below this test accuracy.",
        ),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Train anew if the run folder holds files: move it to PATH.1 first."),
    ] = False,
) -> None:
    """Train a model into a run folder; Ctrl-C keeps what was learnt.

    DATA is a folder with one sub-folder of pictures per class, fashion-mnist, mnist, wardrobe, an .npz file,
    or a recipe file that holds every setting of a model of the edge family.

    For a folder, --model auto tries several models by cross-validation, and trains the smallest that is as
    good as the best.

    Nothing is chosen on the test part. Ctrl-C keeps the best epoch; a model of the edge family resumes with
    the same command instead. A run folder that holds files is not overwritten without --fresh.

    'edge-fm zoo NAME' lists the options and settings that a model takes, with their defaults.

    Exit code 1 if the accuracy is no more than chance, or the model never answers a class; the run is kept.

    Example: edge-fm train my-photos/ -o runs/mine
    Example: edge-fm train fashion-mnist --model cnn -o runs/cnn
    Example: edge-fm train my-photos/ --model edge --size 64 --channels 3 -o runs/edge
    Example: edge-fm train fashion-mnist --model edge --set init_from=fashion -o runs/edge
    Example: edge-fm train fashion.toml -o runs/fashion
    """
    from edge_fm.training.edge.recipe import find_recipe
    from edge_fm_runtime.errors import DataError

    given: dict[str, Any] = {
        "--model": model,
        "--set": settings,
        "--epochs": epochs,
        "--augment": augment,
        "--flip": flip,
        "--size": size,
        "--channels": channels,
        "--test": test,
        "--max-kb": max_kb,
        "--max-ms": max_ms,
        "--min-accuracy": min_accuracy,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if augment not in {None, "camera", "none"}:
        raise DataError(f"--augment {augment}: expected camera or none")
    _check_data_comes_first(data, out)
    recipe = find_recipe(data) if data.endswith(".toml") else None
    if data.endswith(".toml"):
        chosen = _read_recipe(data, recipe, given)
        if chosen.folds and min_accuracy is not None:
            raise DataError("--min-accuracy is for one network, and [folds] trains several: leave it out")
        run = _train_recipe(chosen, out, fresh=fresh)
    elif given.setdefault("--model", _AUTO if Path(data).is_dir() else "cnn") == _AUTO:
        run = _train_chosen(data, out, given, fresh=fresh)
    else:
        run = _train_model(data, out, given, fresh=fresh)
    if run is not None:
        _print_run(run, out)
        _check_result(run, out, min_accuracy)


def _check_data_comes_first(data: str, out: Path) -> None:
    """Refuse the name of a model where the data is expected."""
    from edge_fm.models import zoo
    from edge_fm_runtime.errors import DataError

    if data in zoo.ARCHITECTURES and not Path(data).exists():
        architecture = zoo.ARCHITECTURES[data]
        name = architecture.data.split(" ")[0]
        raise DataError(f"train takes the data first: edge-fm train {name} --model {data} -o {out}")


def _check_apart(out: Path, data: str, test: Path | None) -> None:
    """Refuse a run folder among the pictures, where it would be a class, or around them."""
    from edge_fm_runtime.errors import OutputError

    run = out.resolve()
    for folder in (Path(data).resolve(), *([test.resolve()] if test is not None else [])):
        if folder.is_dir() and (run.is_relative_to(folder) or folder.is_relative_to(run)):
            raise OutputError(
                f"the run folder {out} and the pictures {folder} lie in each other: give another -o"
            )


def _read_recipe(data: str, path: Path | None, given: dict[str, Any]) -> "EdgeRecipe":
    from edge_fm.training.edge import recipe
    from edge_fm_runtime.errors import DataError

    if path is None:
        bundled = ", ".join(sorted(file.name for file in recipe.RECIPES.glob("*.toml")))
        raise DataError(f"there is no recipe {data}: give a file that exists, or one of {bundled}")
    for option in sorted(given.keys() - set(_RECIPE_OPTIONS)):
        if option not in _RECIPE_KEYS:
            raise DataError(f"a model that is trained from a recipe takes no {option}: leave it out")
        raise DataError(
            f"{option} cannot be given beside a recipe: write it in the recipe, or as "
            f"--set {_RECIPE_KEYS[option]}={given[option]}"
        )
    return recipe.read_recipe(path, _overrides(given))


def _train_chosen(data: str, out: Path, given: dict[str, Any], *, fresh: bool) -> "Run | None":
    """Choose a model for a folder, and train it."""
    from edge_fm import datasets
    from edge_fm.models import runs
    from edge_fm.training.auto import candidates
    from edge_fm.training.auto.choose import choose
    from edge_fm.training.transfer import feature_cache
    from edge_fm_runtime.errors import DataError

    refused = sorted(given.keys() - {*_AUTO_OPTIONS, "--model"})
    if refused:
        raise DataError(
            f"--model auto takes no {', '.join(refused)}, which it chooses itself: leave that out, or give --model edge"
        )
    if not Path(data).is_dir():
        raise DataError(
            f"--model auto is for a folder of pictures, and {data} is none: give a model, such as cnn"
        )
    _check_apart(out, data, given.get("--test"))
    if not fresh:
        runs.check_free(out)  # before the pictures are read
    usual = candidates.Budget()
    budget = candidates.Budget(
        kilobytes=given.pop("--max-kb", usual.kilobytes),
        milliseconds=given.pop("--max-ms", usual.milliseconds),
    )
    opened = datasets.open_data(data, test=given.get("--test"))
    with terminal.progress("trying models") as bar:
        choice = choose(opened, budget, feature_cache.default_folder(), bar, flip=given.get("--flip"))
    terminal.print_table(candidates.COLUMNS, [trial.cells() for trial in choice.trials])
    chosen = choice.trial.candidate
    terminal.print_line(f"taken: {chosen}: {choice.reason}")
    given["--model"] = chosen.model
    if chosen.is_edge:
        given |= {"--size": chosen.size, "--channels": chosen.channels, "--flip": choice.trial.flip}
    elif chosen.model == candidates.WHOLE:
        given["--size"] = chosen.size
    run = _train_model(data, out, given, fresh=fresh)
    if run is not None:
        candidates.write(out / candidates.RECORD, choice.trials)
        run = choice.recorded(run)
        run.save(out)
    return run


def _train_model(data: str, out: Path, given: dict[str, Any], *, fresh: bool) -> "Run | None":
    from edge_fm.models import edge, zoo
    from edge_fm.models.architecture import Framework
    from edge_fm_runtime.errors import DataError

    architecture = zoo.find(given["--model"])
    taken = architecture.train_options
    refused = sorted(given.keys() - {*taken, "--model"})
    if refused:
        raise DataError(f"{architecture.name} takes no {', '.join(refused)}; it takes {', '.join(taken)}")
    if architecture.framework is Framework.TRANSFER:
        return _train_transfer(architecture, data, out, given, fresh=fresh)
    if architecture.name not in edge.WIDTHS:
        return _train_zoo_model(architecture, data, out, given, fresh=fresh)
    from edge_fm.training.edge import recipe

    values: dict[str, Any] = {"model": architecture.name, "data": data}
    values |= {key: given[f"--{key}"] for key in ("size", "channels") if f"--{key}" in given}
    if "--test" in given:
        values["test"] = str(given["--test"])
    overrides = _overrides(given)
    for key in ("model", "data"):
        if key in overrides:
            raise DataError(f"--set {key}={overrides[key]}: give it as edge-fm train DATA --model NAME")
    chosen = recipe.build_recipe(values | recipe.read_overrides(overrides))
    if chosen.folds and "--min-accuracy" in given:
        raise DataError("--min-accuracy is for one network, and [folds] trains several: leave it out")
    return _train_recipe(chosen, out, fresh=fresh)


def _overrides(given: dict[str, Any]) -> dict[str, str]:
    """Return options as values of a recipe."""
    overrides = dict(_assignment(text) for text in given.get("--set", ()))
    if "--epochs" in given:
        overrides["settings.epochs"] = str(given["--epochs"])
    if "--flip" in given:
        overrides["augmentation.flip"] = "yes" if given["--flip"] else "no"
    if "--augment" in given:
        overrides["augmentation.camera"] = "yes" if given["--augment"] == "camera" else "no"
    if given.get("--augment") == "none":
        overrides |= {"mix.scenes": "0", "mix.drawn": "0"}
    return overrides


def _train_zoo_model(
    architecture: "Architecture", data: str, out: Path, given: dict[str, Any], *, fresh: bool
) -> "Run":
    from edge_fm.models import runs
    from edge_fm.training.train import TrainRequest, fit_settings
    from edge_fm.training.train import train as fit

    chosen = architecture.parse(dict(_assignment(text) for text in given.get("--set", ())))
    settings = chosen.training
    if "--epochs" in given:
        settings = replace(settings, epochs=given["--epochs"])
    _check_apart(out, data, given.get("--test"))
    if not fresh:
        runs.check_free(out)  # before the pictures are read
    request = TrainRequest(
        architecture=architecture,
        dataset=_load_data(data, given),
        data_name=data,
        settings=settings,
        options=chosen.options,
        test=given.get("--test"),
        init_from=chosen.init_from,
        augment=_variation(architecture, data, given),
    )
    request = fit_settings(request, chosen.names | ({"epochs"} if "--epochs" in given else set()))
    with terminal.progress("training") as bar:
        return fit(request, out, _listener(bar, request.settings.epochs), fresh=fresh)


def _variation(architecture: "Architecture", data: str, given: dict[str, Any]) -> "Variation | None":
    """Return the limits of the augmentation: by default of the pictures of a folder, and of no data set."""
    from edge_fm.augmentation.transforms import Variation
    from edge_fm.models.architecture import Framework

    default = "camera" if Path(data).is_dir() and architecture.framework is Framework.KERAS else "none"
    if given.get("--augment", default) == "none":
        return None
    return Variation(flip=given.get("--flip", True))


def _train_transfer(
    architecture: "Architecture", data: str, out: Path, given: dict[str, Any], *, fresh: bool
) -> "Run":
    from edge_fm import datasets
    from edge_fm.models import backbones, runs
    from edge_fm.training.transfer import feature_cache
    from edge_fm.training.transfer.train import TransferRequest
    from edge_fm.training.transfer.train import train as fit

    backbone = backbones.load(architecture.name, given.get("--size"))
    _check_apart(out, data, given.get("--test"))
    if not fresh:
        runs.check_free(out)  # before the pictures are read
    dataset = datasets.load(data, backbone.spec, test=given.get("--test"))
    datasets.require_shape(dataset, backbone.spec)
    terminal.print_folder_notes(dataset)
    request = TransferRequest(
        architecture=architecture,
        backbone=backbone,
        dataset=dataset,
        data_name=data,
        test=given.get("--test"),
        flip=given.get("--flip"),
        cache=feature_cache.default_folder(),
    )
    with terminal.progress("features") as bar:
        return fit(request, out, bar, fresh=fresh)


def _load_data(data: str, given: dict[str, Any]) -> "Dataset":
    from edge_fm import datasets
    from edge_fm_runtime.artifact.input_spec import InputSpec
    from edge_fm_runtime.errors import DataError

    size, channels = given.get("--size"), given.get("--channels")
    if channels not in {None, 1, 3}:
        raise DataError(f"--channels {channels}: expected 1 for grey or 3 for colour")
    is_folder = Path(data).is_dir()
    if (size, channels) != (None, None) and not is_folder:
        raise DataError(
            f"{data} has a size of its own: --size and --channels are for a folder with one sub-folder per class"
        )
    spec = InputSpec(size or 28, size or 28, channels or 1) if is_folder else None
    dataset = datasets.load(data, spec, test=given.get("--test"))
    terminal.print_folder_notes(dataset)
    return dataset


def _train_recipe(recipe: "EdgeRecipe", out: Path, *, fresh: bool) -> "Run | None":
    """Train as a recipe says; with folds there is no run of the whole, and the folder is a teacher."""
    from edge_fm.training.edge import recipe_run
    from edge_fm_exporters.evidence import findings

    _check_apart(out, recipe.data, recipe.test)
    if not fresh:
        recipe_run.check_folder(recipe, out)  # before the pictures are read
    sources = recipe_run.open_sources(recipe)
    terminal.print_folder_notes(sources.data)
    for part in sources.photographs or ():
        terminal.print_unreadable(part.unreadable)
    recipe = recipe_run.fit_settings(recipe, sources)
    epochs, count = recipe.settings.epochs, recipe.folds
    with terminal.progress("training") as bar:
        if count is None:
            return recipe_run.train_one(recipe, sources, out, _listener(bar, epochs), fresh=fresh)

        def listener_of(fold: int) -> "Listener":
            terminal.print_line(f"without fold {fold + 1} of {count}")
            return _listener(bar, epochs)

        scores = recipe_run.train_folds(recipe, sources, out, listener_of, fresh=fresh)
    for fold, score in enumerate(scores, 1):
        photographs = f", photographs {score.photographs:.4f}" if score.photographs is not None else ""
        terminal.print_line(f"fold {fold}, out of fold: accuracy {score.product_images:.4f}{photographs}")
    measured = findings.pooled([score.measured for score in scores])
    terminal.print_line(measured.as_cross_validation(len(scores)))
    terminal.print_line(f'folds: {out}   next: write teachers = ["{out}"] under [distillation] of a recipe')
    return None


def _assignment(text: str) -> tuple[str, str]:
    from edge_fm_runtime.errors import DataError

    name, sign, value = text.partition("=")
    if not sign:
        raise DataError(f"--set {text!r}: expected NAME=VALUE, such as batch_size=16")
    return name.strip(), value.strip()


def _listener(bar: terminal.Bar, epochs: int) -> "Listener":
    def listen(epoch: int, share: float, figures: dict[str, float] | None) -> None:
        bar(epoch - 1 + share, epochs, f"epoch {epoch}")
        if figures is not None:
            terminal.print_line(f"epoch {epoch:3d}  {_format_figures(figures)}")

    return listen


def _format_figures(figures: dict[str, float]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())


def _print_run(run: "Run", out: Path) -> None:
    from edge_fm.models import runs

    ending = "interrupted" if run.interrupted else f"{run.epochs} epoch{'s' if run.epochs > 1 else ''}"
    kept = f", kept epoch {run.best_epoch}" if run.best_epoch < run.epochs else ""
    terminal.print_line(f"{ending}{kept}, in {run.seconds:,.0f} s ({run.data})")
    for part, figures in run.scores.items():
        terminal.print_line(_format_part(run, part, figures))
    following = f"edge-fm export {out} --int8 -o {out.resolve().name}.onnx"
    if runs.is_finished(out / run.model):
        following = f"edge-fm label FOLDER --model {out / run.model} -o labels.csv"
    has_failed = any(finding.is_failure for finding in run.findings)
    terminal.print_line(f"run folder: {out}{'' if has_failed else f'   next: {following}'}")


def _format_part(run: "Run", part: str, figures: dict[str, float]) -> str:
    measured = run.measured.get(part)
    if measured is None:
        return f"{part}: {_format_figures(figures)}"
    others = {name: value for name, value in figures.items() if name != "accuracy"}
    if part == "folds":
        return f"{measured.as_cross_validation(len(others))}  each: {_format_figures(others)}"
    return f"{part}: accuracy {measured}  {_format_figures(others)}".rstrip()


def _check_result(run: "Run", out: Path, min_accuracy: float | None) -> None:
    """Note what is doubtful, and end with exit code 1 where the model is of no use."""
    has_failed = terminal.print_findings(run.findings)
    if min_accuracy is not None and run.test_accuracy < min_accuracy:
        terminal.print_note(f"test accuracy {run.test_accuracy:.4f} is below --min-accuracy {min_accuracy:g}")
        has_failed = True
    if has_failed:
        terminal.print_note(f"the run folder {out} is kept")
        raise typer.Exit(terminal.BAD_RESULT)
