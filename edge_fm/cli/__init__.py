"""The command line. Commands parse, call and print; errors of the family end here, with exit code 2."""

import gc
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of `edge-fm`."""
    arguments = sys.argv[1:]
    is_local = not any(argument.startswith("--engine") for argument in arguments)
    if arguments[:1] == ["label"] and arguments[1:2] not in ([], ["-h"], ["--help"]) and is_local:
        from edge_fm_runtime.batch.workers import launcher

        launcher.start_early()  # a worker loads its libraries while this process loads the command line's
    gc.disable()  # nothing that modules make while they load is garbage
    from edge_fm.cli.app import run

    gc.freeze()  # nor is it at the end: with both, a command takes a quarter less to begin and end
    gc.enable()
    run()
