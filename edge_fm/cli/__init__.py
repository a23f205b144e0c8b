"""The command line: commands parse, call and print; errors of the family end here, with exit code 2."""

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of `edge-fm`."""
    arguments = sys.argv[1:]
    is_local = not any(argument.startswith("--engine") for argument in arguments)
    if arguments[:1] == ["label"] and arguments[1:2] not in ([], ["-h"], ["--help"]) and is_local:
        from edge_fm_runtime.batch.workers import launcher

        launcher.start_early()  # a worker loads its libraries while this process loads the command line
    gc.disable()  # modules create no garbage while they load
    from edge_fm.cli.app import run

    gc.freeze()  # nor at exit: together, a command starts and ends in a quarter less time
    shows_help = not {"-h", "--help"}.isdisjoint(arguments)
    if not shows_help:
        gc.enable()
    try:
        run()
    finally:
        if shows_help:  # it has loaded further modules
            gc.freeze()
            gc.enable()
