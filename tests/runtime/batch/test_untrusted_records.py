"""Tables, journals, parts and plans that anybody may have made."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import pytest

from edge_fm_runtime.batch import sort, sort_undo
from edge_fm_runtime.batch.options import Shard
from edge_fm_runtime.batch.outputs import files
from edge_fm_runtime.batch.outputs.journal import Journal, RunKey, journal_path
from edge_fm_runtime.batch.outputs.lock import lock_path
from edge_fm_runtime.batch.outputs.rows import decode
from edge_fm_runtime.batch.outputs.shards import Part, meta_path
from edge_fm_runtime.cluster.manifest import Manifest
from edge_fm_runtime.cluster.plan import RECORD, ClusterPlan
from edge_fm_runtime.cluster.storage import Folder
from edge_fm_runtime.errors import OutputError, SourceError

KEY = RunKey("0" * 64, 3, 1, 100, 100)
PART = Part(KEY, Shard(1, 2), 1, 2, "0" * 64)
PLAN = ClusterPlan(
    manifest=Manifest("list.parquet", 10, "0" * 64),
    inputs=("photos",),
    run_key=KEY,
    shard_inputs=5,
    working_directory="/",
)
TEXTS = {
    "deep": '{"a":' * 100_000,
    "digits": '{"edge_fm_part": ' + "9" * 400 + "}",
    "nan": '{"a": NaN}',
    "infinite": '{"a": 1e999}',
    "twice": '{"a": 1, "a": 1}',
    "list": "[]",
    "number": "7",
    "nothing": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_broken_json_is_an_error_of_every_reader(tmp_path: Path, text: str) -> None:
    """A part, a plan and a table say that they cannot be read; a line of a journal is skipped."""
    part, table = tmp_path / "part.csv", tmp_path / "labels.jsonl"
    for path in (part, meta_path(part), table, tmp_path / RECORD):
        path.write_text(text)
    with pytest.raises(SourceError, match="does not say which part it is"):
        Part.of(str(part))
    with pytest.raises(OutputError, match="is not the plan of a run"):
        ClusterPlan.load(Folder(str(tmp_path)))
    if text:
        with pytest.raises(SourceError, match="is not a complete output"):
            list(files.read(table))
    with pytest.raises((ValueError, TypeError)):
        decode(text.encode())
    (tmp_path / sort_undo.JOURNAL).write_text(text)
    assert sort_undo.undo(tmp_path).torn == (text != "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard": {"index": 1, "count": 2**53 - 1}}, "the shard 1/9007199254740991"),
        ({"shard": {"index": 0, "count": 2}}, "the shard 0/2"),
        ({"rows": 3}, "3 rows of 2"),
        ({"rows": "1"}, "no int"),
        ({"terms": asdict(KEY) | {"top": 2**53 - 1}}, "9007199254740991 labels"),
        ({"terms": asdict(KEY) | {"model_sha256": 7}}, "no str"),
        ({"by_label": {"a": "1"}}, "no int"),
        ({"other": 1}, "no field"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_part_with_impossible_values_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """Numbers that a loop would never reach, and wrong types, are refused when the part is read."""
    part = tmp_path / "part.csv"
    part.touch()
    meta_path(part).write_text(PART.to_json())
    assert Part.of(str(part)) == PART
    meta_path(part).write_text(json.dumps(json.loads(PART.to_json()) | change))
    with pytest.raises(SourceError, match=message):
        Part.of(str(part))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard_inputs": 0}, "shards of 0 inputs"),
        ({"list": asdict(PLAN.manifest) | {"rows": 2**53 - 1}}, "shards, the limit is"),
        ({"list": asdict(PLAN.manifest) | {"rows": -1}}, "a list of -1 inputs"),
        ({"inputs": "photos"}, "no list"),
        ({"here": None}, "no str"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_plan_with_impossible_values_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    """A plan of no or endlessly many shards is refused when it is read."""
    record = tmp_path / RECORD
    record.write_bytes(PLAN.record(None))
    assert ClusterPlan.load(Folder(str(tmp_path))) == PLAN
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    with pytest.raises(OutputError, match=message):
        ClusterPlan.load(Folder(str(tmp_path)))


@pytest.mark.parametrize("cell", ["x", "nan", "1e999", "-1", "2"])
def test_a_confidence_that_is_none_is_refused(tmp_path: Path, cell: str) -> None:
    """A table of any format has confidences from 0 to 1, or is no output of a labelling."""
    table = tmp_path / "labels.csv"
    table.write_text(f"path,status,label,confidence,error\na.png,ok,Coat,{cell},\n")
    with pytest.raises(SourceError, match="is not a complete output"):
        list(files.read(table))
    lines = tmp_path / "labels.jsonl"
    lines.write_text('{"path": "a", "status": "ok", "label": ["Coat"], "confidence": 0.5, "error": ""}')
    with pytest.raises(SourceError, match="expected text"):
        list(files.read(lines))


def test_pipes_and_endless_lines_are_refused(tmp_path: Path) -> None:
    """A pipe in the place of a table, a plan, a part or a journal blocks nothing; a line has a limit."""
    for name in ("labels.csv", "labels.jsonl", RECORD, "part.csv.meta.json", sort_undo.JOURNAL):
        os.mkfifo(tmp_path / name)
    (tmp_path / "part.csv").touch()
    for name in ("labels.csv", "labels.jsonl"):
        with pytest.raises(SourceError, match="no regular file"):
            list(files.read(tmp_path / name))
    with pytest.raises(OutputError, match="named pipe"):
        ClusterPlan.load(Folder(str(tmp_path)))
    with pytest.raises(SourceError, match="named pipe"):
        Part.of(str(tmp_path / "part.csv"))
    with pytest.raises(SourceError, match="named pipe"):
        sort_undo.undo(tmp_path)
    with (tmp_path / "long.csv").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(SourceError, match="a line of over"):
        list(files.read(tmp_path / "long.csv"))


@pytest.mark.parametrize("place", [journal_path, lock_path])
def test_a_pipe_in_the_place_of_a_journal_is_refused(tmp_path: Path, place: object) -> None:
    """Neither the journal nor its lock is opened if it is no regular file."""
    assert callable(place)
    os.mkfifo(place(tmp_path / "labels.csv"))
    with pytest.raises(OutputError, match="named pipe"):
        Journal(tmp_path / "labels.csv", KEY, [], fresh=False)


UNUSUAL = (
    b'["ok", "\\ud800", 1, 2, [["a", "0.5"]], ""]\n',
    b'["ok", "a", 1, 2, [["\\ud800", "0.5"]], ""]\n',
    b'{"ok": 0, "p": 0, "x": 0, "y": 0, "": 0, "e": 0}\n',
)
"""Half a surrogate pair, which no output can hold, and an object of six keys."""


def test_a_journal_with_wrong_lines_is_read_up_to_them(tmp_path: Path) -> None:
    """Lines of wrong types, huge integers or without an end are cut off, and their inputs done again."""
    output = tmp_path / "labels.csv"
    for line in (
        b"7\n",
        b'["ok", 1, 2, 3, [], ""]\n',
        b'["ok", "a", 9e9, 3, [], ""]\n',
        b"9" * 400 + b"\n",
        *UNUSUAL,
    ):
        with Journal(output, KEY, ["a"], fresh=True):
            pass
        journal_path(output).write_bytes(journal_path(output).read_bytes() + line)
        with Journal(output, KEY, ["a"], fresh=False) as journal:
            assert journal.open_indices == [0]
            assert line not in journal_path(output).read_bytes()


@pytest.mark.parametrize("target", ["/x/../victim", "/x/..", "/victim", "/"])
def test_a_journal_of_sort_stays_in_its_folder(target: str, tmp_path: Path) -> None:
    """A journal that a stranger wrote cannot take a file from beside the sorted folder."""
    into = tmp_path / "sorted"
    into.mkdir()
    (tmp_path / "victim").write_text("a user's file")
    record = {"way": "move", "source": str(tmp_path / "planted"), "target": target}
    (into / sort_undo.JOURNAL).write_text(json.dumps(record) + "\n")
    sort_undo.undo(into)
    assert (tmp_path / "victim").read_text() == "a user's file"
    assert not (tmp_path / "planted").exists()


def test_undo_follows_no_link_to_another_folder(tmp_path: Path) -> None:
    """A class folder that is a link is left alone."""
    into = tmp_path / "sorted"
    into.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "victim").write_text("a user's file")
    (into / "Bag").symlink_to(tmp_path / "elsewhere")
    record = {"way": "move", "source": str(tmp_path / "planted"), "target": str(into / "Bag" / "victim")}
    (into / sort_undo.JOURNAL).write_text(json.dumps(record) + "\n")
    assert sort_undo.undo(into).kept
    assert (tmp_path / "elsewhere" / "victim").exists()


def test_a_pipe_in_the_place_of_the_journal_of_sort(tmp_path: Path) -> None:
    """Sorting does not wait for a pipe that nobody writes to."""
    os.mkfifo(tmp_path / sort_undo.JOURNAL)
    with pytest.raises(OutputError, match="cannot be placed"):
        sort.carry_out([], tmp_path, sort.Way.MOVE, lambda _done, _total: None)


def test_more_shards_than_a_part_can_say(tmp_path: Path) -> None:
    """A number of shards over the limit is refused before the work, not after it."""
    with pytest.raises(SourceError, match="limit of 1,000,000"):
        Shard.parse("1/1000001")
    with pytest.raises(OutputError, match="too long a name"):
        files.check(tmp_path / ("a" * 240 + ".csv"), files.TableFormat(top=1))
