"""Epochs that are drawn while others are trained on.

On a few cores the next epoch is drawn beside the training of this one, in a thread. On many, as beside a GPU,
where a training takes an epoch in a second and one core draws it in five, processes draw several at once.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

_Drawn = TypeVar("_Drawn")

_FEW = 8
"""Below this many cores a thread draws: training takes them all, and a process copies the images."""

_SPARED = 3
"""Cores that are left to the training where processes draw."""

_MOST = 16
"""Processes: what was drawn waits in memory, 61 MB for an epoch of Fashion-MNIST and photographs."""


def processes_for(cores: int) -> int:
    """Return how many processes draw beside a training on so many cores; 0 leaves it to a thread."""
    return 0 if cores < _FEW else min(cores - _SPARED, _MOST)


@contextmanager
def prefetch_in_processes(
    processes: int, draw: Callable[[int], _Drawn], epochs: Iterable[int]
) -> Iterator[Callable[[int], _Drawn]]:
    """Yield a function that returns `draw(epoch)`, drawn ahead in several processes.

    Args:
        processes: how many; `draw` itself is given if there are none. A program that asks for some guards its
            main module, as multiprocessing's `spawn` needs.
        draw: from the index of an epoch, the same for the same index; processes are sent it once.
        epochs: their indices, in the order in which they are asked for.
    """
    if not processes:
        yield draw
        return
    waiting = iter(epochs)
    begun: dict[int, Future[_Drawn]] = {}
    executor = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (draw,))

    def begin_next() -> None:
        index = next(waiting, None)
        if index is not None:
            begun[index] = executor.submit(_draw, index)

    def taken(index: int) -> _Drawn:
        drawn = begun.pop(index).result()
        begin_next()
        return drawn

    try:
        for _ in range(processes):
            begin_next()
        yield taken
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


_drawing: dict[str, Callable[[int], Any]] = {}
"""Epoch that a prefetch process draws."""


def _begin(draw: Callable[[int], Any]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _drawing["draw"] = draw


def _end_with_parent() -> None:
    """End with a parent that was killed: an executor's processes would wait for it for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _draw(index: int) -> Any:  # noqa: ANN401  # what the parent's `draw` returns
    return _drawing["draw"](index)


def prefetch(draw: Callable[[int], _Drawn], epochs: Iterable[int]) -> Iterator[_Drawn]:
    """Yield `draw(epoch)` for each epoch, drawing the next one in a thread.

    A caller that stops waits for nothing: the thread is a daemon.

    Args:
        draw: from the index of an epoch; it is never called twice at once.
        epochs: their indices.
    """
    begun = (_begun(draw, index) for index in epochs)  # each as it is asked for
    waiting = next(begun, None)
    while waiting is not None:
        drawn = waiting.result()
        waiting = next(begun, None)
        yield drawn


def _begun(draw: Callable[[int], _Drawn], index: int) -> "Future[_Drawn]":
    future: Future[_Drawn] = Future()

    def work() -> None:
        try:
            future.set_result(draw(index))
        except Exception as error:  # noqa: BLE001  # raised again where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, daemon=True, name=f"epoch {index + 1}").start()
    return future
