"""Files of Keras 2 and the networks of tutorials, written as their authors write them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_fm_exporters import sources
from edge_fm_exporters.framework import import_keras, import_tf_keras
from edge_fm_exporters.graph import cleanup
from edge_fm_exporters.sources import keras_config
from edge_fm_exporters.sources.base import SourceModel
from edge_fm_runtime.artifact.input_spec import Fit, Interpolation
from edge_fm_runtime.errors import ModelError

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore::UserWarning")]

Layers = Any


def answers_of_the_file(source: SourceModel, images: np.ndarray) -> np.ndarray:
    """Return what the exported graph answers, through onnxruntime."""
    import onnxruntime

    graph = cleanup.clean(source.convert(17))
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    return np.asarray(session.run(["probabilities"], {"image": images})[0])


def flat_28(k: Layers) -> list[Any]:
    """Return the network of TensorFlow's first tutorial."""
    return [k.Flatten(input_shape=(28, 28)), k.Dense(16, activation="relu"), k.Dropout(0.2), k.Dense(10)]


def mlp_784(k: Layers) -> list[Any]:
    """Return the network of the first chapter of many books."""
    return [k.Dense(16, activation="relu", input_shape=(784,)), k.Dense(10, activation="softmax")]


def mlp_input_dim(k: Layers) -> list[Any]:
    """Return the same with Keras 1's argument."""
    return [k.Dense(16, activation="relu", input_dim=784), k.Dense(10, activation="softmax")]


def mlp_list(k: Layers) -> list[Any]:
    """Return the same with the shape as a list, and sigmoids."""
    return [
        k.Flatten(input_shape=[28, 28]),
        k.Dense(16, activation="tanh"),
        k.Dense(10, activation="sigmoid"),
    ]


def cnn_28(k: Layers) -> list[Any]:
    """Return the convolutional network of Keras' MNIST example."""
    return [
        k.Conv2D(4, kernel_size=(3, 3), activation="relu", input_shape=(28, 28, 1)),
        k.MaxPooling2D(pool_size=(2, 2)),
        k.Dropout(0.25),
        k.Flatten(),
        k.Dense(10, activation="softmax"),
    ]


def reshaped(k: Layers) -> list[Any]:
    """Return a convolutional network of planes, with batch normalisation."""
    return [
        k.Reshape((28, 28, 1), input_shape=(28, 28)),
        k.Conv2D(4, 3),
        k.BatchNormalization(),
        k.Activation("relu"),
        k.GlobalAveragePooling2D(),
        k.Dense(10, activation="softmax"),
    ]


def binary(k: Layers) -> list[Any]:
    """Return a network of two classes with one output."""
    return [
        k.Flatten(input_shape=(20, 20, 3)),
        k.Dense(8, activation="relu"),
        k.Dense(1, activation="sigmoid"),
    ]


def augmented(k: Layers) -> list[Any]:
    """Return a network that begins with augmentation and a scale."""
    return [
        k.RandomFlip("horizontal", input_shape=(20, 20, 3)),
        k.RandomRotation(0.1),
        k.Rescaling(1.0 / 255),
        k.Conv2D(4, 3, activation="relu"),
        k.GlobalMaxPooling2D(),
        k.Dense(3, activation="softmax"),
    ]


def softmax_function(k: Layers) -> list[Any]:
    """Return a network whose activations are TensorFlow's functions."""
    import tensorflow as tf

    return [
        k.Flatten(input_shape=(28, 28)),
        k.Dense(8, activation=tf.nn.relu),
        k.Dense(10, activation=tf.nn.softmax),
    ]


TUTORIALS = (flat_28, mlp_784, mlp_input_dim, mlp_list, cnn_28, reshaped, binary, augmented, softmax_function)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".keras"])
@pytest.mark.parametrize("build", TUTORIALS)
def test_a_tutorial_saved_by_keras_2(
    build: Callable[[Layers], list[Any]], suffix: str, tmp_path: Path
) -> None:
    """A network that Keras 2 saved answers in its file as it did there."""
    tf_keras = import_tf_keras()
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(build(tf_keras.layers))
    path = tmp_path / f"model{suffix}"
    model.save(path)
    check(path, model)


@pytest.mark.slow
@pytest.mark.parametrize("build", [build for build in TUTORIALS if build is not mlp_input_dim])
def test_a_tutorial_saved_by_keras_3(build: Callable[[Layers], list[Any]], tmp_path: Path) -> None:
    """The same network that Keras 3 saved does so too, by its .h5 as by its .keras."""
    keras = import_keras()
    model = keras.Sequential(build(keras.layers))
    for suffix in (".h5", ".keras"):
        path = tmp_path / f"model{suffix}"
        model.save(path)
        check(path, model)


def check(path: Path, model: Any) -> None:
    """Hold source and exported graph to the model's own outputs."""
    source = sources.load(path)
    images = np.random.default_rng(1).random((5, *source.spec.shape), np.float32)
    own = np.asarray(model(images.reshape(5, *model.input_shape[1:]), training=False), np.float64)
    expected = (
        np.concatenate([1 - own, own], axis=1)
        if own.shape[1] == 1
        else np.exp(own) / np.exp(own).sum(axis=1, keepdims=True)
        if own.min() < 0
        else own / own.sum(axis=1, keepdims=True)
    )
    np.testing.assert_allclose(source.predict(images), expected, atol=1e-5)
    np.testing.assert_allclose(answers_of_the_file(source, images), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["one-hot", "sparse"])
def test_a_checkpoint_of_a_training(labels: str, tmp_path: Path) -> None:
    """A file that ModelCheckpoint wrote during a training is read, optimiser and losses left aside."""
    tf_keras = import_tf_keras()
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(cnn_28(tf_keras.layers))
    loss = "categorical_crossentropy" if labels == "one-hot" else "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    images, classes = np.random.default_rng(0).random((32, 28, 28, 1), np.float32), np.arange(32) % 10
    target = np.eye(10)[classes] if labels == "one-hot" else classes
    saved = tf_keras.callbacks.ModelCheckpoint(str(tmp_path / "best.h5"), save_best_only=True, monitor="loss")
    model.fit(images, target, verbose=0, callbacks=[saved])
    check(tmp_path / "best.h5", model)


def teachable_machine(tf_keras: Any) -> Any:
    """Return a network of the structure that Teachable Machine exports, small."""
    k = tf_keras.layers
    image = k.Input((32, 32, 3))
    inner = k.ReLU(6.0)(k.DepthwiseConv2D(3, padding="same", use_bias=False)(k.ZeroPadding2D(1)(image)))
    inner = k.ReLU(6.0)(k.BatchNormalization()(k.Conv2D(8, 1, use_bias=False)(inner)))
    base = tf_keras.Sequential([tf_keras.Model(image, inner), k.GlobalAveragePooling2D()])
    head = tf_keras.Sequential(
        [k.Dense(10, activation="relu", input_shape=(8,)), k.Dense(3, use_bias=False, activation="softmax")]
    )
    return tf_keras.Sequential([base, head])


@pytest.mark.slow
def test_teachable_machine(tmp_path: Path) -> None:
    """The zip as downloaded gives the labels, the scale and the fit, and answers as the network in it."""
    tf_keras = import_tf_keras()
    tf_keras.utils.set_random_seed(0)
    model = teachable_machine(tf_keras)
    model.save(tmp_path / "keras_model.h5")
    (tmp_path / "labels.txt").write_text("0 Rock\n1 Paper, white\n2 가위\n", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "converted_keras.zip", "w") as file:
        for name in ("keras_model.h5", "labels.txt"):
            file.write(tmp_path / name, name)
    source = sources.load(tmp_path / "converted_keras.zip")
    assert source.names == ("Rock", "Paper, white", "가위")
    assert (source.fit, source.interpolation, source.scale) == (Fit.CROP, Interpolation.LANCZOS, "symmetric")
    assert source.predict_float64 is None  # the unpacked file is gone
    images = np.random.default_rng(1).random((5, 32, 32, 3), np.float32) * 2 - 1
    np.testing.assert_allclose(source.predict(images), np.asarray(model(images)), atol=1e-5)
    np.testing.assert_allclose(answers_of_the_file(source, images), np.asarray(model(images)), atol=1e-5)


def config_of(path: Path) -> keras_config.KerasConfig:
    """Return the configuration of a saved model."""
    return keras_config.read(path)


def saved(tmp_path: Path, *layers: Any, **more: Any) -> Path:
    """Write a .keras archive of a Sequential configuration, without weights."""
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": list(layers)}, **more}
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
        file.writestr("metadata.json", "{}")
    return path


def layer(kind: str, **config: Any) -> dict[str, Any]:
    """Return the configuration of a layer."""
    return {"class_name": kind, "config": config}


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([layer("Lambda", name="evil")], "a Lambda layer 'evil', which can run any code"),
        ([layer("TimeDistributed", layer=layer("Lambda", name="inner"))], "a Lambda layer 'inner'"),
        (
            [layer("Dense", units=3, activation={"class_name": "__lambda__", "config": {}})],
            "can run any code",
        ),
        ([{"class_name": "system", "module": "os", "config": {}}], "a class of your own, system"),
        ([{"class_name": "Dense", "module": "evil.layers", "config": {}}], "a class of your own, Dense"),
        (
            [layer("Dense", activation={"class_name": "function", "module": "os", "config": "system"})],
            "of your own, system",
        ),
        ([layer("TFOpLambda", name="x", function="io.read_file")], "computes io.read_file"),
        ([layer("Embedding", input_dim=10)], "text, tokens or sound"),
        (
            [layer("InputLayer", batch_shape=[None, 8, 8, 1]), layer("Conv2DTranspose", filters=1)],
            "it makes images",
        ),
        ([layer("InputLayer", batch_shape=[None, 4]), layer("Dense", units=3)], "a table of features"),
        ([layer("Dense", units=3, dtype="int8_from_float32")], "quantised by Keras"),
    ],
)
def test_what_is_refused_by_its_configuration(layers: list[Any], message: str, tmp_path: Path) -> None:
    """Code, unknown classes and what is no image classifier are refused as data, before anything is built."""
    with pytest.raises(ModelError, match=message):
        sources.load(saved(tmp_path, *layers))


def test_a_regressor(tmp_path: Path) -> None:
    """A linear output trained with a mean squared error is no classifier."""
    path = saved(tmp_path, layer("Dense", units=1, activation="linear"), compile_config={"loss": "mse"})
    with pytest.raises(ModelError, match="predicts numbers"):
        sources.load(path)


@pytest.mark.parametrize(("key", "what"), [("input_layers", "inputs"), ("output_layers", "outputs")])
def test_several_inputs_or_outputs(key: str, what: str, tmp_path: Path) -> None:
    """A network of two inputs or outputs is refused with their number."""
    ends = {"input_layers": [["a", 0, 0]], "output_layers": [["d", 0, 0]], key: [["a", 0, 0], ["b", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "f", "layers": [], **ends}}
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps(config))
    with pytest.raises(ModelError, match=f"2 {what}, expected one"):
        sources.load(path)


def test_weights_alone(tmp_path: Path) -> None:
    """Weights without a network are refused with the lines that make a whole model."""
    keras = import_keras()
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10)])
    model.save_weights(tmp_path / "my.weights.h5")
    with pytest.raises(ModelError, match=r"model\.load_weights\('my\.weights\.h5'\)\n  model\.save"):
        sources.load(tmp_path / "my.weights.h5")


@pytest.mark.parametrize(
    "value", [7, [1, 2], 1.5, b"\xff\xfe", "[", "[]", "null", '"text"', "{}", '{"class_name": 3}']
)
def test_a_configuration_of_another_type(value: Any, tmp_path: Path) -> None:
    """An attribute that is no configuration is refused, whatever its type is."""
    import h5py

    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = value
    with pytest.raises(ModelError, match=r"model\.save"):
        sources.load(path)


def test_layers_nested_too_deeply(tmp_path: Path) -> None:
    """A configuration nested a thousand levels deep is refused."""
    text = '{"class_name": "Sequential", "config": ' * 400 + "{}" + "}" * 400
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", text)
    with pytest.raises(ModelError, match="nested"):
        sources.load(path)


@pytest.mark.slow
def test_mixed_precision_and_fixed_batch(tmp_path: Path) -> None:
    """A network of half precision and of one batch size is read as float32 for any batch."""
    tf_keras = import_tf_keras()
    k = tf_keras.layers
    image = k.Input((20, 20, 1), batch_size=4)
    inner = k.Conv2D(4, 3, dtype="mixed_float16")(image)
    model = tf_keras.Model(image, k.Dense(3, activation="softmax")(k.Flatten()(inner)))
    model.save(tmp_path / "model.h5")
    source = sources.load(tmp_path / "model.h5")
    assert "float32" in source.notes[0]
    images = np.random.default_rng(1).random((7, 20, 20, 1), np.float32)
    np.testing.assert_allclose(answers_of_the_file(source, images), source.predict(images), atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        '{"class_name": "Sequential"}',
        '{"class_name": ["x"], "config": {}}',
        '{"class_name": "Dense", "config": 3}',
    ],
)
def test_a_configuration_without_its_parts(config: str, tmp_path: Path) -> None:
    """A configuration that lacks a part, or has one of another type, is refused with a sentence."""
    import h5py

    path = tmp_path / "model.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = config
    with pytest.raises(ModelError, match=r"model\.h5"):
        sources.load(path)
