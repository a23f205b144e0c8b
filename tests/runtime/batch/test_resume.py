"""Interrupted labelling: nothing is lost, and the same command resumes."""

import os
import resource
import shutil
import signal
import threading
from pathlib import Path

import pytest

from edge_fm_runtime.batch.inputs import find
from edge_fm_runtime.batch.label import FoundInputs, Model, label
from edge_fm_runtime.batch.options import BATCH, Options, RowOptions
from edge_fm_runtime.batch.outputs import journal as journal_module
from edge_fm_runtime.batch.outputs.lock import lock_path
from edge_fm_runtime.errors import OutputError
from edge_fm_runtime.status import Status
from tests.runtime.labelling import DARK, PNG, quiet, rows, run


class Stop(Exception):  # noqa: N818  # not an error: a kill
    """Stands for a kill in the middle of a run."""


def stopped_run(classifier: Model, output: Path, many: Path, after: int) -> int:
    """Run until `after` rows are done, then stop; return how many were done."""
    made = 0

    def listen(done: int, _total: int, _made: object) -> None:
        nonlocal made
        made = done
        if done >= after:
            raise Stop

    with pytest.raises(Stop):
        label(classifier, [str(many)], output, Options(), listen)
    return made


def test_a_resumed_run_gives_the_same_bytes(model: Model, many: Path, tmp_path: Path) -> None:
    """Stopped and resumed equals undisturbed, and only the rest was done."""
    run(model, tmp_path / "whole.csv", many)
    done = stopped_run(model, tmp_path / "out.csv", many, BATCH)
    assert BATCH <= done < len(list(many.iterdir()))
    assert not (tmp_path / "out.csv").exists()
    assert run(model, tmp_path / "out.csv", many).resumed == done
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_what_a_killed_run_left_is_swept(model: Model, many: Path, tmp_path: Path) -> None:
    """The next run removes a killed run's partial output, and no other file."""
    mine, others = (
        tmp_path / ".out.csv.x1y2.partial",
        [tmp_path / ".out.csv.csv.x.partial", tmp_path / "out.csv.partial"],
    )
    for path in (mine, *others):
        path.write_text("half")
    run(model, tmp_path / "out.csv", many)
    assert not mine.exists()
    assert all(path.exists() for path in others)


def test_a_torn_journal_line_is_done_again(model: Model, many: Path, tmp_path: Path) -> None:
    """A line that was half written when the power went is not trusted."""
    run(model, tmp_path / "whole.csv", many)
    done = stopped_run(model, tmp_path / "out.csv", many, BATCH)
    journal = journal_module.journal_path(tmp_path / "out.csv")
    journal.write_bytes(journal.read_bytes()[:-9])
    assert run(model, tmp_path / "out.csv", many).resumed == done - 1
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_changed_file_is_done_again(model: Model, many: Path, tmp_path: Path) -> None:
    """Only the files whose size or time changed, and new ones, are read again."""
    first = run(model, tmp_path / "out.csv", many)
    (many / "0.png").write_bytes(PNG)
    (many / "new.png").write_bytes(PNG)
    (many / "1.png").unlink()
    second = run(model, tmp_path / "out.csv", many)
    assert (second.rows, second.resumed) == (first.rows, first.rows - 2)
    assert rows(tmp_path / "out.csv")[str(many / "0.png")]["label"] == "light"


def test_another_model_or_option_starts_over(
    model: Model, bare_path: Path, many: Path, tmp_path: Path
) -> None:
    """Rows of another model or another --top are not reused, and the user is told."""
    run(model, tmp_path / "out.csv", many)
    again = run(model, tmp_path / "out.csv", many, options=Options(RowOptions(top=2)))
    assert again.resumed == 0
    assert "done again" in again.note
    other = Model(bare_path.read_bytes(), ("night", "day"))
    assert run(other, tmp_path / "out.csv", many, options=Options(RowOptions(top=2))).resumed == 0
    fresh = run(other, tmp_path / "out.csv", many, options=Options(RowOptions(top=2), fresh=True))
    assert (fresh.resumed, fresh.note) == (0, "")


def test_a_second_run_names_the_holder_of_the_output(model: Model, many: Path, tmp_path: Path) -> None:
    """Two runs on one output cannot mix their rows."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(_done: int, _total: int, _made: object) -> None:
        begun.set()
        go_on.wait(30)

    first = threading.Thread(target=label, args=(model, [str(many)], tmp_path / "out.csv", Options(), wait))
    first.start()
    try:
        assert begun.wait(30)
        with pytest.raises(OutputError, match=f"process {os.getpid()}"):
            run(model, tmp_path / "out.csv", many)
    finally:
        go_on.set()
        first.join()
    assert run(model, tmp_path / "out.csv", many).resumed == len(list(many.iterdir()))
    assert not lock_path(tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["no/such/folder/out.csv", "out.xlsx", "folder.csv"])
def test_an_output_that_cannot_be_written(model: Model, many: Path, tmp_path: Path, name: str) -> None:
    """It is refused before any work is done."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError):
        run(model, tmp_path / name, many)


def test_a_disk_that_fills_up_is_a_sentence(model: Model, many: Path, tmp_path: Path) -> None:
    """A journal that cannot grow stops the run with the reason; with room again, it goes on."""
    run(model, tmp_path / "whole.csv", many)
    room = 4096
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, kept[1]))
    try:
        with pytest.raises(OutputError, match="What was done so far is kept"):
            run(model, tmp_path / "out.csv", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "out.csv").exists()
    assert run(model, tmp_path / "out.csv", many).resumed > 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_journal_that_cannot_begin_frees_the_output(model: Model, many: Path, tmp_path: Path) -> None:
    """Without space for the journal, the run stops with the reason and leaves no file."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, kept[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            run(model, tmp_path / "out.csv", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_an_output_folder_that_disappears(model: Model, many: Path, tmp_path: Path) -> None:
    """A folder removed in mid-run is a sentence at the end, not a traceback."""
    gone = tmp_path / "gone"
    gone.mkdir()

    def remove(done: int, _total: int, _made: object) -> None:
        if done and gone.exists():
            shutil.rmtree(gone)

    with pytest.raises(OutputError, match="No such file or directory"):
        label(model, [str(many)], gone / "out.csv", Options(), remove)


def test_a_deleted_file_is_missing(model: Model, many: Path, tmp_path: Path) -> None:
    """A file that goes away between the listing and the reading is a row, not the end."""
    found = find.find([str(many)])
    shutil.rmtree(many)
    summary = label(model, FoundInputs(found), tmp_path / "out.csv", Options(), quiet)
    assert summary.by_status == {Status.MISSING: len(found)}


def test_a_journal_of_an_older_version_resumes(model: Model, folder: Path, tmp_path: Path) -> None:
    """Rows whose path may have meant another file are done again; all others are kept."""
    (folder / "\\xff.png").write_bytes(DARK)
    out = tmp_path / "out.csv"
    first = run(model, out, folder)
    whole = out.read_bytes()
    journal = journal_module.journal_path(out)
    old = journal.read_bytes().replace(b'"edge_fm_journal": 3', b'"edge_fm_journal": 2')
    journal.write_bytes(old.replace(b"\\\\x5cxff", b"\\\\xff"))
    second = run(model, out, folder)
    assert (second.resumed, second.note) == (first.rows - 2, "")
    assert out.read_bytes() == whole
