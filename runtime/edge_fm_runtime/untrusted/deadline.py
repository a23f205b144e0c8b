"""End work on an untrusted file that takes too long."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

_PATIENCE = 6
_PAUSE_S = 0.25
_GRACE_S = 5.0
"""Seconds between asking the work to stop and giving the process up."""

give_up: Callable[[str], None] | None = None
"""Called with a message if work in the main thread cannot be stopped, as within one operator of onnxruntime;
it should end the process. A program that may be ended sets it; None lets the work go on."""


@contextlib.contextmanager
def stop_after(seconds: float, stop: Callable[[], None], message: str) -> Iterator[None]:
    """Call `stop` from another thread if the block takes longer than `seconds`.

    Args:
        seconds: limit on elapsed time and on the process's processor time, both of which must be used up;
            elapsed time alone may be `_PATIENCE` times as much, on a machine that is busy with other work.
        stop: asks the work to end; the block should then raise.
        message: for `give_up`, if the block takes yet longer.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ended = threading.Event()

    def watch() -> None:
        clock, processor = time.monotonic(), time.process_time()
        while (waited := time.monotonic() - clock) < _PATIENCE * seconds:
            if min(waited, time.process_time() - processor) >= seconds:  # other threads count, too
                break
            if ended.wait(min(seconds, _PAUSE_S)):
                return
        stop()
        if is_main and give_up is not None and not ended.wait(_GRACE_S):
            give_up(message)

    thread = threading.Thread(target=watch, name="deadline", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
