"""The choice among several candidates."""

import csv
from pathlib import Path

import numpy as np

from edge_fm.training.auto import candidates
from edge_fm.training.auto.candidates import Budget, Cost, ModelCandidate, ModelTrial, is_behind, taken
from edge_fm_exporters.evidence.findings import MeasuredAccuracy


def trial(name: str, wrong: int, kilobytes: float, note: str = "", *, start: int = 0) -> ModelTrial:
    """Return a trial with `wrong` of 100 pictures wrong, from the one at `start` on."""
    right = np.ones(100, bool)
    right[start : start + wrong] = False
    part = MeasuredAccuracy(100 - wrong, 100, 50)
    return ModelTrial(
        candidate=ModelCandidate(name, 28, 1), cost=Cost(kilobytes, 1.0), right=right, part=part, note=note
    )


def test_the_smallest_within_one_standard_error_is_taken() -> None:
    """A small model that misses one picture more is taken, one that misses ten more is not."""
    best, near, far = trial("best", 5, 3000), trial("near", 6, 800, start=2), trial("far", 15, 100)
    found = taken([best, near, far])
    assert found is not None
    assert found[0] is near
    assert "best" in found[1]
    found = taken([best, far])
    assert found is not None
    assert found[0] is best


def test_what_was_left_out_is_not_taken() -> None:
    """A candidate with a note is none, and without any there is no choice."""
    assert taken([trial("left out", 0, 10, "over --max-kb 5")]) is None
    found = taken([trial("left out", 0, 10, "over --max-kb 5"), trial("tried", 40, 900)])
    assert found is not None
    assert str(found[0].candidate).startswith("tried")


def test_the_difference_is_judged_on_the_same_pictures() -> None:
    """Four pictures of a hundred are behind where all others agree, and not where both miss many others."""
    best, worse = np.ones(100, bool), np.ones(100, bool)
    worse[:4] = False
    assert is_behind(worse, best, 1.5)
    one, other = np.ones(100, bool), np.ones(100, bool)
    one[:20] = False
    other[20:44] = False
    assert not is_behind(other, one, 1.5)
    assert not is_behind(best, best, 0.0)


def test_a_budget_names_what_is_exceeded() -> None:
    """Size and time each have their option in the words."""
    assert Cost(4001, 1).excess(Budget()) == "over --max-kb 4000"
    assert Cost(100, 11).excess(Budget()) == "over --max-ms 10"
    assert Cost(100, 1).excess(Budget()) == ""


def test_the_table_has_a_row_for_each_candidate(tmp_path: Path) -> None:
    """The CSV in the run folder says of each candidate what was found, or why nothing was."""
    trials = [
        trial("tried", 10, 800),
        ModelTrial(candidate=ModelCandidate("other", 64, 3), note="needs TensorFlow"),
    ]
    candidates.write(tmp_path / candidates.RECORD, trials)
    with (tmp_path / candidates.RECORD).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["tried, 28x28 grey", "other, 64x64 colour"]
    assert rows[0]["accuracy"] == "0.900"
    assert rows[1]["note"] == "needs TensorFlow"
