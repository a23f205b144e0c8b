"""Architectures by name, with the figures that their sources published.

Each is plain Keras or scikit-learn on pixels in [0, 1], as the tutorials write it, so that its exported file
is like one that a user makes.
"""

from difflib import get_close_matches
from functools import partial

from edge_fm.models import backbones, edge, linear, tutorials
from edge_fm.models.architecture import Architecture, Framework, Reference, Variant
from edge_fm.models.settings import Options, TrainSettings
from edge_fm_runtime.artifact.input_spec import InputSpec
from edge_fm_runtime.errors import DataError


def _stopped_on_test(value: float, runs: int = 1) -> Reference:
    """Return a figure of a source that used the test set for early stopping."""
    return Reference(value, runs=runs, slack=0.003 if runs > 1 else 0.01)


_WHOLE = TrainSettings(epochs=1, patience=None, validation_share=0)
"""Settings of models that fit in a single call."""

_TUTORIALS = (
    Architecture(
        name="logreg",
        summary="logistic regression on the pixels",
        parameters=7_850,
        framework=Framework.SKLEARN,
        build=linear.logistic_regression,
        settings=_WHOLE,
        options={"C": 1.0, "max_iter": 100},
        variants=(Variant((Reference(0.841),)),),
    ),
    Architecture(
        name="sgd",
        summary="standardised pixels, logistic regression by stochastic gradient descent",
        parameters=7_850,
        framework=Framework.SKLEARN,
        build=linear.standardised_sgd,
        settings=TrainSettings(epochs=300, patience=None, validation_share=0),
        options={"alpha": 1e-4},
        variants=(Variant((Reference(0.827),)),),
    ),
    Architecture(
        name="sgd-cv",
        summary="logistic regression by stochastic gradient descent, five passes",
        parameters=7_850,
        framework=Framework.SKLEARN,
        build=linear.sgd,
        settings=TrainSettings(epochs=1, patience=None, validation_share=0, folds=5),
        options={"alpha": 1e-4, "max_iter": 5, "average": 1},
        variants=(Variant((Reference(0.819, part="folds"),)),),
    ),
    Architecture(
        name="ann",
        summary="softmax",
        parameters=7_850,
        build=partial(tutorials.dense, "ann", tutorials.DenseLayers((), "linear")),
        settings=TrainSettings(epochs=50, batch_size=32, patience=5, validation_share=0.2),
        variants=(Variant((Reference(0.853, part="validation"),)),),
    ),
    Architecture(
        name="dnn-sigmoid",
        summary="Dense 100 sigmoid, softmax",
        parameters=79_510,
        build=partial(tutorials.dense, "dnn-sigmoid", tutorials.DenseLayers((100,), "sigmoid")),
        settings=TrainSettings(epochs=10, batch_size=32, patience=None, validation_share=0.2),
    ),
    Architecture(
        name="mlp-128",
        summary="Dense 128, softmax",
        parameters=101_770,
        build=partial(tutorials.dense, "mlp-128", tutorials.DenseLayers((128,))),
        settings=TrainSettings(epochs=50, patience=5),
        variants=(
            Variant(
                (Reference(0.872, runs=2),),
                settings={"epochs": 5, "patience": None},
            ),
            Variant((_stopped_on_test(0.8885, runs=5),)),
        ),
    ),
    Architecture(
        name="mlp-256-64",
        summary="Dense 256, Dense 64, softmax",
        parameters=218_058,
        build=partial(tutorials.dense, "mlp-256-64", tutorials.DenseLayers((256, 64))),
        settings=TrainSettings(epochs=30, batch_size=128, patience=None),
        variants=(Variant((Reference(0.8896),)),),
    ),
    Architecture(
        name="mlp-dropout",
        summary="Dense 256, Dropout, Dense 128, Dropout, softmax",
        parameters=235_146,
        build=partial(tutorials.dense, "mlp-dropout", tutorials.DenseLayers((256, 128))),
        settings=TrainSettings(epochs=50, patience=5),
        options={"dropout": 0.2},
        variants=(Variant((_stopped_on_test(0.8831, runs=5),)),),
    ),
    Architecture(
        name="cnn",
        summary="Conv 32, MaxPool, Conv 64, MaxPool, Dense 100, Dropout, softmax",
        parameters=333_526,
        build=partial(tutorials.two_convolutions, "cnn", 100),
        options={"dropout": 0.4},
        variants=(
            Variant(
                (
                    Reference(0.9193, part="validation"),
                    Reference(0.222, "loss", "validation"),
                    Reference(0.912),
                )
            ),
        ),
    ),
    Architecture(
        name="cnn-strided-wide",
        summary="Conv 32 / 2, Conv 64 / 2, MaxPool, Dense 1024, Dropout, Dense 256, Dropout, softmax",
        parameters=874_634,
        build=partial(tutorials.strided, "cnn-strided-wide", (1024, 256)),
        settings=TrainSettings(epochs=50, patience=5),
        options={"dropout": 0.2},
        variants=(Variant((_stopped_on_test(0.9026, runs=5),)),),
    ),
    Architecture(
        name="cnn-strided",
        summary="Conv 32 / 2, Conv 64 / 2, MaxPool, Dense 128, Dropout, softmax",
        parameters=93_962,
        build=partial(tutorials.strided, "cnn-strided", (128,)),
        settings=TrainSettings(epochs=50, patience=5),
        options={"dropout": 0.2},
        variants=(
            Variant((_stopped_on_test(0.9054, runs=5),)),
            Variant((_stopped_on_test(0.9028, runs=5),), options={"dropout": 0}),
        ),
    ),
    Architecture(
        name="cnn-dropout",
        summary="Conv 32, MaxPool, Conv 64, MaxPool, Dense 128, Dropout, softmax",
        parameters=421_642,
        build=partial(tutorials.two_convolutions, "cnn-dropout", 128),
        options={"dropout": 0.3},
        variants=(Variant((_stopped_on_test(0.915, runs=2),)),),
    ),
    Architecture(
        name="cnn-light",
        summary="Conv 10, MaxPool, Dropout, Dense 100, softmax",
        parameters=197_210,
        build=partial(tutorials.light, "cnn-light"),
        settings=TrainSettings(epochs=50, patience=5),
        options={"dropout": 0.5},
        variants=(Variant((_stopped_on_test(0.9160, runs=4),)),),
    ),
    Architecture(
        name="mnist-mlp",
        summary="Dense 300, Dense 100, softmax",
        data="mnist",
        parameters=266_610,
        build=partial(tutorials.dense, "mnist-mlp", tutorials.DenseLayers((300, 100))),
        settings=TrainSettings(epochs=20, patience=None),
        metrics=("precision", "recall"),
        variants=(Variant((Reference(0.98), Reference(0.98, "precision"), Reference(0.97, "recall"))),),
    ),
    Architecture(
        name="ovr",
        summary="a linear classifier for each class against the rest",
        data="mnist",
        parameters=7_850,
        framework=Framework.SKLEARN,
        build=linear.one_versus_rest,
        settings=_WHOLE,
        options={"alpha": 1e-4, "max_iter": 20},
    ),
    Architecture(
        name="ovo",
        summary="a linear classifier for each pair of classes, by votes",
        data="mnist",
        parameters=35_325,
        framework=Framework.SKLEARN,
        build=linear.one_versus_one,
        settings=_WHOLE,
        options={"alpha": 1e-4, "max_iter": 20},
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
        name=name,
        summary=", ".join(_parts(width)),
        data="mnist and drawn digits" if name.startswith("digits") else "fashion-mnist and photographs",
        parameters=parameters,
        build=partial(_edge, name),
        variants=(),
    )
    for (name, width), parameters in zip(
        edge.WIDTHS.items(),
        (29_798, 98_178, 295_166, 2_154_890, 49_866, 135_154),
        strict=True,
    )
)
"""Architectures that train from a recipe file; `benchmarks/models.py` measures them."""


def _backbone(name: str, shape: tuple[int, int, int], _classes: int, _options: Options) -> backbones.Backbone:
    return backbones.load(name, shape[0])


_TRANSFER = tuple(
    Architecture(
        name=name,
        summary=summary,
        data="photographs of your own",
        parameters=parameters,
        framework=Framework.TRANSFER,
        build=partial(_backbone, name),
        settings=TrainSettings(epochs=1, patience=None, validation_share=0, folds=5),
        variants=(),
    )
    for name, summary, parameters in (
        (
            backbones.WHOLE,
            "EfficientNet-Lite0 with ImageNet weights (extra transfer), mean of all places, logistic regression",
            3_362_810,
        ),
        (
            backbones.SMALL,
            "the same cut behind block 10, int8 and bundled, means of the four quarters, logistic regression",
            697_178,
        ),
    )
)
"""Architectures of which only the last layer is trained."""

ARCHITECTURES = {architecture.name: architecture for architecture in (*_TUTORIALS, *_EDGE, *_TRANSFER)}


def find(name: str) -> Architecture:
    """Return the architecture of a name.

    Raises:
        DataError: there is none; the message names the most similar.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    near = get_close_matches(name, ARCHITECTURES, n=3) or list(ARCHITECTURES)
    raise DataError(f"there is no model {name!r}: did you mean {', '.join(near)}? 'edge-fm zoo' lists all")
