"""A SavedModel's graph as data: what computes its answers, and which variables that reads."""

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_fm_exporters.sources.input_layout import Shape
from edge_fm_exporters.sources.saved_model.checkpoint import checkpoint_names, named_functions
from edge_fm_exporters.sources.saved_model.operators import ALLOWED, NEVER, VARIABLES
from edge_fm_exporters.sources.saved_model.protobuf import Message, ProtobufError
from edge_fm_runtime.errors import ModelError

_MAX_BYTES = 2**29
_MAX_NODES = 500_000
_MAX_ELEMENTS = 2**28
_MAX_CALLS = 50
_DEFAULT = "serving_default"
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    6: "int8",
    7: "string",
    9: "int64",
    19: "float16",
}


@dataclass(frozen=True)
class End:
    """An input or output of a signature.

    Attributes:
        name: of it in the signature.
        tensor: its name in the graph, such as `serving_default_image:0`.
        dtype: NumPy's name, or a number that only TensorFlow knows.
        shape: None if its rank is unknown.
    """

    name: str
    tensor: str
    dtype: str
    shape: Shape | None


@dataclass(frozen=True)
class Node:
    """A node: its operator, what it reads, and the functions that it calls."""

    name: str
    operator: str
    inputs: tuple[str, ...]
    functions: tuple[str, ...]


@dataclass(frozen=True)
class SavedGraph:
    """Part of a SavedModel's graph that its signature computes.

    Attributes:
        tag_set: its index among the graphs of the file.
        input: images.
        output: answers.
        nodes: names of the nodes of the main graph that the output needs.
        functions: names of the functions that these call.
        variables: from variables among the nodes to their names in the checkpoint.
        config: of the Keras network in JSON, empty if the file has none.
        layers: names that nodes have of their layers.
    """

    tag_set: int
    input: End
    output: End
    nodes: frozenset[str]
    functions: frozenset[str]
    variables: dict[str, str]
    config: str
    layers: frozenset[str]


def read(path: Path) -> SavedGraph:
    """Read the graph of a SavedModel folder.

    Raises:
        ModelError: it is damaged, has not one input and one output, or computes what is not allowed.
    """
    file = path / "saved_model.pb"
    if not file.is_file():
        raise ModelError(f"{path} has no saved_model.pb: give the folder that model.export() wrote")
    if file.stat().st_size > _MAX_BYTES:
        raise ModelError(f"{file} has {file.stat().st_size:,} bytes, expected at most {_MAX_BYTES:,}")
    try:
        return _graph(path, Message(memoryview(file.read_bytes())))
    except ProtobufError as error:
        raise ModelError(f"{file} is no whole SavedModel ({error}): export or copy it again") from error


def _graph(path: Path, file: Message) -> SavedGraph:
    index, meta = _serving(path, list(file.messages(2)))
    main, library = meta.message(2), meta.message(2).message(2)
    nodes = {node.name: node for node in _nodes(path, main.messages(1))}
    functions = {
        function.message(1).text(1): list(_nodes(path, function.messages(3)))
        for function in library.messages(1)
    }
    start, end = _ends(path, meta.mapping(5))
    reached, called = _reachable(nodes, functions, end.tensor)
    inner = [node for name in called for node in functions[name]]
    _check(path, [*(nodes[name] for name in reached), *inner], called)
    _check_never(path, [*nodes.values(), *(node for body in functions.values() for node in body)])
    if start.tensor.partition(":")[0] not in reached:
        raise ModelError(
            f"{path} computes nothing from its input {start.name!r}, expected a classifier of images"
        )
    restored = checkpoint_names(main, library)
    used = {name for name in reached if nodes[name].operator in VARIABLES}
    if missing := sorted(used - restored.keys()):
        raise ModelError(
            f"{path} does not say which numbers its variable {missing[0]!r} has: export it again"
        )
    return SavedGraph(
        tag_set=index,
        input=start,
        output=end,
        nodes=frozenset(reached),
        functions=frozenset(called),
        variables={name: restored[name] for name in used},
        config=_keras_config(path, meta),
        layers=frozenset(part for node in inner for part in node.name.split("/")),
    )


def _serving(path: Path, graphs: list[Message]) -> tuple[int, Message]:
    """Return the graph with the tag `serve`, and its index."""
    for index, graph in enumerate(graphs):
        if "serve" in graph.message(1).texts(4):
            return index, graph
    if len(graphs) != 1:
        raise ModelError(f"{path} has {len(graphs)} graphs and none to serve: export it with model.export()")
    return 0, graphs[0]


def _nodes(path: Path, messages: Iterable[Message]) -> Iterator[Node]:
    for count, message in enumerate(messages):
        if count > _MAX_NODES:
            raise ModelError(f"{path} has over {_MAX_NODES:,} nodes, which no classifier of images needs")
        attributes = message.mapping(5)
        functions = [value for attribute in attributes.values() for value in named_functions(attribute)]
        if message.text(2) == "Const" and "value" in attributes:
            _check_size(path, attributes["value"].message(8))
        yield Node(message.text(1), message.text(2), message.texts(3), tuple(functions))


def _check_size(path: Path, tensor: Message) -> None:
    """Refuse a constant that is one number in the file and gigabytes in memory."""
    lengths = [axis.integer(1) for axis in tensor.message(2).messages(2)]
    if any(length < 0 for length in lengths) or math.prod(lengths) > _MAX_ELEMENTS:
        raise ModelError(
            f"{path} has a constant of {lengths[:8]}, expected at most {_MAX_ELEMENTS:,} numbers"
        )


def _ends(path: Path, signatures: dict[str, Message]) -> tuple[End, End]:
    """Return the input and the output of the signature to serve."""
    public = {name: value for name, value in signatures.items() if not name.startswith("__")}
    if _DEFAULT not in public and len(public) != 1:
        raise ModelError(
            f"{path} has the signatures {', '.join(sorted(public)) or 'none'}, expected {_DEFAULT!r}: export it with "
            "model.export('folder'), or with tf.saved_model.save(module, 'folder', signatures=function)"
        )
    signature = public[_DEFAULT] if _DEFAULT in public else next(iter(public.values()))
    inputs, outputs = ([_end(*item) for item in sorted(signature.mapping(n).items())] for n in (1, 2))
    if len(inputs) != 1 or len(outputs) != 1:
        names = (", ".join(end.name for end in ends) or "nothing" for ends in (inputs, outputs))
        raise ModelError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs ({' to '.join(names)}), expected one of each: "
            "images in, class probabilities out"
        )
    return inputs[0], outputs[0]


def _end(name: str, info: Message) -> End:
    shape = info.message(3)
    lengths = tuple(axis.integer(1) for axis in shape.messages(2))
    number = info.integer(2)
    return End(
        name,
        info.text(1),
        _DTYPES.get(number, f"type {number}"),
        None if shape.integer(3) else tuple(None if length < 0 else length for length in lengths),
    )


def _reachable(
    nodes: dict[str, Node], functions: dict[str, list[Node]], output: str
) -> tuple[set[str], set[str]]:
    """Return the nodes of the main graph that an output needs, and the functions that they call."""
    reached: set[str] = set()
    called: set[str] = set()
    waiting = [output]
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in reached:
            continue
        if name not in nodes:
            raise ProtobufError(f"no node {name!r:.80}")
        reached.add(name)
        waiting.extend(nodes[name].inputs)
    sizes: dict[str, int] = {}
    total = sum(
        _expanded(function, functions, sizes, ())
        for name in reached
        for function in _called(nodes[name], functions)
    )
    if total > _MAX_NODES:
        raise ProtobufError(
            f"functions that call each other for {total:,} nodes in all, the limit is {_MAX_NODES:,}"
        )
    called.update(sizes)
    return reached, called


def _expanded(
    name: str, functions: dict[str, list[Node]], sizes: dict[str, int], callers: tuple[str, ...]
) -> int:
    """Return how many nodes a function computes, those of the functions that it calls included.

    Raises:
        ProtobufError: it is missing, calls itself, or calls are nested too deeply.
    """
    if name not in functions:
        raise ProtobufError(f"no function {name!r:.80}")
    if name in callers or len(callers) > _MAX_CALLS:
        raise ProtobufError(f"the function {name!r:.80}, which calls itself or is nested too deeply")
    if name not in sizes:
        inner = [function for node in functions[name] for function in _called(node, functions)]
        sizes[name] = len(functions[name]) + sum(
            _expanded(function, functions, sizes, (*callers, name)) for function in inner
        )
    return sizes[name]


def _called(node: Node, functions: dict[str, list[Node]]) -> tuple[str, ...]:
    """Return the functions that a node calls; old graphs have them as operators."""
    return (*node.functions, node.operator) if node.operator in functions else node.functions


def _check(path: Path, nodes: list[Node], called: set[str]) -> None:
    """Refuse operators that are not on the list.

    Raises:
        ModelError: there are some.
    """
    found = sorted({node.operator for node in nodes} - ALLOWED - called)
    if found:
        raise ModelError(
            f"{path} computes {', '.join(found[:5])}, and of TensorFlow's operators only the arithmetic of classifiers is "
            "run: take what needs it, such as reading or decoding files, loops or random numbers, out of the network "
            "and export it again"
        )


def _check_never(path: Path, nodes: list[Node]) -> None:
    found = sorted({node.operator for node in nodes} & NEVER)
    if found:
        raise ModelError(
            f"{path} has {', '.join(found)} in it, which reads files or runs code, so it is not loaded: export it again "
            "without that operator"
        )


def _keras_config(path: Path, meta: Message) -> str:
    """Return the JSON that Keras 2 wrote about the network, in a file of its own or in the graph."""
    file = path / "keras_metadata.pb"
    if file.is_file() and file.stat().st_size <= _MAX_BYTES:
        with contextlib.suppress(ProtobufError):  # the configuration is optional
            for node in Message(memoryview(file.read_bytes())).messages(1):
                if node.text(3) == "root":
                    return node.text(5)
    root = next(meta.message(7).messages(1), None)
    return "" if root is None else root.message(4).text(3)
