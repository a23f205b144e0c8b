"""Label files as they arrive: run again and again over files that are fully written.

A file counts as written when its size and modification time have stayed the same for `SETTLE_S` seconds. The
journal makes each round cost only what is new; the output is put in place anew after each round that did
something.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_fm_runtime.batch import label
from edge_fm_runtime.batch.inputs import find, locators
from edge_fm_runtime.batch.label import LabelSummary, Listener, Model
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.hot_reload import HotReloader

SETTLE_S = 1.0
_POLL_S = 0.5


def watch(
    model: Model,
    inputs: Sequence[str],
    output: Path,
    options: Options,
    listener: Listener,
    report: Callable[[LabelSummary], None],
    renewal: HotReloader | None = None,
    alive: Callable[[], None] = lambda: None,
    *,
    rounds: int | None = None,
) -> None:
    """Label existing and new files until interrupted.

    Args:
        model: what answers.
        inputs: what `sources.find` understands; folders may be empty.
        output: `.csv`, `.jsonl` or `.parquet`.
        options: how.
        listener: told of progress within a round.
        report: told what a round did that changed something.
        renewal: where a new model comes from; all inputs are labelled again by it.
        alive: called in every round, for a watchdog.
        rounds: how many times to look, None for ever.

    Raises:
        SourceError: an input is not there.
        OutputError: the output cannot be written.
    """
    settled = _Settled()
    done: dict[str, tuple[int, int]] = {}
    own = label.own_files(output)
    while rounds is None or rounds > 0:
        rounds = None if rounds is None else rounds - 1
        alive()
        renewed = renewal.check() if renewal is not None else None
        if renewed is not None:
            model, done = replace(model, data=renewed.data), {}
        found = find.find(inputs, outputs=own, may_be_empty=True)
        ready = settled.of(found)
        if ready and ready != done:
            report(label.label(model, inputs, output, options, listener, found=list(ready)))
            done = ready
        time.sleep(_POLL_S)


class _Settled:
    """Remembers since when each file is unchanged."""

    def __init__(self) -> None:
        self._since_s: dict[str, tuple[tuple[int, int], float]] = {}

    def of(self, found: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return the files that have settled, with their stamps."""
        now_s = time.monotonic()
        ready: dict[str, tuple[int, int]] = {}
        seen: dict[str, tuple[tuple[int, int], float]] = {}
        for locator in found:
            stamp = locators.stamp(locator)
            before = self._since_s.get(locator)
            since_s = before[1] if before is not None and before[0] == stamp else now_s
            seen[locator] = stamp, since_s
            if now_s - since_s >= SETTLE_S:
                ready[locator] = stamp
        self._since_s = seen
        return ready
