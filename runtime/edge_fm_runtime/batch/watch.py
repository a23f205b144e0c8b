"""Label files as they arrive: run again and again over files that are fully written.

A file counts as written when its size and modification time have stayed the same for `SETTLE_S` seconds. The
journal makes each round cost only what is new; the output is put in place anew after each round that did
something.
"""

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_fm_runtime.batch import label
from edge_fm_runtime.batch.inputs import find, locators
from edge_fm_runtime.batch.label import FoundInputs, LabelSummary, Listener, Model
from edge_fm_runtime.batch.options import Options
from edge_fm_runtime.hot_reload import HotReloader

SETTLE_S = 1.0
_POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class WatchHooks:
    """Callbacks and the end of a watch.

    Attributes:
        listener: called with progress within a round.
        report: called with the result of a round that changed something.
        reloader: source of new models; all inputs are labelled again with each.
        alive: called in every round, for a watchdog.
        rounds: number of rounds; None for no end.
    """

    listener: Listener
    report: Callable[[LabelSummary], None]
    reloader: HotReloader | None = None
    alive: Callable[[], None] = lambda: None
    rounds: int | None = None


def watch(model: Model, inputs: Sequence[str], output: Path, options: Options, hooks: WatchHooks) -> None:
    """Label existing and new files until interrupted.

    Args:
        model: the model.
        inputs: arguments as `find.find` takes them; folders may be empty.
        output: `.csv`, `.jsonl` or `.parquet`.
        options: how to label.
        hooks: what to call.

    Raises:
        SourceError: an input is not there.
        OutputError: the output cannot be written.
    """
    settled = _Settled()
    done: dict[str, tuple[int, int]] = {}
    own = label.own_files(output)
    for _ in itertools.count() if hooks.rounds is None else range(hooks.rounds):
        hooks.alive()
        fresh = hooks.reloader.check() if hooks.reloader is not None else None
        if fresh is not None:
            model, done = replace(model, data=fresh.data), {}
        ready = settled.of(find.find(inputs, outputs=own, may_be_empty=True))
        if ready and ready != done:
            hooks.report(label.label(model, FoundInputs(ready), output, options, hooks.listener))
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
