"""Commands about data and training: data, zoo, train, evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from edge_fm.cli import terminal

Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="fashion-mnist, mnist, wardrobe, a folder with one sub-folder per class, or an .npz file.",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("data")(show_data)
    app.command("zoo")(show_zoo)
    app.command("train")(train)
    app.command("evaluate")(evaluate)


def show_data(
    data: Annotated[str, typer.Argument(help="Name, folder or .npz file.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Where the strip of samples goes.", show_default="NAME-samples.png"),
    ] = None,
) -> None:
    """Show a data set: shapes, pictures per class, and a strip of samples.

    Example: edge-fm data wardrobe
    """
    import numpy as np

    from edge_fm import contact_sheet, datasets

    dataset = datasets.load(data)
    counts = [
        np.bincount(split.labels, minlength=len(dataset.class_names))
        for split in (dataset.train, dataset.test)
    ]
    rows = [[name, f"{counts[0][i]:,}", f"{counts[1][i]:,}"] for i, name in enumerate(dataset.class_names)]
    rows.append(["all", f"{len(dataset.train):,}", f"{len(dataset.test):,}"])
    height, width, channels = dataset.spec.shape
    terminal.table(
        ["class", "train ", "test "], rows, f"{dataset.name}: {height} x {width} x {channels} uint8"
    )
    terminal.say(f"licence: {dataset.licence}")
    _say_unreadable(dataset.unreadable)
    path = out or Path(f"{dataset.name}-samples.png")
    contact_sheet.write_strip(path, dataset)
    terminal.say(f"samples: {path}")


def show_zoo() -> None:
    """List the architectures that can be trained by name.

    Example: edge-fm zoo
    """
    from edge_fm.zoo import ARCHITECTURES

    rows = [[a.name, f"{a.parameters:,}", a.data, a.reference, a.summary] for a in ARCHITECTURES.values()]
    terminal.table(["name", "parameters ", "data", "to reach", "layers"], rows)


def train(
    name: Annotated[str, typer.Argument(help="An architecture of 'edge-fm zoo'.", show_default=False)],
    data: Data,
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to make.", show_default=False)],
    epochs: Annotated[int, typer.Option(min=1, help="At most this many.")] = 30,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures a step.")] = 64,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without a better validation loss.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and split.")] = 0,
) -> None:
    """Train an architecture into a run folder; Ctrl-C keeps the best epoch so far.

    Early stopping watches a tenth of the training pictures, never the test set.

    Example: edge-fm train cnn --data fashion-mnist -o runs/cnn
    """
    from edge_fm import datasets, zoo
    from edge_fm.training import Epoch, Settings
    from edge_fm.training import train as fit

    architecture = zoo.find(name)
    dataset = datasets.load(data)
    _say_unreadable(dataset.unreadable)
    settings = Settings(epochs, batch_size, patience, seed=seed)
    with terminal.progress("training") as bar:

        def listen(epoch: int, share: float, done: Epoch | None) -> None:
            bar(epoch - 1 + share, epochs, f"epoch {epoch}")
            if done is not None:
                terminal.say(
                    f"epoch {done.number:3d}  loss {done.loss:.4f}  accuracy {done.accuracy:.4f}  "
                    f"validation loss {done.validation_loss:.4f}  accuracy {done.validation_accuracy:.4f}"
                )

        run = fit(architecture, dataset, data, out, settings, listen)
    ending = "interrupted" if run.interrupted else f"{run.epochs} epochs"
    terminal.say(
        f"{ending}, kept epoch {run.best_epoch}: test accuracy {run.test_accuracy:.4f} ({dataset.name})"
    )
    terminal.say(f"run folder: {out}   next: edge-fm export {out} --int8 -o {name}.onnx")


def evaluate(
    model: Annotated[
        str, typer.Argument(help="A bundled model's name or an .onnx file.", show_default=False)
    ],
    data: Data,
) -> None:
    """Measure an exported model on a data set's test part.

    Example: edge-fm evaluate fashion --data fashion-mnist
    """
    from edge_fm import datasets
    from edge_fm.evaluation import evaluate as measure
    from edge_fm_runtime.classifier import Classifier

    scores = measure(Classifier.load(model), datasets.load(data))
    rows = [
        [score.name, f"{score.precision:.4f}", f"{score.recall:.4f}", f"{score.f1:.4f}", f"{score.images:,}"]
        for score in scores.classes
    ]
    terminal.table(["class", "precision ", "recall ", "F1 ", "images "], rows, f"{model} on {data} (test)")
    terminal.say(f"accuracy {scores.accuracy:.4f}   loss {scores.loss:.4f}")


def _say_unreadable(unreadable: tuple[tuple[str, str], ...]) -> None:
    if unreadable:
        terminal.note(f"{len(unreadable)} files were left out:")
        for path, reason in unreadable:
            terminal.note(f"  {path!r}: {reason}")
