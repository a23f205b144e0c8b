"""Options and commands that were renamed or removed: each is refused with its new spelling."""

import shlex
from collections.abc import Sequence

_IN_A_RECIPE = "is now written in a recipe file: edge-fm train RECIPE.toml -o RUN"

COMMANDS = {
    "average": "was removed, as a mean of runs was rarely better than the best of them: continue a run "
    "with edge-fm train DATA --init-from RUN -o NEW"
}
"""Removed commands, and what to do instead."""

OPTIONS = {
    "export": {
        "--mirror": "is now --tta flip",
        "--qat": "was removed, as fine-tuning gained no accuracy over calibration: leave it out",
    },
    "train": {
        "--data": "is now the first argument: edge-fm train DATA --model NAME -o RUN",
        "--start": "is now --init-from",
        "--max-loss": "was removed: give --min-accuracy",
        "--map": _IN_A_RECIPE,
        "--hold-out": _IN_A_RECIPE,
        "--teacher": _IN_A_RECIPE,
        "--teacher-share": _IN_A_RECIPE,
        "--answers": _IN_A_RECIPE,
        "--people": _IN_A_RECIPE,
        "--folds": _IN_A_RECIPE,
        "--bf16": _IN_A_RECIPE,
        "--no-bf16": _IN_A_RECIPE,
    },
}
"""Renamed and removed options of each command, and what to write instead."""


def find(arguments: Sequence[str]) -> str | None:
    """Return the message for the first renamed or removed word of a command line, or None.

    Args:
        arguments: the words after `edge-fm`.
    """
    if not arguments:
        return None
    command, *words = arguments
    if command in COMMANDS:
        return f"edge-fm {command} {COMMANDS[command]}"
    if command == "train" and (line := _new_train_line(words)):
        return f"edge-fm train: --data is now the first argument: {line}"
    options = OPTIONS.get(command, {})
    for word in words:
        if word == "--":
            break
        option = word.partition("=")[0]
        if option in options:
            return f"edge-fm {command}: {option} {options[option]}"
    return None


def _new_train_line(words: Sequence[str]) -> str | None:
    """Return the present form of `train NAME --data DATA ...`, or None if it is not of that form."""
    split = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if "--data" not in split[1:-1] or split[0].startswith("-"):
        return None
    name, *rest = split
    at = rest.index("--data")
    others = ["--init-from" if word == "--start" else word for word in rest[:at] + rest[at + 2 :]]
    return shlex.join(["edge-fm", "train", rest[at + 1], "--model", name, *others])
