"""Options and commands that were renamed or removed: each is refused with its new spelling."""

import shlex
from collections.abc import Sequence

_IN_A_RECIPE = "is now written in a recipe file: edge-fm train RECIPE.toml -o RUN"

_SETTINGS = {
    "--start": "init_from",
    "--init-from": "init_from",
    "--batch-size": "batch_size",
    "--learning-rate": "learning_rate",
    "--validation": "validation",
    "--patience": "patience",
    "--seed": "seed",
}
"""Former options of `train` and their names for `--set`."""

COMMANDS = {
    "average": "was removed, as a mean of runs was rarely better than the best of them: continue a run "
    "with edge-fm train DATA --set init_from=RUN -o NEW"
}
"""Removed commands, and what to do instead."""

OPTIONS = {
    "export": {
        "--mirror": "is now --tta flip",
        "--qat": "was removed, as fine-tuning gained no accuracy over calibration: leave it out",
    },
    "train": {
        "--data": "is now the first argument: edge-fm train DATA --model NAME -o RUN",
        **{old: f"is now --set {new}=VALUE" for old, new in _SETTINGS.items()},
        "--balance": "is the default: leave it out",
        "--no-balance": "is now --set balance=no",
        "--max-loss": "was removed: give --min-accuracy",
        "--map": _IN_A_RECIPE,
        "--hold-out": _IN_A_RECIPE,
        "--teacher": _IN_A_RECIPE,
        "--teacher-share": _IN_A_RECIPE,
        "--answers": _IN_A_RECIPE,
        "--people": _IN_A_RECIPE,
        "--folds": "is now --set folds=N, or count under [folds] of a recipe",
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
    own = words[: words.index("--")] if "--" in words else words
    old = [option for option in (word.partition("=")[0] for word in own) if option in options]
    if not old:
        return None
    option = next((option for option in old if option != "--data"), old[0])  # data only changes its place
    return f"edge-fm {command}: {option} {options[option]}"


def _new_train_line(words: Sequence[str]) -> str | None:
    """Return the present form of `train NAME --data DATA ...`, or None if more than that has changed."""
    split = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    if split.count("--data") != 1 or "--data" not in split[1:-1] or "--model" in split:
        return None
    name, *rest = split
    at = rest.index("--data")
    others: list[str] = []
    for word in rest[:at] + rest[at + 2 :]:
        if others and others[-1] in _SETTINGS:
            others[-1:] = ["--set", f"{_SETTINGS[others[-1]]}={word}"]
        else:
            others.append(word)
    if name.startswith("-") or rest[at + 1].startswith("-") or not OPTIONS["train"].keys().isdisjoint(others):
        return None
    return shlex.join(["edge-fm", "train", rest[at + 1], "--model", name, *others])
