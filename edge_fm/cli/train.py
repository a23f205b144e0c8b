"""The command that trains: train."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_fm.cli import terminal
from edge_fm.cli.data import say_unreadable

if TYPE_CHECKING:
    from edge_fm.datasets import Dataset
    from edge_fm.models.runs import Run
    from edge_fm.training.results import Listener


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    name: Annotated[str, typer.Argument(help="A model of 'edge-fm zoo'.", show_default=False)],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to make.", show_default=False)],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="As for 'data'; a second one, photos=DIR, adds photographs to the edge family.",
            show_default="what the model was made for",
        ),
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="What the model lets you vary, such as dropout=0.3.",
            show_default="the model's own",
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most this many.", show_default="the model's own")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures a step.", show_default="the model's own")
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            min=1e-6,
            max=1,
            help="Of the edge family, at its highest; larger batches bear a larger one.",
            show_default="0.002",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Epochs without a better validation loss before it stops; 0 runs all epochs and keeps the last.",
            show_default="the model's own",
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.9, help="Share of the training part to validate on.", show_default="the model's own"
        ),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Cross-validate on this many folds of the training part first. The edge family: train a network without each fold "
            "and none on all; the folder is a --teacher that answers for no picture that it has seen.",
            show_default="none; sgd-cv: 5",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and split.")] = 0,
    balance: Annotated[
        bool, typer.Option("--balance/--no-balance", help="Let rare classes weigh as much as they are rarer.")
    ] = True,
    size: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=1024,
            help="Height and width that a folder's pictures are brought to; the edge family takes any data enlarged to a whole multiple.",
            show_default="28",
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 for grey, 3 for colour, of a folder's pictures.", show_default="1")
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Exit code 1 if the test accuracy is below.", show_default=False),
    ] = None,
    max_loss: Annotated[
        float | None,
        typer.Option(min=0, help="Exit code 1 if the test loss is above.", show_default=False),
    ] = None,
    class_map: Annotated[
        Path | None,
        typer.Option(
            "--map", help="TOML: the classes that each folder of photographs may be.", show_default=False
        ),
    ] = None,
    hold_out: Annotated[
        Path | None,
        typer.Option("--hold-out", help="JSON: the photographs kept for validation.", show_default=False),
    ] = None,
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            help="A larger model whose answers the edge family learns as well: a run folder, a folder of --folds, a .keras or .onnx file, a bundled model. "
            "Of several, the mean of their answers.",
            show_default=False,
        ),
    ] = None,
    taught: Annotated[
        float | None,
        typer.Option(
            "--teacher-share",
            min=0,
            max=1,
            help="Of the loss that is the teacher's; the rest is the right answers'.",
            show_default="0.9",
        ),
    ] = None,
    people: Annotated[
        Path | None,
        typer.Option(
            "--people",
            help="CSV: whose photograph each is, a column path and one more; --folds parts no person's.",
            show_default=False,
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers",
            help="CSV: what a model of any other kind holds the photographs to be, a column path and one for each folder of the map; "
            "it counts half of the teacher's answer to every view of them.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--start",
            help="A run folder of the same model of the edge family, its exported .onnx file, or a bundled model: begin with its weights, to go on for "
            "longer or to add photographs.",
            show_default="weights drawn from --seed",
        ),
    ] = None,
    bf16: Annotated[
        bool | None,
        typer.Option(
            "--bf16/--no-bf16",
            help="Compute the edge family's steps in bfloat16, weights staying float32: faster where the hardware "
            "computes in it, as AVX512-BF16 and GPUs do, and slower where it does not.",
            show_default="no-bf16",
        ),
    ] = None,
) -> None:
    """Train a model into a run folder; Ctrl-C keeps the best epoch so far.

    Early stopping watches a part of the training pictures, never the test set.

    The edge family is trained to the end on what is imitated of cameras; killed, the same command goes on from its last epoch.

    Example: edge-fm train cnn --data fashion-mnist -o runs/cnn

    Example: edge-fm train cnn --data my-photos/ --size 64 --channels 3 --set dropout=0.3 -o runs/mine

    Example: edge-fm train edge --data fashion-mnist --data photos=DIR --map map.toml --hold-out split.json -o runs/edge

    Example: edge-fm train edge-nano --data fashion-mnist --teacher runs/edge -o runs/nano

    Example: edge-fm train edge --teacher runs/edge --answers answers.csv --data fashion-mnist --data photos=DIR --map map.toml -o runs/better

    Example: edge-fm train edge-plus --folds 4 --data fashion-mnist -o runs/folds && edge-fm train edge --teacher runs/folds --data fashion-mnist -o runs/edge

    Example: edge-fm train edge --start fashion --epochs 10 --data fashion-mnist --data photos=MINE --map map.toml -o runs/mine

    Example: edge-fm train edge --size 56 --data fashion-mnist --data photos=MINE --map map.toml -o runs/finer

    Example: edge-fm train digits --data mnist -o runs/digits

    Example, on a GPU: KERAS_BACKEND=jax edge-fm train edge --batch-size 512 --learning-rate 0.004 --bf16 --data fashion-mnist -o runs/edge
    """
    from edge_fm.cli import lessons
    from edge_fm.cli.lessons import EdgeTrainOptions
    from edge_fm.models import edge, zoo
    from edge_fm.training.train import train as fit
    from edge_fm_runtime.errors import DataError

    given: dict[str, Any] = {
        key: value
        for key, value in (
            ("epochs", epochs),
            ("batch_size", batch_size),
            ("validation_share", validation),
            ("folds", folds),
        )
        if value is not None
    }
    taken = EdgeTrainOptions(
        class_map, hold_out, tuple(teachers or ()), taught, answers, start, people=people
    )
    architecture = zoo.find(name)
    if name in edge.WIDTHS:
        taken = replace(taken, size=size, folds=folds)
        others = {
            "patience": patience,
            "channels": channels,
            "no-balance": None if balance else True,
        }
        unused = [key for key in given if key not in {"epochs", "batch_size", "folds"}] + (options or [])
        unused += [key for key, value in others.items() if value is not None]
        if unused:
            raise DataError(f"{name} is trained by its own recipe, which knows no {', '.join(unused)}")
        changes = {
            "epochs": epochs,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "seed": seed,
            "bf16": bf16,
        }
        if folds and (min_accuracy, max_loss) != (None, None):
            raise DataError(
                "--min-accuracy and --max-loss are of one network, and --folds makes several: give one or the other"
            )
        run = lessons.train(name, data or [], taken, out, changes, _listener)
    else:
        data = data or [architecture.data]
        if len(data) != 1 or taken != EdgeTrainOptions() or (bf16, learning_rate) != (None, None):
            raise DataError(
                f"{name} trains on one --data, without --map, --hold-out, --people, --teacher, --answers, --start, --learning-rate and --bf16: "
                "the edge family takes them"
            )
        settings = replace(architecture.settings, seed=seed, balance=balance, **given)
        if patience is not None:
            settings = replace(settings, patience=patience or None)
        chosen = architecture.with_options(dict(_assignment(text) for text in options or []))
        dataset = _load(data[0], size, channels)
        with terminal.progress("training") as bar:
            run = fit(architecture, dataset, data[0], out, settings, _listener(bar, settings.epochs), chosen)
    if run is None:
        return
    _say_run(run, out)
    _examine(run, min_accuracy, max_loss)


def _assignment(text: str) -> tuple[str, str]:
    from edge_fm_runtime.errors import DataError

    name, sign, value = text.partition("=")
    if not sign:
        raise DataError(f"--set {text!r}: expected NAME=VALUE, such as dropout=0.3")
    return name.strip(), value.strip()


def _load(data: str, size: int | None, channels: int | None) -> "Dataset":
    from edge_fm import datasets
    from edge_fm_runtime.artifact.input_spec import InputSpec
    from edge_fm_runtime.errors import DataError

    if channels not in {None, 1, 3}:
        raise DataError(f"--channels {channels}: expected 1 for grey or 3 for colour")
    if (size, channels) != (None, None) and not Path(data).is_dir():
        raise DataError(
            f"{data} has a size of its own: --size and --channels are for a folder with one sub-folder per class"
        )
    spec = InputSpec(size or 28, size or 28, channels or 1) if Path(data).is_dir() else None
    dataset = datasets.load(data, spec)
    say_unreadable(dataset.unreadable)
    return dataset


def _listener(bar: terminal.Bar, epochs: int) -> "Listener":
    def listen(epoch: int, share: float, figures: dict[str, float] | None) -> None:
        bar(epoch - 1 + share, epochs, f"epoch {epoch}")
        if figures is not None:
            terminal.say(f"epoch {epoch:3d}  {_spoken(figures)}")

    return listen


def _spoken(figures: dict[str, float]) -> str:
    return "  ".join(f"{key.replace('_', ' ')} {value:.4f}" for key, value in figures.items())


def _say_run(run: "Run", out: Path) -> None:
    ending = "interrupted" if run.interrupted else f"{run.epochs} epoch{'s' if run.epochs > 1 else ''}"
    kept = f", kept epoch {run.best_epoch}" if run.best_epoch < run.epochs else ""
    terminal.say(f"{ending}{kept}, in {run.seconds:,.0f} s ({run.data})")
    for part, figures in run.scores.items():
        terminal.say(f"{part}: {_spoken(figures)}")
    terminal.say(f"run folder: {out}   next: edge-fm export {out} --int8 -o {run.architecture}.onnx")


def _examine(run: "Run", min_accuracy: float | None, max_loss: float | None) -> None:
    """Hold the trained model to what was asked of it."""
    test = run.scores["test"]
    missed = []
    if min_accuracy is not None and test["accuracy"] < min_accuracy:
        missed.append(f"accuracy {test['accuracy']:.4f} is below {min_accuracy:g}")
    if max_loss is not None and not test.get("loss", float("inf")) <= max_loss:
        missed.append(
            f"loss {test['loss']:.4f} is above {max_loss:g}" if "loss" in test else "the model has no loss"
        )
    if missed:
        terminal.note(f"the model does not pass: {', '.join(missed)}; the run folder is kept")
        raise typer.Exit(terminal.BAD_ANSWER)
