"""Refusals of setup.sh; benchmarks/bare_debian.sh runs it to the end."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")

FAKE = """#!/bin/sh
case "$*" in
    *version_info*) exit {unsupported} ;;
    -V) echo Python 3.{minor}.0 ;;
    *"import venv"*) exit {no_venv} ;;
    "-m pip --version") exit {no_pip} ;;
    "-m pip --help") echo "{pip_options}" ;;
    *) echo "an unexpected call: $*"; exit 3 ;;
esac
"""
GOOD = {"unsupported": 0, "minor": 12, "no_venv": 0, "no_pip": 0, "pip_options": "--python <python>"}


def setup(
    folder: Path, *arguments: str, path: str = "", python: str = "", **faults: object
) -> subprocess.CompletedProcess[str]:
    """Run setup.sh in an empty checkout, with a fake interpreter that has the faults given."""
    for name in ("setup.sh", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    fake = folder / "python3"
    fake.write_text(FAKE.format(**GOOD | faults))
    fake.chmod(0o755)
    return subprocess.run(
        ["/bin/sh", folder / "setup.sh", *arguments],
        env={"PATH": f"{path}{folder}:{os.defpath}", "PYTHON": python},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("faults", "found", "remedy"),
    [
        ({"unsupported": 1, "minor": 10}, "is Python 3.10.0", "PYTHON=python3.13 sh setup.sh train"),
        ({"unsupported": 1, "minor": 14}, "is Python 3.14.0", "PYTHON=python3.13 sh setup.sh train"),
        ({"python": "python3.99"}, "no python3.99", "apt-get install python3"),
        ({"no_venv": 1}, "no venv module", "apt-get install python3-venv"),
        ({"no_pip": 1}, "no pip", "apt-get install python3-pip"),
        ({"pip_options": "--isolated"}, "older than 22.3", "python3 -m pip install --upgrade pip"),
    ],
)
def test_each_missing_tool_has_a_one_line_remedy(
    tmp_path: Path, faults: dict[str, Any], found: str, remedy: str
) -> None:
    """Each refusal says what was found and the command that helps, and leaves no environment behind."""
    result = setup(tmp_path, "train", **faults)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert found in line
    assert remedy in line
    assert not result.stdout
    assert not (tmp_path / ".venv").exists()


def test_the_supported_versions_are_those_of_pyproject() -> None:
    """The range is read from requires-python, and setup.sh finds it as it is written there."""
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    assert re.fullmatch(r">=3\.\d+,<3\.\d+", requires)


@pytest.mark.parametrize("arguments", [(), ("tarin",), ("train", "web")])
def test_a_wrong_extra_gets_the_usage_with_an_example(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """The usage names every extra of pyproject.toml and the plain install."""
    result = setup(tmp_path, *arguments)
    assert result.returncode == 2
    assert "for example: sh setup.sh train" in result.stderr
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in ("device", *project["optional-dependencies"]):
        assert re.search(rf"^ .*\b{extra}  ", result.stderr, re.MULTILINE), extra


def test_every_extra_of_the_usage_is_accepted(tmp_path: Path) -> None:
    """No extra is listed and then refused: each gets as far as the interpreter."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in ("device", *project["optional-dependencies"]):
        assert "no pip" in setup(tmp_path, extra, no_pip=1).stderr, extra


def test_an_active_environment_is_passed_over(tmp_path: Path) -> None:
    """Its python3 has no pip: the interpreter behind it on PATH is asked."""
    active = tmp_path / ".venv" / "bin"
    active.mkdir(parents=True)
    (active / "python3").symlink_to("/bin/false")
    assert "no pip" in setup(tmp_path, "web", path=f"{active}:", no_pip=1).stderr


def test_an_environment_of_another_python_is_named(tmp_path: Path) -> None:
    """A .venv of another version is refused, as the packages in it would not fit."""
    other = tmp_path / ".venv" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\necho Python 3.9.1\n")
    other.chmod(0o755)
    refused = setup(tmp_path, "train")
    assert refused.returncode == 1
    assert refused.stderr == "setup.sh: .venv has Python 3.9.1: remove it, and run this again\n"
