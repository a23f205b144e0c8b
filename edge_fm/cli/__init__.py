"""The command line: commands parse, call and print; errors of the family end here, with exit code 2."""

import gc
import os
import signal
import sys

TYPE_CHECKING = False  # typing takes longer to import than everything here
if TYPE_CHECKING:
    from types import FrameType
    from typing import Never

__all__ = ["main"]

_INTERRUPTED = 130
_SHOW_CURSOR = b"\x1b[?25h"


def main() -> None:
    """Run the command line; the entry point of `edge-fm`."""
    signal.signal(signal.SIGINT, _interrupt)
    _open_standard_streams()
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, _end)  # the work is done, or given up: nothing is left but to end


def _run() -> None:
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


def _open_standard_streams() -> None:
    """Open what the process was started without, lest a file of ours takes the place of a standard stream."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number


def _interrupt(_number: int, frame: "FrameType | None") -> None:
    """Raise KeyboardInterrupt; within an import, which libraries do not let it pass through, end at once."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _end(_number: int = signal.SIGINT, _frame: "FrameType | None" = None) -> "Never":
    """End as after an interrupt, without the clean-up of libraries, which prints tracebacks."""
    if "rich.progress" in sys.modules and os.isatty(2):
        os.write(2, _SHOW_CURSOR)  # a progress bar hides it
    os._exit(_INTERRUPTED)
