"""The command line. Commands parse, call and print; errors of the family end here, with exit code 2."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the entry point of `edge-fm`."""
    if sys.argv[1:2] == ["label"] and sys.argv[2:3] not in ([], ["-h"], ["--help"]):
        from edge_fm_runtime.batch import process

        process.start_early()  # a worker loads its libraries while this process loads the command line's
    from edge_fm.cli.app import run

    run()
