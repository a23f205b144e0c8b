"""Write systemd units for live feeds and for watched folders; see systemd.service(5), systemd.exec(5)."""

import os
from collections.abc import Sequence
from pathlib import Path

_UNIT = """\
[Unit]
Description=edge-fm {what}
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
DynamicUser=yes
SupplementaryGroups=video
StateDirectory=edge-fm
WorkingDirectory=%S/edge-fm
{binds}NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictSUIDSGID=yes
LockPersonality=yes

[Install]
WantedBy=multi-user.target
"""

_OUTPUTS = {"--log", "--record", "--save-unknown", "--snapshots", "-o", "--out"}


def unit(python: str, arguments: Sequence[str]) -> str:
    """Return a unit that runs `edge-fm` with these arguments.

    Input paths become absolute. Relative outputs go to the service's own folder, /var/lib/edge-fm; the
    folders of absolute outputs become writable.

    Args:
        python: Python interpreter of the environment with edge-fm.
        arguments: command and options, already checked.
    """
    words, writable = [python, "-m", "edge_fm"], []
    for position, argument in enumerate(arguments):
        is_output = bool(position) and arguments[position - 1] in _OUTPUTS
        path = Path(argument)
        if is_output and path.is_absolute():
            writable.append(
                path if arguments[position - 1] in {"--save-unknown", "--snapshots"} else path.parent
            )
        is_input = (
            not is_output and not argument.startswith("-") and not argument.isdecimal() and path.exists()
        )
        words.append(_absolute(argument) if is_input and position else argument)
    binds = "".join(f"ReadWritePaths={_quote(str(path))}\n" for path in dict.fromkeys(writable))
    return _UNIT.format(what=arguments[0], command=" ".join(map(_quote, words)), binds=binds)


def _absolute(path: str) -> str:
    """Return an absolute path with its links, such as an installation's link to the current release."""
    logical = Path(os.environ.get("PWD", ""))
    is_here = logical.is_absolute() and logical.exists() and logical.samefile(Path.cwd())
    return str((logical if is_here else Path.cwd()) / path)


def _quote(word: str) -> str:
    """Quote a word for a unit file, so that specifiers, variables and quotes are literal."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    plain = escaped == word and word and not any(c.isspace() or c in "';" for c in word)
    return word if plain else f'"{escaped}"'
