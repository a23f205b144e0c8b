"""Read from the arguments of a command what its service reads, writes and reaches."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_fm_runtime.artifact.model_file import BUNDLED
from edge_fm_runtime.batch.inputs import remote
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.live.cameras import BROWSER
from edge_fm_runtime.untrusted.regular_file import is_file

_STDIN = "-"
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_OUTPUT_FILES = {"out", "log", "record"}
_OUTPUT_FOLDERS = {"save_unknown", "snapshots"}


class NetworkAccess(Enum):
    """Addresses that a service exchanges data with."""

    NONE = "none"
    LOOPBACK = "loopback"
    ANY = "any"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """Option or argument as it was given.

    Attributes:
        name: parameter of the command's function, such as `save_unknown`.
        option: spelling on the command line, such as `--save-unknown`; empty for an argument.
        values: texts that were given, none for a flag.
    """

    name: str
    option: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ServiceCommand:
    """Command of a service.

    Attributes:
        name: `webcam` or `label`.
        arguments: options and arguments, with absolute input paths.
        reads: folders, files and patterns that it reads.
        writes: folders that it writes, besides the service's own.
        lists_paths: whether a list names more inputs, which are unknown before it runs.
        camera: whether it opens a camera of this machine.
        network: addresses that it needs.
    """

    name: str
    arguments: tuple[str, ...]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    lists_paths: bool
    camera: bool
    network: NetworkAccess


def service_command(name: str, parameters: Sequence[Parameter]) -> ServiceCommand:
    """Return the command of a service.

    Input paths become absolute, since a service starts in its own folder; relative outputs go there.

    Args:
        name: `webcam` or `label`.
        parameters: options and arguments, already checked.

    Raises:
        SourceError: the input is standard input, which a service lacks.
    """
    inputs = _values(parameters, "source", "inputs")
    if _STDIN in inputs:
        raise SourceError(
            "a service has no standard input for -: give a camera, a folder or a URL, such as edge-fm "
            "service webcam 0 --view none, or edge-fm service label /srv/in --watch -o labels.csv"
        )
    return ServiceCommand(
        name=name,
        arguments=tuple(_arguments(parameters)),
        reads=tuple(dict.fromkeys(_reads(parameters))),
        writes=tuple(dict.fromkeys(_writes(parameters))),
        lists_paths=any(_is_list(value) or value.lower().startswith("file:") for value in inputs),
        camera=name == "webcam" and _is_camera(inputs[0] if inputs else "0"),
        network=_network(parameters),
    )


def _values(parameters: Iterable[Parameter], *names: str) -> list[str]:
    return [value for given in parameters if given.name in names for value in given.values]


def _is_camera(source: str) -> bool:
    return source.isdecimal() or source.startswith("/dev/")


def _is_list(value: str) -> bool:
    return value.startswith("@") and not os.path.lexists(value)


def _source_path(value: str) -> str | None:
    return None if _is_camera(value) or value == BROWSER or remote.is_url(value) else value


def _input_path(value: str) -> str | None:
    return None if remote.is_url(value) else value.removeprefix("@") if _is_list(value) else value


_PATH_OF: dict[str, Callable[[str], str | None]] = {
    "source": _source_path,
    "inputs": _input_path,
    "model": lambda value: None if value in BUNDLED else value,
    "labels": lambda value: value if is_file(value) else None,
    "tls": lambda value: None if value == "self" else value,
}
"""For each parameter that can name an input: the path in a value, None if the value names none."""


def _path_in(given: Parameter, value: str) -> str | None:
    return _PATH_OF[given.name](value) if given.name in _PATH_OF else None


def _arguments(parameters: Iterable[Parameter]) -> Iterable[str]:
    for given in sorted(parameters, key=lambda given: bool(given.option)):  # arguments first
        if given.option and not given.values:
            yield given.option
        group = 2 if given.name == "tls" else 1
        for start in range(0, len(given.values), group):
            if given.option:
                yield given.option
            for value in given.values[start : start + group]:
                path = _path_in(given, value)
                yield value if path is None else value.removesuffix(path) + str(_absolute(path))


def _reads(parameters: Iterable[Parameter]) -> Iterable[Path]:
    for given in parameters:
        for value in given.values:
            path = _path_in(given, value)
            if path is not None:
                yield _absolute(path)


def _writes(parameters: Iterable[Parameter]) -> Iterable[Path]:
    for given in parameters:
        for value in given.values:
            path = Path(value)
            if not path.is_absolute():
                continue
            if given.name in _OUTPUT_FOLDERS:
                yield path
            elif given.name in _OUTPUT_FILES:
                yield path.parent


def _network(parameters: Sequence[Parameter]) -> NetworkAccess:
    if any(map(remote.is_url, _values(parameters, "source", "inputs", "out"))):
        return NetworkAccess.ANY
    if _values(parameters, "view") != ["web"]:
        return NetworkAccess.NONE
    return NetworkAccess.LOOPBACK if set(_values(parameters, "host")) <= _LOOPBACK else NetworkAccess.ANY


def _absolute(path: str) -> Path:
    """Return an absolute path with its links, such as an installation's link to the current release."""
    logical = Path(os.environ.get("PWD", ""))
    is_here = logical.is_absolute() and logical.exists() and logical.samefile(Path.cwd())
    return (logical if is_here else Path.cwd()) / path
