"""Labelling folders: one row per input, whatever it is and whatever happens."""

import csv
import os
import resource
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_fm_runtime.batch import ledger, sources
from edge_fm_runtime.batch.options import BATCH, Options, RowOptions
from edge_fm_runtime.batch.rows import decode
from edge_fm_runtime.batch.run import Model, Summary, label
from edge_fm_runtime.batch.work import label_rows
from edge_fm_runtime.classifier import Classifier
from edge_fm_runtime.errors import OutputError, SourceError
from edge_fm_runtime.modelfile import read_model
from edge_fm_runtime.status import Status
from tests.pictures import encoded

GREY = np.full((30, 30), 250, np.uint8)
PNG, JPEG = encoded(GREY), encoded(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8), ".jpg")


@pytest.fixture(scope="module")
def tiny(tiny_path: Path) -> Model:
    """Return the model that answers with the mean grey level."""
    return Model(tiny_path.read_bytes())


def quiet(_done: int, _total: int, _made: object) -> None:
    """Listen to nothing."""


def run(model: Model, output: Path, *inputs: object, options: Options = Options()) -> Summary:  # noqa: B008
    """Label without a listener."""
    return label(model, list(map(str, inputs)), output, options, quiet)


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return the rows of a CSV by path."""
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert len({row["path"] for row in found}) == len(found)
    return {row["path"]: row for row in found}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with every kind of input."""
    made = tmp_path / "in"
    (made / "sub folder").mkdir(parents=True)
    contents = {
        "plain.png": PNG,
        "with space.png": PNG,
        "new\nline.png": PNG,
        'quote",comma.png': PNG,
        "ümläut 티셔츠.png": PNG,
        "sub folder/deep.jpg": JPEG,
        "empty.jpg": b"",
        "cut.jpg": JPEG[: len(JPEG) // 2],
        "cut.png": PNG[:-10],
        "notes.txt": b"no picture",
        "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0",
        "wrong suffix.txt": PNG,
        "dark.png": encoded(np.full((28, 28), 120, np.uint8)),
        ".hidden.png": PNG,
    }
    for name, data in contents.items():
        (made / name).write_bytes(data)
    (made / ".hidden").mkdir()
    (made / ".hidden" / "x.png").write_bytes(PNG)
    (made / "link.png").symlink_to(made / "plain.png")
    (made / "broken link.png").symlink_to(made / "nowhere")
    (made / "loop").symlink_to(made)
    with open(os.fsencode(made) + b"/\xff\xfe.png", "wb") as file:  # noqa: PTH123  # a name that is no UTF-8
        file.write(PNG)
    return made


def test_every_input_has_its_row(tiny: Model, folder: Path, tmp_path: Path) -> None:
    """Pictures, odd names, links and damaged files each get one row with the right status."""
    summary = run(tiny, tmp_path / "out.csv", folder)
    found = {
        path.removeprefix(f"{folder}/"): row["status"] for path, row in rows(tmp_path / "out.csv").items()
    }
    assert found == {
        "plain.png": "ok",
        "with space.png": "ok",
        "new\nline.png": "ok",
        'quote",comma.png': "ok",
        "ümläut 티셔츠.png": "ok",
        "sub folder/deep.jpg": "unknown",
        "empty.jpg": "empty",
        "cut.jpg": "truncated",
        "cut.png": "truncated",
        "notes.txt": "unsupported",
        "photo.heic": "unsupported",
        "wrong suffix.txt": "ok",
        "dark.png": "unknown",
        "link.png": "ok",
        "broken link.png": "missing",
        "\\xff\\xfe.png": "ok",
    }
    assert summary.rows == len(found)
    assert summary.bad == 4


def test_rows_are_sorted_and_complete(tiny: Model, folder: Path, tmp_path: Path) -> None:
    """Rows come in the order of their path's bytes; answers have four decimals, failures a sentence."""
    run(tiny, tmp_path / "out.csv", folder, options=Options(RowOptions(top=2)))
    found = rows(tmp_path / "out.csv")
    paths = [path.encode() for path in found]
    assert paths == sorted(paths)
    plain = found[f"{folder}/plain.png"]
    assert list(plain) == ["path", "status", "label", "confidence", "label_2", "confidence_2", "error"]
    assert (plain["label"], plain["confidence"], plain["label_2"]) == ("light", "0.9804", "dark")
    assert all(bool(row["error"]) != bool(row["label"]) for row in found.values())


def test_inputs_are_never_modified(tiny: Model, folder: Path, tmp_path: Path) -> None:
    """The inputs are the same bytes afterwards, and nothing appears among them."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run(tiny, tmp_path / "out.csv", folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_own_files_are_no_inputs(tiny: Model, tmp_path: Path) -> None:
    """An output inside the input folder is not labelled, now or in the next run."""
    (tmp_path / "a.png").write_bytes(PNG)
    for _ in range(2):
        assert run(tiny, tmp_path / "labels.csv", tmp_path).rows == 1


def test_a_path_given_twice_is_one_row(tiny: Model, tmp_path: Path) -> None:
    """A file and its folder, the folder twice, and another spelling are still one row."""
    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    picture.write_bytes(PNG)
    spelled = f"{tmp_path}/in/../in"
    assert run(tiny, tmp_path / "out.csv", picture.parent, picture, picture.parent, spelled).rows == 1


def test_paths_are_as_given(tiny: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder gives relative paths."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    run(tiny, Path("out.csv"), "in")
    assert list(rows(Path("out.csv"))) == ["in/a.png"]


def test_missing_and_empty_inputs(tiny: Model, tmp_path: Path) -> None:
    """A name that is not there, or a folder without files, is an error and writes nothing."""
    (tmp_path / "empty").mkdir()
    for name in ("empty", "typo"):
        with pytest.raises(SourceError, match=name):
            run(tiny, tmp_path / "out.csv", tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


@pytest.fixture
def nobody() -> Iterator[Path]:
    """Return a folder of a user who, unlike root, may be refused; that user acts in the test."""
    was_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if was_root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if was_root:
                os.seteuid(0)
            else:
                (folder / "in" / "closed").chmod(0o700)


def test_an_unreadable_file_and_folder(tiny: Model, nobody: Path) -> None:
    """What this user may not read is a row, and the run goes on."""
    made = nobody / "in"
    (made / "closed").mkdir(parents=True)
    (made / "a.png").write_bytes(PNG)
    (made / "secret.png").write_bytes(PNG)
    (made / "secret.png").chmod(0)
    (made / "closed").chmod(0)
    # In this process: the other user may not start the interpreter of a worker.
    lines = label_rows(Classifier.from_bytes(tiny.data), sources.find([str(made)]), RowOptions())
    found = {Path(row.path).name: row.status for row, _ in map(decode, lines)}
    assert found == {"a.png": Status.OK, "secret.png": Status.UNREADABLE, "closed": Status.UNREADABLE}


def test_an_output_folder_without_permission(tiny: Model, nobody: Path) -> None:
    """An output folder that this user may not write is a sentence."""
    (nobody / "in" / "closed").mkdir(parents=True)
    (nobody / "in" / "closed").chmod(0o500)
    (nobody / "a.png").write_bytes(PNG)
    with pytest.raises(OutputError, match="Permission denied"):
        run(tiny, nobody / "in" / "closed" / "out.csv", nobody / "a.png")


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Return a folder with more pictures than two batches."""
    made = tmp_path / "many"
    made.mkdir()
    rng = np.random.default_rng(1)
    for index in range(2 * BATCH + 7):
        (made / f"{index}.png").write_bytes(
            encoded(rng.integers(0, 256, (28, 28), np.uint8) // (index % 5 + 1))
        )
    return made


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


def test_a_resumed_run_gives_the_same_bytes(tiny: Model, many: Path, tmp_path: Path) -> None:
    """Stopped and resumed equals undisturbed, and only the rest was done."""
    run(tiny, tmp_path / "whole.csv", many)
    done = stopped_run(tiny, tmp_path / "out.csv", many, BATCH)
    assert BATCH <= done < 2 * BATCH + 7
    assert not (tmp_path / "out.csv").exists()
    assert run(tiny, tmp_path / "out.csv", many).resumed == done
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_what_a_killed_run_left_is_swept(tiny: Model, many: Path, tmp_path: Path) -> None:
    """A half-written output of a run that was killed goes with the next run; another output's, or a user's file, stays."""
    mine, others = (
        tmp_path / ".out.csv.x1y2.partial",
        [tmp_path / ".out.csv.csv.x.partial", tmp_path / "out.csv.partial"],
    )
    for path in (mine, *others):
        path.write_text("half")
    run(tiny, tmp_path / "out.csv", many)
    assert not mine.exists()
    assert all(path.exists() for path in others)


def test_a_torn_journal_line_is_done_again(tiny: Model, many: Path, tmp_path: Path) -> None:
    """A line that was half written when the power went is not trusted."""
    run(tiny, tmp_path / "whole.csv", many)
    done = stopped_run(tiny, tmp_path / "out.csv", many, BATCH)
    journal = ledger.journal_path(tmp_path / "out.csv")
    journal.write_bytes(journal.read_bytes()[:-9])
    assert run(tiny, tmp_path / "out.csv", many).resumed == done - 1
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_changed_file_is_done_again(tiny: Model, many: Path, tmp_path: Path) -> None:
    """Only the files whose size or time changed, and new ones, are read again."""
    first = run(tiny, tmp_path / "out.csv", many)
    (many / "0.png").write_bytes(PNG)
    (many / "new.png").write_bytes(PNG)
    (many / "1.png").unlink()
    second = run(tiny, tmp_path / "out.csv", many)
    assert (second.rows, second.resumed) == (first.rows, first.rows - 2)
    assert rows(tmp_path / "out.csv")[str(many / "0.png")]["label"] == "light"


def test_another_model_or_option_starts_over(
    tiny: Model, bare_path: Path, many: Path, tmp_path: Path
) -> None:
    """Rows of another model or another --top are not reused, and the user is told."""
    run(tiny, tmp_path / "out.csv", many)
    again = run(tiny, tmp_path / "out.csv", many, options=Options(RowOptions(top=2)))
    assert again.resumed == 0
    assert "done again" in again.note
    other = Model(bare_path.read_bytes(), ("night", "day"))
    assert run(other, tmp_path / "out.csv", many, options=Options(RowOptions(top=2))).resumed == 0
    fresh = run(other, tmp_path / "out.csv", many, options=Options(RowOptions(top=2), fresh=True))
    assert (fresh.resumed, fresh.note) == (0, "")


def test_a_second_run_is_told_who_holds_the_output(tiny: Model, many: Path, tmp_path: Path) -> None:
    """Two runs on one output cannot mix their rows."""
    begun, go_on = threading.Event(), threading.Event()

    def wait(_done: int, _total: int, _made: object) -> None:
        begun.set()
        go_on.wait(30)

    first = threading.Thread(target=label, args=(tiny, [str(many)], tmp_path / "out.csv", Options(), wait))
    first.start()
    try:
        assert begun.wait(30)
        with pytest.raises(OutputError, match=f"process {os.getpid()}"):
            run(tiny, tmp_path / "out.csv", many)
    finally:
        go_on.set()
        first.join()
    assert run(tiny, tmp_path / "out.csv", many).resumed == 2 * BATCH + 7
    assert not ledger.lock_path(tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["no/such/folder/out.csv", "out.xlsx", "folder.csv"])
def test_an_output_that_cannot_be_written(tiny: Model, many: Path, tmp_path: Path, name: str) -> None:
    """It is refused before any work is done."""
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError):
        run(tiny, tmp_path / name, many)


def test_a_disk_that_fills_up_is_a_sentence(tiny: Model, many: Path, tmp_path: Path) -> None:
    """A journal that cannot grow stops the run with the reason; with room again, it goes on."""
    run(tiny, tmp_path / "whole.csv", many)
    room = 4096
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, kept[1]))
    try:
        with pytest.raises(OutputError, match="What was done so far is kept"):
            run(tiny, tmp_path / "out.csv", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not (tmp_path / "out.csv").exists()
    assert run(tiny, tmp_path / "out.csv", many).resumed > 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_journal_that_cannot_begin_frees_the_output(tiny: Model, many: Path, tmp_path: Path) -> None:
    """Without room for the journal's first line the run stops with the reason, and leaves no lock and no file."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, kept[1]))
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            run(tiny, tmp_path / "out.csv", many)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in tmp_path.iterdir()] == ["many"]


def test_an_output_folder_that_disappears(tiny: Model, many: Path, tmp_path: Path) -> None:
    """A folder removed in mid-run is a sentence at the end, not a traceback."""
    gone = tmp_path / "gone"
    gone.mkdir()

    def remove(done: int, _total: int, _made: object) -> None:
        if done and gone.exists():
            shutil.rmtree(gone)

    with pytest.raises(OutputError, match="No such file or directory"):
        label(tiny, [str(many)], gone / "out.csv", Options(), remove)


def test_a_deleted_file_is_missing(tiny: Model, many: Path, tmp_path: Path) -> None:
    """A file that goes away between the listing and the reading is a row, not the end."""
    found = sources.find([str(many)])
    shutil.rmtree(many)
    summary = label(tiny, [str(many)], tmp_path / "out.csv", Options(), quiet, found=found)
    assert summary.by_status == {Status.MISSING: len(found)}


def test_a_row_does_not_depend_on_its_neighbours(many: Path, tmp_path: Path) -> None:
    """Alone or in a batch, a picture gets the same row from the bundled int8 model."""
    fashion = Model(read_model("fashion"))
    run(fashion, tmp_path / "whole.csv", many, options=Options(RowOptions(top=10)))
    whole = rows(tmp_path / "whole.csv")
    for index in (0, 5, 40):
        alone = tmp_path / f"{index}.csv"
        run(fashion, alone, many / f"{index}.png", options=Options(RowOptions(top=10)))
        assert rows(alone)[str(many / f"{index}.png")] == whole[str(many / f"{index}.png")]
