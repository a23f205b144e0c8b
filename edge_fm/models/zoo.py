"""Architectures by name, with the figures that those who described them reached.

Each is plain Keras or plain scikit-learn on pixels in [0, 1], the way the tutorials write it, so that what is exported
here is what a user's own file looks like.
"""

from difflib import get_close_matches
from functools import partial
from typing import Any

from edge_fm.models import edge, linear, tutorials
from edge_fm.models.architecture import Architecture, Build, Framework, Reference, Variant
from edge_fm.models.settings import Options, TrainSettings
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError


def _stopped(value: float, runs: int = 1) -> Reference:
    """Return a figure of a source that stopped its training on the test set itself."""
    return Reference(value, runs=runs, slack=0.003 if runs > 1 else 0.01)


def _keras(
    name: str,
    summary: str,
    parameters: int,
    build: Any,  # noqa: ANN401  # a function of `networks`, all but its last three arguments
    settings: TrainSettings,
    *variants: Variant,
    data: str = "fashion-mnist",
    dropout: float | None = None,
    metrics: tuple[str, ...] = (),
) -> Architecture:
    options = {} if dropout is None else {"dropout": dropout}
    return Architecture(
        name, summary, data, parameters, Framework.KERAS, build, settings, options, metrics, variants
    )


def _sklearn(
    name: str,
    summary: str,
    build: Build,
    options: Options,
    settings: TrainSettings,
    *references: Reference,
    data: str = "fashion-mnist",
    parameters: int = 7_850,
) -> Architecture:
    return Architecture(
        name,
        summary,
        data,
        parameters,
        Framework.SKLEARN,
        build,
        settings,
        options,
        variants=(Variant(references),),
    )


_WHOLE = TrainSettings(epochs=1, patience=None, validation_share=0)
"""For models that are fitted at once."""

_LISTED = (
    _sklearn(
        "logreg",
        "logistic regression on the pixels",
        linear.logistic_regression,
        {"C": 1.0, "max_iter": 100},
        _WHOLE,
        Reference(0.841),
    ),
    _sklearn(
        "sgd",
        "standardised pixels, logistic regression by stochastic gradient descent",
        linear.standardised_sgd,
        {"alpha": 1e-4},
        TrainSettings(epochs=300, patience=None, validation_share=0),
        Reference(0.827),
    ),
    _sklearn(
        "sgd-cv",
        "logistic regression by stochastic gradient descent, five passes",
        linear.sgd,
        {"alpha": 1e-4, "max_iter": 5, "average": 1},
        TrainSettings(epochs=1, patience=None, validation_share=0, folds=5),
        Reference(0.819, part="folds"),
    ),
    _keras(
        "ann",
        "softmax",
        7_850,
        partial(tutorials.dense, "ann", (), "linear"),
        TrainSettings(epochs=50, batch_size=32, patience=5, validation_share=0.2),
        Variant((Reference(0.853, part="validation"),)),
    ),
    _keras(
        "dnn-sigmoid",
        "Dense 100 sigmoid, softmax",
        79_510,
        partial(tutorials.dense, "dnn-sigmoid", (100,), "sigmoid"),
        TrainSettings(epochs=10, batch_size=32, patience=None, validation_share=0.2),
        Variant(),
    ),
    _keras(
        "mlp-128",
        "Dense 128, softmax",
        101_770,
        partial(tutorials.dense, "mlp-128", (128,), "relu"),
        TrainSettings(epochs=50, patience=5),
        Variant(
            (Reference(0.872, runs=2),),
            settings={"epochs": 5, "patience": None},
        ),
        Variant((_stopped(0.8885, runs=5),)),
    ),
    _keras(
        "mlp-256-64",
        "Dense 256, Dense 64, softmax",
        218_058,
        partial(tutorials.dense, "mlp-256-64", (256, 64), "relu"),
        TrainSettings(epochs=30, batch_size=128, patience=None),
        Variant((Reference(0.8896),)),
    ),
    _keras(
        "mlp-dropout",
        "Dense 256, Dropout, Dense 128, Dropout, softmax",
        235_146,
        partial(tutorials.dense, "mlp-dropout", (256, 128), "relu"),
        TrainSettings(epochs=50, patience=5),
        Variant((_stopped(0.8831, runs=5),)),
        dropout=0.2,
    ),
    _keras(
        "cnn",
        "Conv 32, MaxPool, Conv 64, MaxPool, Dense 100, Dropout, softmax",
        333_526,
        partial(tutorials.two_convolutions, "cnn", 100),
        TrainSettings(),
        Variant(
            (
                Reference(0.9193, part="validation"),
                Reference(0.222, "loss", "validation"),
                Reference(0.912),
            )
        ),
        dropout=0.4,
    ),
    _keras(
        "cnn-strided-wide",
        "Conv 32 / 2, Conv 64 / 2, MaxPool, Dense 1024, Dropout, Dense 256, Dropout, softmax",
        874_634,
        partial(tutorials.strided, "cnn-strided-wide", (1024, 256)),
        TrainSettings(epochs=50, patience=5),
        Variant((_stopped(0.9026, runs=5),)),
        dropout=0.2,
    ),
    _keras(
        "cnn-strided",
        "Conv 32 / 2, Conv 64 / 2, MaxPool, Dense 128, Dropout, softmax",
        93_962,
        partial(tutorials.strided, "cnn-strided", (128,)),
        TrainSettings(epochs=50, patience=5),
        Variant((_stopped(0.9054, runs=5),)),
        Variant((_stopped(0.9028, runs=5),), options={"dropout": 0}),
        dropout=0.2,
    ),
    _keras(
        "cnn-dropout",
        "Conv 32, MaxPool, Conv 64, MaxPool, Dense 128, Dropout, softmax",
        421_642,
        partial(tutorials.two_convolutions, "cnn-dropout", 128),
        TrainSettings(),
        Variant((_stopped(0.915, runs=2),)),
        dropout=0.3,
    ),
    _keras(
        "cnn-light",
        "Conv 10, MaxPool, Dropout, Dense 100, softmax",
        197_210,
        partial(tutorials.light, "cnn-light"),
        TrainSettings(epochs=50, patience=5),
        Variant((_stopped(0.9160, runs=4),)),
        dropout=0.5,
    ),
    _keras(
        "mnist-mlp",
        "Dense 300, Dense 100, softmax",
        266_610,
        partial(tutorials.dense, "mnist-mlp", (300, 100), "relu"),
        TrainSettings(epochs=20, patience=None),
        Variant((Reference(0.98), Reference(0.98, "precision"), Reference(0.97, "recall"))),
        data="mnist",
        metrics=("precision", "recall"),
    ),
    _sklearn(
        "ovr",
        "a linear classifier for each class against the rest",
        linear.one_versus_rest,
        {"alpha": 1e-4, "max_iter": 20},
        _WHOLE,
        data="mnist",
    ),
    _sklearn(
        "ovo",
        "a linear classifier for each pair of classes, by votes",
        linear.one_versus_one,
        {"alpha": 1e-4, "max_iter": 20},
        _WHOLE,
        data="mnist",
        parameters=35_325,
    ),
)


def _edge(name: str, shape: tuple[int, int, int], classes: int, _options: Options) -> tutorials.KerasModel:
    return edge.build(edge.WIDTHS[name], InputSpec(*shape), classes, name)


def _blocks(count: int, channels: int) -> str:
    return f"{count} x residual {channels}" if count > 1 else f"residual {channels}"


def _parts(width: edge.Width) -> list[str]:
    full = [_blocks(width.full_blocks, width.stem)] if width.full_blocks else []
    others = [_blocks(width.middle_blocks, width.middle), _blocks(width.top_blocks, width.top)]
    return [f"Conv {width.stem}", *full, "MaxPool", *others, "a weight for each place", "softmax"]


_EDGE = tuple(
    Architecture(
        name,
        ", ".join(_parts(width)),
        "mnist and drawn digits" if name.startswith("digits") else "fashion-mnist and photographs",
        parameters,
        Framework.KERAS,
        partial(_edge, name),
        variants=(),
    )
    for (name, width), parameters in zip(
        edge.WIDTHS.items(),
        (29_798, 98_178, 295_166, 2_154_890, 49_866, 135_154),
        strict=True,
    )
)
"""Trained by `recipe.py`, measured by `benchmarks/models.py`."""

ARCHITECTURES = {architecture.name: architecture for architecture in (*_LISTED, *_EDGE)}


def find(name: str) -> Architecture:
    """Return an architecture.

    Raises:
        DataError: there is none of that name; the message names the nearest.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = get_close_matches(name, ARCHITECTURES, n=3) or list(ARCHITECTURES)
    raise DataError(
        f"there is no model {name!r}: did you mean {', '.join(near)}? 'edge-fm zoo' lists them all"
    )
