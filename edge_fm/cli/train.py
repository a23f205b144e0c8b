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
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="As for 'data'; a second one, photos=DIR, adds photographs to edge-nano, edge and edge-plus.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="The run folder to make.", show_default=False)],
    epochs: Annotated[
        int | None, typer.Option(min=1, help="At most this many.", show_default="30; edge: all of 40")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Pictures a step.", show_default="64; edge: 128")
    ] = None,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without a better validation loss.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, order and split.")] = 0,
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
) -> None:
    """Train an architecture into a run folder; Ctrl-C keeps the best epoch so far.

    Early stopping watches a tenth of the training pictures, never the test set.

    The edge family is trained to the end on what is imitated of cameras; killed, the same command goes on from its last epoch.

    Example: edge-fm train cnn --data fashion-mnist -o runs/cnn

    Example: edge-fm train edge --data fashion-mnist --data photos=DIR --map map.toml --hold-out split.json -o runs/edge
    """
    from edge_fm import datasets, edge, zoo
    from edge_fm.training import Epoch, Settings
    from edge_fm.training import train as fit
    from edge_fm_runtime.errors import DataError

    if name in edge.WIDTHS:
        _train_edge(name, data, class_map, hold_out, out, epochs, batch_size, seed)
        return
    architecture = zoo.find(name)
    if len(data) != 1 or class_map is not None or hold_out is not None:
        raise DataError(
            f"{name} trains on one --data, without --map and --hold-out: the edge family takes several"
        )
    dataset = datasets.load(data[0])
    epochs, batch_size = epochs or 30, batch_size or 64
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

        run = fit(architecture, dataset, data[0], out, settings, listen)
    ending = "interrupted" if run.interrupted else f"{run.epochs} epochs"
    terminal.say(
        f"{ending}, kept epoch {run.best_epoch}: test accuracy {run.test_accuracy:.4f} ({dataset.name})"
    )
    terminal.say(f"run folder: {out}   next: edge-fm export {out} --int8 -o {name}.onnx")


def _train_edge(
    name: str,
    data: list[str],
    class_map: Path | None,
    hold_out: Path | None,
    out: Path,
    epochs: int | None,
    batch_size: int | None,
    seed: int,
) -> None:
    """Train a member of the edge family, on photographs too if a data set is given as NAME=DIR."""
    from edge_fm import datasets, mixture, recipe
    from edge_fm_runtime.errors import DataError

    plain = [entry for entry in data if "=" not in entry]
    mapped = [entry.partition("=") for entry in data if "=" in entry]
    if len(plain) != 1 or len(mapped) > 1 or (bool(mapped) != (class_map is not None)):
        raise DataError(
            f"{name} trains on one data set in the model's classes, and on photographs as NAME=DIR with --map: "
            "--data fashion-mnist --data photos=DIR --map map.toml"
        )
    dataset = datasets.load(plain[0])
    _say_unreadable(dataset.unreadable)
    photographs = None
    if mapped and class_map is not None:
        table, _, folder = mapped[0]
        held_out = mixture.read_held_out(hold_out) if hold_out is not None else None
        mapping = mixture.read_map(class_map, table, dataset.class_names)
        photographs = mixture.read_photographs(
            Path(folder), mapping, dataset.class_names, dataset.spec.height, held_out, seed
        )
        for part in photographs:
            _say_unreadable(part.unreadable)
    usual = recipe.Settings()
    settings = recipe.Settings(epochs or usual.epochs, batch_size or usual.batch_size, seed=seed)
    with terminal.progress("training") as bar:

        def listen(epoch: int, share: float, figures: dict[str, float] | None) -> None:
            bar(epoch - 1 + share, settings.epochs, f"epoch {epoch}")
            if figures is not None:
                said = "  ".join(f"{key} {value:.4f}" for key, value in figures.items())
                terminal.say(f"epoch {epoch:3d}  {said}")

        run = recipe.train_run(name, recipe.Sources(dataset, photographs), plain[0], out, settings, listen)
    terminal.say(f"{run.epochs} epochs: test accuracy {run.test_accuracy:.4f} ({dataset.name})")
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
