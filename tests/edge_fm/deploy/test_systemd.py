"""systemd units: what they confine for each command, and arguments that reach the command as they are."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_fm.deploy import systemd
from edge_fm.deploy.service_command import Parameter, service_command
from edge_fm_runtime.errors import SourceError

PYTHON = "/opt/edge-fm/current/bin/python"
HOSTILE = [
    "two words",
    "tab\u00a0and wide space",
    "100%",
    "%h%n%%",
    "$HOME",
    "${HOME}$$",
    '"quoted"',
    "it's",
    "\\",
    "trailing\\",
    "\\n\\x41",
    ";",
    "a;b",
    "# no comment",
    "@list",
    "-",
    "+!:|",
    "a:b",
    "写真 é",
    "[Service]",
]


class Unit(dict[str, list[str]]):
    """Values of a unit by key, in the order of its lines; see systemd.syntax(7)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        for line in text.split("\n"):
            if line and line[0] not in "#;[":
                key, _, value = line.partition("=")
                self.setdefault(key, []).append(value)

    def value(self, key: str) -> str | None:
        """Return the only value of a key, None without one."""
        values = self.get(key, [None])
        assert len(values) == 1
        return values[0]

    def words(self, key: str) -> list[str]:
        """Return the words of all values of a key as systemd splits, unquotes and expands them."""
        return [word for value in self.get(key, []) for word in split(value)]


def split(value: str) -> Iterator[str]:
    """Yield the words of a value; a specifier, a variable or a broken quote is an error."""
    rest = value.strip(" \t")
    while rest:
        quoted = re.match(r'"((?:[^"\\]|\\["\\])*)"(?:[ \t]+|$)', rest)
        bare = re.match(r"([^\s\"'\\;]+)(?:[ \t]+|$)", rest)
        found = quoted or bare
        assert found, f"systemd reads {rest!r} in another way"
        word = re.sub(r"\\(.)", r"\1", found[1])
        assert re.fullmatch(r"(?:[^%]|%%|%S)*", word), f"{word!r} has a specifier"
        yield word.replace("%%", "%")
        rest = rest[found.end() :]


def parameters(values: dict[str, str | tuple[str, ...]]) -> list[Parameter]:
    """Return parameters as the command line gives them."""
    return [
        Parameter(
            name=key,
            option="" if key in {"source", "inputs"} else f"--{key.replace('_', '-')}",
            values=(value,) if isinstance(value, str) else value,
        )
        for key, value in values.items()
    ]


def printed(name: str, **values: str | tuple[str, ...]) -> Unit:
    """Return the unit of a command with these parameters."""
    return Unit(systemd.unit(PYTHON, service_command(name, parameters(values))))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of all homes, in which this environment does not lie."""
    folder = tmp_path / "homes"
    (folder / "ann" / "in").mkdir(parents=True)
    monkeypatch.setattr(systemd, "_environment", tuple)
    monkeypatch.setattr(systemd, "_HOMES", (str(folder),))
    monkeypatch.setattr(systemd, "_HIDDEN", (str(folder), str(tmp_path / "temporary")))
    return folder


@pytest.mark.parametrize("text", HOSTILE)
def test_arguments_reach_the_command_as_they_are(text: str) -> None:
    """Specifiers, variables, quotes, separators and prefixes of systemd are literal in an option."""
    command = printed("webcam", source="0", token=text).words("ExecStart")
    assert command == [f":{PYTHON}", "-m", "edge_fm", "webcam", "0", "--token", text]


@pytest.mark.parametrize("text", HOSTILE)
def test_paths_reach_every_line_as_they_are(text: str, home: Path) -> None:
    """Inputs, outputs and the folders that a unit opens for them have the names that were given."""
    source, out = home / text / "in", home / "ann" / text / "labels.csv"
    source.mkdir(parents=True)
    unit = printed("label", inputs=str(source), watch=(), out=str(out))
    assert unit.words("ExecStart")[4:] == [str(source), "--watch", "--out", str(out)]
    assert unit.words("ReadWritePaths") == [f"-{out.parent}"]
    assert unit.words("BindPaths") == [f"-{out.parent}"]
    assert unit.words("BindReadOnlyPaths") == [f"-{source}"]


def test_a_python_with_a_special_path_is_run_as_it_is() -> None:
    """The interpreter's path is quoted with the prefix that makes variables literal."""
    command = service_command("webcam", [])
    assert Unit(systemd.unit('/opt/$x %h "y"/python', command)).words("ExecStart")[0] == (
        ':/opt/$x %h "y"/python'
    )


@pytest.mark.parametrize("unfit", ["\n", "\r", "\0", "\t", "\x1b", "\x7f", "\x85", "\udcff"])
def test_a_character_that_would_split_a_line_is_refused(unfit: str) -> None:
    """A control character, or a byte that is not UTF-8, in any value is named, and no unit is printed."""
    for values in ({"token": f"a{unfit}b"}, {"log": f"/srv/a{unfit}b/e.jsonl"}, {"source": f"a{unfit}b"}):
        with pytest.raises(SourceError, match="which a unit file cannot hold"):
            printed("webcam", **values)
    with pytest.raises(SourceError, match="which a unit file cannot hold"):
        systemd.unit(f"/opt/a{unfit}b/python", service_command("webcam", []))


Expected = dict[str, str | None]
NONE: Expected = {"PrivateNetwork": "yes", "IPAddressDeny": "any", "RestrictAddressFamilies": "AF_UNIX"}
LOOPBACK: Expected = {
    "PrivateNetwork": None,
    "IPAddressDeny": "any",
    "IPAddressAllow": "localhost",
    "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
}
ANY: Expected = LOOPBACK | {"IPAddressDeny": None, "IPAddressAllow": None}
CAMERA: Expected = {
    "PrivateDevices": None,
    "DevicePolicy": "closed",
    "DeviceAllow": "char-video4linux rw",
    "SupplementaryGroups": "video",
}
NO_CAMERA: Expected = {"PrivateDevices": "yes", "DeviceAllow": None, "SupplementaryGroups": None}
COMMANDS: dict[str, tuple[str, dict[str, str | tuple[str, ...]], Expected]] = {
    "default camera": ("webcam", {}, CAMERA | NONE),
    "camera": ("webcam", {"source": "1", "view": "none"}, CAMERA | NONE),
    "device": ("webcam", {"source": "/dev/v4l/by-id/usb", "view": "none"}, CAMERA | NONE),
    "page here": ("webcam", {"source": "0", "view": "web"}, CAMERA | LOOPBACK),
    "page at ::1": ("webcam", {"source": "0", "view": "web", "host": "::1"}, CAMERA | LOOPBACK),
    "page": ("webcam", {"source": "0", "view": "web", "host": "0.0.0.0"}, CAMERA | ANY),  # noqa: S104
    "browser": ("webcam", {"source": "browser", "view": "web"}, NO_CAMERA | LOOPBACK),
    "stream": ("webcam", {"source": "rtsp://cam/1", "view": "none"}, NO_CAMERA | ANY),
    "video": ("webcam", {"source": "/srv/v.mp4", "view": "none"}, NO_CAMERA | NONE),
    "watch": ("label", {"inputs": "/srv/in", "watch": (), "out": "l.csv"}, NO_CAMERA | NONE),
    "watch far": ("label", {"inputs": ("/srv/in", "s3://b/in"), "watch": ()}, NO_CAMERA | ANY),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_devices_and_network_are_those_that_the_command_needs(case: str) -> None:
    """Only a camera's unit sees cameras; only a stream's or a page's unit has a network."""
    name, values, expected = COMMANDS[case]
    unit = printed(name, **values)
    assert {key: unit.value(key) for key in expected} == expected


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze, of systemd")
@pytest.mark.parametrize("case", COMMANDS)
def test_exposure_is_at_most_2_5(case: str, tmp_path: Path) -> None:
    """`systemd-analyze` finds no fault in a unit and an exposure of 2.5 at most."""
    name, values, _ = COMMANDS[case]
    file, tool = tmp_path / "edge-fm.service", shutil.which("systemd-analyze") or ""
    file.write_text(systemd.unit("/bin/true", service_command(name, parameters(values))))
    checked = subprocess.run([tool, "verify", file], capture_output=True, text=True, check=True)
    assert checked.stderr == ""
    subprocess.run(
        [tool, "security", "--offline=true", "--threshold=25", file],
        capture_output=True,
        check=True,
    )


def test_a_unit_is_supervised_and_may_serve_many() -> None:
    """A unit has a watchdog, restarts, a user of its own, its state folder and 65,536 open files."""
    unit = printed("webcam", source="0")
    expected = {
        "Type": "notify",
        "WatchdogSec": "30",
        "Restart": "on-failure",
        "DynamicUser": "yes",
        "User": "edge-fm",
        "StateDirectory": "edge-fm",
        "LimitNOFILE": "65536",
    }
    assert {key: unit.value(key) for key in expected} == expected


def test_homes_are_hidden_unless_the_command_is_there(home: Path) -> None:
    """Without a path in a home, no home can be seen; with one, only its folder can."""
    outside = printed("label", inputs="/srv/in", watch=(), out="/srv/out/labels.csv")
    assert outside.value("ProtectHome") == "yes"
    assert outside.words("BindReadOnlyPaths") == []
    inside = printed("webcam", source="0", model=str(home / "ann" / "models" / "m.onnx"))
    assert inside.value("ProtectHome") == "tmpfs"
    assert inside.words("BindReadOnlyPaths") == [f"-{home}/ann/models"]


def test_a_folder_that_is_read_and_written_is_bound_once(home: Path) -> None:
    """A table in the watched folder makes that folder writable, and not read-only as well."""
    pictures = home / "ann" / "in"
    unit = printed("label", inputs=str(pictures), watch=(), out=str(pictures / "labels.csv"))
    assert unit.words("BindPaths") == [f"-{pictures}"]
    assert unit.words("BindReadOnlyPaths") == []


def test_links_into_a_home_lead_there(home: Path, tmp_path: Path) -> None:
    """An input behind a link is visible by the link's own path and by the one that it leads to."""
    link = tmp_path / "in"
    link.symlink_to(home / "ann" / "in")
    unit = printed("label", inputs=str(link), watch=())
    assert unit.words("BindReadOnlyPaths") == [f"-{home}/ann/in"]


def test_patterns_and_files_are_visible_by_their_folder(home: Path) -> None:
    """A pattern opens the folder before its first wildcard; a file its folder, or itself in a shared one."""
    pattern = printed("label", inputs=str(home / "ann" / "in" / "*" / "*.png"), watch=())
    assert pattern.words("BindReadOnlyPaths") == [f"-{home}/ann/in"]
    shared = printed("webcam", source=str(home / "v.mp4"))
    assert shared.words("BindReadOnlyPaths") == [f"-{home}/v.mp4"]
    listed = printed("label", inputs=f"@{home}/ann/list.txt", watch=())
    assert listed.value("ProtectHome") == "read-only"


def test_a_file_in_a_closed_home_is_visible_alone(home: Path) -> None:
    """A home that others cannot enter is not shown for a file in it; that file is, and can be read."""
    (home / "ann").chmod(0o700)
    unit = printed("webcam", source="0", model=str(home / "ann" / "m.onnx"))
    assert unit.words("BindReadOnlyPaths") == [f"-{home}/ann/m.onnx"]


def test_a_path_with_dots_is_opened_where_it_leads(home: Path) -> None:
    """A unit names the real folder of a path with `..`, which systemd would ignore."""
    unit = printed("webcam", source="0", log=str(home / "ann" / ".." / "bob" / "events.jsonl"))
    assert unit.words("ReadWritePaths") == [f"-{home}/bob"]


def test_an_output_right_in_a_shared_folder_is_refused(home: Path) -> None:
    """Neither `/` nor a folder that a unit gets empty is made writable; the error says where to write."""
    with pytest.raises(SourceError, match="give a folder below"):
        printed("webcam", source="0", log=str(home / "events.jsonl"))
    with pytest.raises(SourceError, match="give a folder below"):
        printed("label", inputs="/srv/in", watch=(), out="/labels.csv")


@pytest.mark.parametrize(("name", "key"), [("webcam", "source"), ("label", "inputs")])
def test_standard_input_is_refused(name: str, key: str) -> None:
    """A service has no standard input, which is said when the unit is printed."""
    with pytest.raises(SourceError, match="no standard input"):
        printed(name, **{key: "-"})
