"""Names of a SavedModel's variables in its checkpoint, by the graph that would restore them."""

from collections.abc import Iterator

from edge_fm_exporters.sources.saved_model.protobuf import Message

_ASSIGNMENTS = {"AssignVariableOp", "Assign"}


def named_functions(attribute: Message) -> Iterator[str]:
    """Yield the functions that an attribute names, alone or in a list."""
    for function in (*attribute.messages(10), *attribute.message(1).messages(9)):
        yield function.text(1)


def checkpoint_names(main: Message, library: Message) -> dict[str, str]:
    """Return for each variable its name in the checkpoint, as the graph that restores it says."""
    found = _assigned(list(main.messages(1)))
    bodies = {function.message(1).text(1): function for function in library.messages(1)}
    for node in main.messages(1):
        for name in (f for attribute in node.mapping(5).values() for f in named_functions(attribute)):
            if name in bodies and any(inner.text(2) == "RestoreV2" for inner in bodies[name].messages(3)):
                arguments = [argument.text(1) for argument in bodies[name].message(1).messages(2)]
                variables = dict(zip(arguments, node.texts(3), strict=False))
                for argument, key in _assigned(list(bodies[name].messages(3))).items():
                    found[variables.get(argument, argument)] = key
    return found


def _assigned(messages: list[Message]) -> dict[str, str]:
    """Return for each variable that is assigned from a RestoreV2 the name that it reads."""
    nodes = {message.text(1): message for message in messages}
    found = {}
    for message in messages:
        if message.text(2) not in _ASSIGNMENTS or len(message.texts(3)) < 2:  # noqa: PLR2004
            continue
        variable, value = message.texts(3)[:2]
        source = nodes.get(value.partition(":")[0])
        if source is not None and source.text(2) == "Identity" and source.texts(3):
            value = source.texts(3)[0]
            source = nodes.get(value.partition(":")[0])
        if source is None or source.text(2) != "RestoreV2" or len(source.texts(3)) < 2:  # noqa: PLR2004
            continue
        last = value.rpartition(":")[2]
        keys = _strings(nodes.get(source.texts(3)[1].partition(":")[0]))
        place = int(last) if last.isdecimal() else 0
        if place < len(keys):
            found[variable.partition(":")[0]] = keys[place]
    return found


def _strings(constant: Message | None) -> tuple[str, ...]:
    if constant is None or "value" not in (attributes := constant.mapping(5)):
        return ()
    return attributes["value"].message(8).texts(8)
