"""Write systemd units for live feeds and for watched folders; see systemd.service(5), systemd.exec(5)."""

import glob
import itertools
import os
import stat
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import edge_fm
import edge_fm_runtime
from edge_fm.deploy.service_command import NetworkAccess, ServiceCommand
from edge_fm_runtime.errors import SourceError
from edge_fm_runtime.untrusted.regular_file import is_folder, is_there

MARKER = "# edge-fm service of "
"""Start of a unit's first line; the path of the Python that it runs follows, as it is.

`install.sh` and `uninstall.sh` replace and remove only the units of their own installation.
"""

_UNIT = """\
{marker}
[Unit]
Description=edge-fm {name}
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
WatchdogSec=30
TimeoutStartSec=60
TimeoutStopSec=15
Restart=on-failure
SuccessExitStatus=130
RestartSec=5
LimitNOFILE=65536
User=edge-fm
DynamicUser=yes
StateDirectory=edge-fm
WorkingDirectory=%S/edge-fm
{confinement}

[Install]
WantedBy=multi-user.target
"""
# One User for all units: they share a state directory, which systemd gives to the user of the last one.

_ALWAYS = (
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "PrivateUsers=yes",
    "PrivateTmp=yes",
    "ProtectProc=invisible",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "RemoveIPC=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallFilter=~@privileged @resources",
    "SystemCallErrorNumber=EPERM",
)
# Not ProcSubset=pid: on ARM, onnxruntime chooses its kernels by /proc/cpuinfo. Not UMask=0077: logs and
# tables are there for others to read.

_CAMERA = ("DevicePolicy=closed", "DeviceAllow=char-video4linux rw", "SupplementaryGroups=video")
_NO_CAMERA = ("PrivateDevices=yes",)

_NETWORK = {
    NetworkAccess.NONE: ("RestrictAddressFamilies=AF_UNIX", "IPAddressDeny=any", "PrivateNetwork=yes"),
    NetworkAccess.LOOPBACK: (
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
    ),
    NetworkAccess.ANY: ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",),
}

_HOMES = ("/home", "/root", "/run/user")
_HIDDEN = (*_HOMES, "/tmp", "/var/tmp")  # noqa: S108  # compared with paths of the user
"""Folders that a unit gets empty, with the parts that its command needs."""


def unit(python: str, command: ServiceCommand) -> str:
    """Return a unit that runs a command, confined to what the command needs.

    Args:
        python: Python interpreter of the environment with edge-fm.
        command: command to run.

    Raises:
        SourceError: a path or option has a character that a unit file cannot hold.
    """
    words = (f":{python}", "-m", "edge_fm", command.name, *command.arguments)  # ":" makes $ literal
    quoted = " ".join(map(_quote, words))
    rules = (
        *_ALWAYS,
        *_files(command),
        *(_CAMERA if command.camera else _NO_CAMERA),
        *_NETWORK[command.network],
    )
    return _UNIT.format(
        name=command.name,
        command=quoted,
        confinement="\n".join(rules),
        marker=MARKER + python,
    )


def _files(command: ServiceCommand) -> Iterable[str]:
    """Yield what makes the command's folders visible and writable; a missing one is no error."""
    shared = [folder for folder in command.writes if str(folder) in {"/", *_HIDDEN}]
    if shared:
        raise SourceError(
            f"a service may not write right into {shared[0]}, which it cannot have to itself: give a folder "
            "below, such as --log /srv/edge-fm/events.jsonl, or -o /srv/edge-fm/labels.csv"
        )
    writes = _places(command.writes)
    reads = [
        place for place in _places([*map(_visible, command.reads), *_environment()]) if place not in writes
    ]
    yield from (f"ReadWritePaths={_quote(f'-{place}')}" for place in writes)
    for kind, places in (("BindReadOnlyPaths", reads), ("BindPaths", writes)):
        yield from (f"{kind}={_quote(f'-{place}')}" for place in places if _is_below(place, _HIDDEN))
    in_homes = any(_is_below(place, _HOMES) for place in (*reads, *writes))
    yield f"ProtectHome={'read-only' if command.lists_paths else 'tmpfs' if in_homes else 'yes'}"


def _visible(path: Path) -> Path:
    """Return what makes a path visible: a file's folder, since another file may replace it there.

    In a folder that others share, or cannot enter, the file is visible alone, and its replacement is not.
    """
    if is_folder(path):
        return path
    parts = path.parts
    if glob.has_magic(str(path)) and not is_there(path):
        return Path(*itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    folder = path.parent
    try:
        is_closed = not folder.stat().st_mode & stat.S_IXOTH
    except OSError:  # missing, or in a folder that cannot be entered
        is_closed = False
    return path if is_closed or str(folder) in _HIDDEN else folder


def _environment() -> Iterable[Path]:
    """Yield the folders of Python, of its environment and of the packages."""
    yield from (Path(sys.prefix), Path(sys.base_prefix))
    for package in (edge_fm, edge_fm_runtime):
        yield from (Path(folder).parent for folder in package.__path__)


def _places(folders: Iterable[Path]) -> list[Path]:
    """Return the folders by the paths that they are opened by, and by those that links lead to."""
    both = (
        place
        for folder in folders
        for place in (folder, Path(os.path.realpath(folder)))
        if ".." not in place.parts  # systemd refuses it, and the real path is enough
    )
    return list(dict.fromkeys(both))


def _is_below(place: Path, folders: Iterable[str]) -> bool:
    return any(
        place.is_relative_to(path) for folder in folders for path in (folder, os.path.realpath(folder))
    )


def _quote(word: str) -> str:
    """Quote a word for a unit file, so that specifiers, separators, quotes and backslashes are literal.

    Raises:
        SourceError: it has a control character, which would end the line, or is not Unicode.
    """
    unfit = [char for char in word if unicodedata.category(char) in {"Cc", "Cs"}]
    if unfit:
        raise SourceError(
            f"{word!r} has the character {unfit[0]!r}, which a unit file cannot hold: give a value without "
            "it; a file or folder can be renamed with mv"
        )
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"' if escaped != word or not _is_plain(word) else word


def _is_plain(word: str) -> bool:
    return bool(word) and all(char.isalnum() or char in "_@+=/.,-:" for char in word)
