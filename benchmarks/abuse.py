"""Use every command wrongly, and check exit code, time, memory, and that there is no traceback.

    python benchmarks/abuse.py [--only WORD]

Then give crafted model files to every command that takes one (`abuse_models.py`).

Every use is a child process: wrong options, types and files, closed streams, a deleted or read-only working
directory, and odd environments. A use hangs if it takes more than ten seconds of processor time, or a minute.
One that takes more than 2 GiB of memory is ended.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import abuse_models

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
LIMIT_S, PATIENCE_S = 10, 60
"""Seconds that a use may take of a processor, and in all, on a machine that is busy."""

LIMIT_BYTES = 2 * 2**30

_CHILDREN = 2
_COMMANDS = [
    "data",
    "zoo",
    "train",
    "export",
    "evaluate",
    "verify",
    "inspect",
    "bench",
    "label",
    "merge",
    "sort",
]
_COMMANDS += ["gallery", "webcam", "manifest", "bundle", "service", "demo", "doctor"]

CONTENT = {"empty": b"", "text": b"text\n", "binary": bytes(range(256)) * 64, "huge-line": b"x" * 2**25}
TARGETS = {"zero": "/dev/zero", "full": "/dev/full", "unreadable": "/proc/self/mem", "dangling": "nowhere"}
WRONG_FILES = (*CONTENT, *TARGETS, "folder", "fifo", "none")
"""Files of the work folder that are no model, no table, no list, no recipe and no picture."""

WRONG_OPTIONS = """
label good --timeout nan
label good --timeout 1e999
label good --timeout -1
label good --timeout ''
label good --top 0
label good --top 101
label good --top 1.5
label good --workers 0
label good --workers 999999999
label good --workers 300
label good --memory 1
label good --memory 99999999999999999999
label good --max-bytes 0
label good --max-bytes -5
label good --max-pixels 9999999999999999999999999
label good --shard 0/0
label good --shard 3
label good --shard 3/2
label good --shard nan/inf
label good --shard 1/2 --watch
label good --shard 1/2 --fields path
label good --shard 1/2 --spreadsheet-safe
label good --spreadsheet-safe -o x.jsonl
label good --spreadsheet-safe -o -
label good --fields nothing
label good --fields ''
label good --fields ,
label good --fields path,,label
label good --labels ''
label good --labels ,
label good --lang xx
label good --lang ''
label good --model ''
label good --model .
label good --model /
label good -o ''
label good -o .
label good -o /
label good -o x
label good -o x.xlsx
label good -o no/such/x.csv
label good -o /proc/x.csv
label good -o good/a.png/x.csv
label good -o - --watch
label good --engine none
label good --engine ray -o x.csv
label good --engine ray --watch -o out
label good --address 127.0.0.1:1
label good --shard-size 0
label
label @none.txt
label @empty
label ''
label 'no-*.png'
label none://bucket/x
label --unknown
label good --top
merge
merge -o x.csv
merge part-1.csv part-2.csv
merge part-1.csv -o x.csv
merge part-1.csv part-1.csv part-2.csv -o x.csv
merge part-1.csv ./part-1.csv part-2.csv -o x.csv
merge part-1.csv part-2.csv -o part-1.csv
merge part-1.csv part-2.csv -o x.txt
merge part-1.csv part-2.csv -o no/such/x.csv
merge part-1.csv part-2.csv --spreadsheet-safe -o x.jsonl
merge labels.csv -o x.csv
merge good -o x.csv
merge none://x -o x.csv
sort
sort labels.csv
sort --into x
sort --undo --into none
sort --undo --into labels.csv
sort labels.csv --into labels.csv
sort labels.csv --into labels.csv/x
sort labels.csv --into /proc/x
sort labels.csv --into x --by steal
sort labels.csv --into x --review-below nan
sort labels.csv --into x --review-below 2
sort doubled.csv --into x --by move
sort nan.csv --into x
sort abc.csv --into x
gallery
gallery nan.csv
gallery labels.csv -o labels.csv
gallery labels.csv -o .
gallery labels.csv -o no/such/x.html
gallery labels.csv -o ''
webcam --view nothing
webcam 99 --view none
webcam none.mp4 --view none
webcam good --view none --every nan
webcam good --view none --smoothing inf
webcam good --view none --hold -1
webcam good --view none --hold 1e9
webcam good --view none --rate nan
webcam good --view none --size big
webcam good --view none --size 0x0
webcam good --view none --region 1,2,3
webcam good --view none --region nan,0,1,1
webcam good --view none --max-storage lots
webcam good --view none --max-storage -1
webcam good --view none --log .
webcam good --view none --record x.txt
webcam good --view none --record no/such/x.mp4
webcam good --view none --port 80
webcam good --view none --token x
webcam good --view web --port 99999
webcam good --view web --tls none none
webcam good --view web --tls self --host ''
webcam good --lang xx --view none
data
data none
data good -o no/such/x.png
data good/a.png
zoo none
zoo ''
zoo a b
inspect
inspect none
inspect good
verify
verify none
bench
bench none
bench fashion --rounds 9
bench fashion --chart x.png
bench x.json
evaluate
evaluate none
evaluate fashion --data none
evaluate fashion --data wardrobe --lang xx
evaluate fashion --data wardrobe --scale raw
train
train wardrobe
train wardrobe -o out --model none
train wardrobe -o out --epochs 0
train wardrobe -o out --epochs nan
train wardrobe -o out --set learning_rate=nan
train wardrobe -o out --set validation=1
train wardrobe -o out --set balance=maybe
train wardrobe -o out --set init_from=
train wardrobe -o out --set dropout=nan
train wardrobe -o out --set dropout
train wardrobe -o out --set none=1
train wardrobe -o out --set folds=-1
train wardrobe -o out --channels 2
train wardrobe -o out --size 28
train none.toml -o out
train text.toml -o out
train cnn -o out
export
export none -o x.onnx
export none.keras -o x.onnx
export good -o x.onnx
export x.keras
export x.keras -o x.onnx --opset 99
export x.keras -o x.onnx --max-drop nan
export x.keras -o x.onnx --min-speedup inf
export x.keras -o x.onnx --unknown-coverage 0
export x.keras -o x.onnx --tta twice
export text.h5 -o x.onnx --labels a,b --scale unit
manifest
manifest none -o x.parquet
manifest good -o x.csv
manifest good -o /proc/x.parquet
bundle
bundle fashion
bundle none -o out
bundle fashion -o out --python 2.7
bundle fashion -o out --platform mars
bundle fashion -o out --with everything
service
service label good
service webcam --view window
service webcam --port nan
service train
demo -o labels.csv
demo -o /proc/x
doctor extra
none
--none
-x
''
"""
"""Command lines that are wrong in themselves; each ends with exit code 2."""


@dataclass(frozen=True)
class Usage:
    """One use of the command line.

    Attributes:
        words: after `edge-fm`.
        codes: exit codes that are right.
        redirect: shell words that open or close streams.
        environment: variables to set, or to unset with None.
        before: shell command ahead of it, such as one that deletes the folder.
    """

    words: tuple[str, ...]
    codes: frozenset[int] = frozenset({2})
    redirect: str = "</dev/null"
    environment: Mapping[str, str | None] = field(default_factory=dict)
    before: str = ":"


@dataclass(frozen=True)
class UsageResult:
    """Outcome of a use: exit code, the limit that it passed, standard error, and peak memory in bytes."""

    usage: Usage
    code: int
    passed: str
    errors: str
    peak_bytes: int

    @property
    def faults(self) -> list[str]:
        """Names of the faults."""
        found = []
        if self.passed:
            found.append(self.passed)
        elif self.code not in self.usage.codes:
            found.append(f"exit code {self.code}, expected {sorted(self.usage.codes)}")
        if "Traceback (most recent" in self.errors:
            found.append("traceback")
        return found


def wrong_usages() -> Iterator[Usage]:
    """Yield every wrong use, for a work folder that `prepare` made."""
    for line in WRONG_OPTIONS.strip().splitlines():
        yield Usage(tuple(shlex.split(line)))
    yield from _wrong_files()
    yield from _odd_words()
    yield from _odd_streams()
    yield from _odd_environments()


def _wrong_files() -> Iterator[Usage]:
    """Yield uses with a file of the wrong kind, where each kind of file is taken."""
    for name in WRONG_FILES:
        yield Usage(("inspect", name))
        yield Usage(("label", "good", "--model", f"{name}.onnx", "-o", "x.csv"))
        yield Usage(("sort", f"{name}.csv", "--into", "x"))
        yield Usage(("gallery", f"{name}.jsonl", "-o", "x.html"))
        yield Usage(("merge", f"{name}.csv", "-o", "x.csv"))
        yield Usage(("label", f"@{name}", "-o", f"list-{name}.csv"), frozenset({0, 1, 2}))
        yield Usage(("label", name, "-o", f"one-{name}.csv"), frozenset({0, 1, 2}))
        yield Usage(("webcam", name, "--view", "none"), frozenset({0, 2}))
        yield Usage(("train", f"{name}.toml", "-o", "out"))


def _odd_words() -> Iterator[Usage]:
    """Yield words that are no UTF-8, of control characters, empty or very long."""
    for word in (
        os.fsdecode(b"\xff\xfe"),
        "\x1b[31mred\n",
        "\u202eabc",
        "😀" * 50,
        "a" * 100_000,
        "-" * 99,
        "%s%n",
    ):
        yield Usage((word,))
        yield Usage(("label", word))
        yield Usage(("inspect", word))
        yield Usage(("label", "good", "--top", word))
        yield Usage(("label", "good", f"--{word}"))
        yield Usage(("sort", f"{word}.csv", "--into", "x"))
        yield Usage(("webcam", word, "--view", "none"))


def _odd_streams() -> Iterator[Usage]:
    """Yield uses without a standard stream, with a full one, and in folders that are gone or read-only."""
    words: tuple[str, ...]
    for words in (("label", "-", "-o", "x.csv"), ("webcam", "-", "--view", "none")):
        yield Usage(words, redirect="<&-")
        yield Usage(words, redirect="</dev/null")
        yield Usage(words, redirect="<binary", codes=frozenset({1, 2}))
        yield Usage(words, redirect="<good", codes=frozenset({1, 2}))
    for command in (
        "zoo",
        "doctor",
        "--help",
        "inspect fashion",
        "verify fashion",
        "label good -o stream-NUMBER.csv",
    ):
        for number, (redirect, codes) in enumerate(
            [
                (">&-", {0}),
                ("2>&-", {0}),
                ("<&- >&- 2>&-", {0}),
                (">/dev/full", {2}),
                ("2>/dev/full", {0, 2}),
                ("| true", {0}),
            ]
        ):
            words = tuple(command.replace("NUMBER", str(number)).split())
            yield Usage(words, frozenset(codes), redirect)
    for name in _COMMANDS:
        yield Usage((name, "x"), before="mkdir gone-$$; cd gone-$$; rmdir ../gone-$$")
    for command in ("label /dev/null", "gallery gallery", "demo", "data wardrobe"):
        yield Usage(tuple(command.split()), before="cd /proc/self")


def _odd_environments() -> Iterator[Usage]:
    """Yield right uses in odd environments, in which they do their work all the same."""
    right = frozenset({0})
    for environment in (
        {"HOME": None, "USER": None},
        {"HOME": "/none"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb"},
        {"TERM": None, "COLUMNS": "1", "LINES": "1"},
        {"COLUMNS": "0"},
        {"COLUMNS": "-5"},
        {"COLUMNS": "abc"},
        {"PYTHONIOENCODING": "ascii"},
        {"TMPDIR": "/none"},
        {"PATH": ""},
        {"XDG_CACHE_HOME": "/none"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2"},
        {"TZ": "None/None"},
    ):
        is_ascii = environment.get("PYTHONIOENCODING") == "ascii" or "PYTHONUTF8" in environment
        codes = right | {2} if is_ascii else right  # Korean labels cannot be shown then, and that is said
        for command in ("label good --fresh --workers 1 -o z.csv", "inspect fashion", "zoo", "--help"):
            own = tuple(command.replace("z.csv", f"env-{abs(hash(str(environment)))}.csv").split())
            yield Usage(own, codes, environment=environment)
        yield Usage(("label", "none"), environment=environment)


def prepare(work: Path) -> None:
    """Make the files that the uses name."""
    (work / "good").mkdir()
    for picture in sorted((SAMPLES / "wardrobe").iterdir())[:3]:
        (work / "good" / picture.name).write_bytes(picture.read_bytes())
    for suffix in ("", ".csv", ".jsonl", ".onnx", ".toml", ".h5"):
        (work / f"folder{suffix}").mkdir()
        os.mkfifo(work / f"fifo{suffix}")
        for name, data in CONTENT.items():
            (work / f"{name}{suffix}").write_bytes(data)
        for name, target in TARGETS.items():
            (work / f"{name}{suffix}").symlink_to(target)
    header = "path,status,label,confidence,error\n"
    picture = next((work / "good").iterdir())
    for name, rows in {
        "labels": [f"{picture},ok,Bag,0.9,"],
        "doubled": [f"{picture},ok,Bag,0.9,"] * 2,
        "nan": [f"{picture},ok,Bag,nan,"],
        "abc": [f"{picture},ok,Bag,abc,"],
    }.items():
        (work / f"{name}.csv").write_text(header + "\n".join(rows) + "\n")
    (work / "x.keras").write_bytes((SAMPLES / "cnn.keras").read_bytes())
    for index in (1, 2):
        words = ("label", "good", "--shard", f"{index}/2", "-o", f"part-{index}.csv")
        made = run(Usage(words, frozenset({0})), work)
        if made.faults:
            raise SystemExit(f"the parts for the uses of merge could not be made: {made.errors}")


def run(usage: Usage, work: Path) -> UsageResult:
    """Run one use in the work folder, and end it where it hangs."""
    script = (
        f'{usage.before}; exec "$@" {usage.redirect}'
        if "|" not in usage.redirect
        else f'{{ "$@"; echo $? >code-$$; }} {usage.redirect}; read code <code-$$; rm code-$$; exit $code'
    )
    words = ["/bin/sh", "-c", script, "sh", sys.executable, "-m", "edge_fm", *usage.words]
    environment = {**os.environ, **usage.environment}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            words,
            cwd=work,
            env={name: value for name, value in environment.items() if value is not None},
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        code, fault, peak_bytes = _wait(child.pid)
        child.returncode = code  # it was waited for
        errors.seek(0)
        return UsageResult(usage, code, fault, errors.read().decode(errors="replace"), peak_bytes)


def _wait(pid: int) -> tuple[int, str, int]:
    """Return the exit code of a process, which limit it passed, and its peak memory in bytes."""
    started_s = time.monotonic()
    fault = ""
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            if usage.ru_utime + usage.ru_stime > LIMIT_S:
                fault = fault or "hang"
            return os.waitstatus_to_exitcode(status), fault, usage.ru_maxrss * 1024
        if time.monotonic() - started_s > PATIENCE_S:
            fault = fault or "hang"
        elif _resident_bytes(pid) > LIMIT_BYTES:
            fault = fault or "memory"
        if fault:
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.01)


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return 0


def main() -> None:
    """Run every use and print the counts; exit with code 1 after a fault."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="uses with this word")
    options = parser.parse_args()
    usages = [usage for usage in wrong_usages() if options.only in " ".join(usage.words)]
    with (
        tempfile.TemporaryDirectory(prefix="edge-fm-abuse-") as name,
        ThreadPoolExecutor(_CHILDREN) as threads,
    ):
        work = Path(name)
        prepare(work)
        results = list(threads.map(lambda usage: run(usage, work), usages))
    faults = Counter(fault.split(",")[0] for result in results for fault in result.faults)
    for result in results:
        if result.faults:
            shown = [ascii(word)[:60] for word in result.usage.words]
            print(
                f"{'; '.join(result.faults)}: {' '.join(shown)} {result.usage.redirect} {result.usage.environment}"
            )
            print(f"    {result.errors[-300:]!a}")
    codes = Counter(result.code for result in results)
    peak = max((result.peak_bytes for result in results), default=0)
    print(
        f"{len(results)} runs, {faults['traceback']} tracebacks, {faults['hang']} hangs, {faults['memory']} over "
        f"{LIMIT_BYTES / 2**30:.0f} GiB, peak {peak / 2**20:.0f} MiB"
    )
    print("exit codes:", ", ".join(f"{count} of {code}" for code, count in codes.most_common()))
    is_sound = abuse_models.run_all(options.only)
    sys.exit(1 if any(result.faults for result in results) or not is_sound else 0)


if __name__ == "__main__":
    main()
