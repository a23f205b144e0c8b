"""Bundles: made with real wheels, installed without a network, refused when damaged."""

import hashlib
import importlib.util
import json
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_fm.deploy import bundle, sbom, wheels
from edge_fm.deploy.bundle import BundleRequest
from edge_fm.deploy.wheels import Platform
from edge_fm_runtime.artifact.model_file import read_model
from edge_fm_runtime.errors import DataError, ModelError, OutputError
from tests.conftest import ROOT, RunCli

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
HERE = Platform(f"linux-{platform.machine()}", platform.machine())
UNITS = "/etc/systemd/system"
LINKS = "links-1-py3-none-any.whl"

needs_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or HERE.name not in wheels.PLATFORMS,
    reason="bundles are for Linux on aarch64 and x86_64",
)


def silent(_what: str) -> None:
    """Ignore progress."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle for this machine; tests work on copies."""
    out = tmp_path_factory.mktemp("bundle") / "edge"
    bundle.make(BundleRequest(models=["fashion", "digits"], out=out, platform=HERE, python=PYTHON), silent)
    return out


@pytest.fixture(scope="module")
def small(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return that bundle with links to the pip and packages here, whose wheels take seconds to install."""
    out = Path(shutil.copytree(made, tmp_path_factory.mktemp("small") / "edge"))
    shutil.rmtree(out / "licences")
    own, pip = (next(out.glob(f"wheels/{name}-*.whl")) for name in ("edge_fm", "pip"))
    for wheel in {*out.glob("wheels/*.whl")} - {own}:
        wheel.unlink()
    here = Path(sysconfig.get_path("platlib"))
    pip.mkdir()
    (pip / "pip").symlink_to(here / "pip")
    links = own.with_name(LINKS)
    with zipfile.ZipFile(links, "w") as archive:
        archive.writestr("links.pth", str(here))
        archive.writestr("links-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: links\nVersion: 1\n")
        archive.writestr(
            "links-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("links-1.dist-info/RECORD", "")
    (out / "wheels.txt").write_text(f"./{own.name}\n./{links.name}\n")
    sealed_again(out)
    return out


@pytest.fixture
def copied(small: Path, tmp_path: Path) -> Path:
    """Return a copy of the small bundle that a test may damage."""
    return Path(shutil.copytree(small, tmp_path / "edge", symlinks=True))


def contents(folder: Path) -> dict[Path, bytes]:
    """Return every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def upgraded(folder: Path) -> None:
    """Turn a bundle into its own next release."""
    script = (folder / "install.sh").read_text()
    (folder / "install.sh").write_text(script.replace("release=0.1.0-", "release=0.1.1-"))
    sealed_again(folder)


def install(
    folder: Path,
    *arguments: object,
    tools: dict[str, str] | None = None,
    wrapped: list[str] | None = None,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run install.sh without a network where possible, with commands replaced by scripts of one line."""
    path = os.environ["PATH"]
    if tools:
        fakes = folder.parent / "tools"
        fakes.mkdir(exist_ok=True)
        for name, line in tools.items():
            (fakes / name).write_text(f"#!/bin/sh\n{line}\n")
            (fakes / name).chmod(0o755)
        path = f"{fakes}:{path}"
    alone = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
    return subprocess.run(
        [*(wrapped or alone), "sh", str(folder / "install.sh"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path, "PIP_INDEX_URL": "http://127.0.0.1:9/none"} | environment,
    )


def sealed_again(folder: Path) -> None:
    """Rewrite the checksums, as an attacker would."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files
    ]
    (folder / "SHA256SUMS").write_text("".join(lines))


@needs_linux
@pytest.mark.slow
class TestInstall:
    """Behaviour of install.sh on this machine."""

    def test_from_bundle_to_label_and_away_again(self, made: Path, tmp_path: Path) -> None:
        """It installs, verifies and labels; a second run changes nothing; uninstalling leaves nothing."""
        prefix = tmp_path / "there"
        done = install(made, "--prefix", prefix)
        assert done.returncode == 0, done.stderr
        assert "label FOLDER --model" in done.stdout
        tool = prefix / "bin" / "edge-fm"
        pictures = ROOT / "samples" / "wardrobe"
        for command in ([str(tool)], [sys.executable, "-m", "edge_fm"]):
            out = tmp_path / f"{len(command)}.csv"
            model = prefix / "current" / "models" / "fashion.onnx"
            subprocess.run(
                [*command, "label", str(pictures), "-o", str(out), "--model", str(model)], check=True
            )
        assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "3.csv").read_bytes()
        listed = subprocess.run(
            [prefix / "current" / "bin" / "python", "-c", "import sys, tensorflow"],
            capture_output=True,
            check=False,
        )
        assert b"No module named 'tensorflow'" in listed.stderr
        release = (prefix / "current").resolve()
        before = release.stat().st_ino
        assert install(made, "--prefix", prefix).returncode == 0
        assert (prefix / "current").resolve().stat().st_ino == before
        # Without HOME, as in a job of a service manager.
        bare = {"PATH": os.environ["PATH"]}
        subprocess.run(["/bin/sh", str(prefix / "uninstall.sh")], check=True, capture_output=True, env=bare)
        assert not prefix.exists()

    def test_killed_at_any_moment_it_completes_when_run_again(self, copied: Path, tmp_path: Path) -> None:
        """After three killed runs no partial release is in use; the next run completes and removes them."""
        prefix = tmp_path / "there"
        for last_made in (".incomplete", "lib/*/site-packages/edge_fm", ".files"):
            process = subprocess.Popen(
                ["/bin/sh", str(copied / "install.sh"), "--prefix", str(prefix)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            while not any(prefix.glob(f"releases/*/{last_made}")):
                assert process.poll() is None
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert not (prefix / "current").exists() or (prefix / "current" / ".complete").is_file()
        assert install(copied, "--prefix", prefix).returncode == 0
        assert len(list((prefix / "releases").iterdir())) == 1
        subprocess.run([prefix / "bin" / "edge-fm", "verify", "fashion"], check=True, capture_output=True)
        self._a_model_that_fails_keeps_the_old_release(copied, prefix)

    def _a_model_that_fails_keeps_the_old_release(self, copied: Path, prefix: Path) -> None:
        """An upgrade with a tampered model stops before use, although its checksums match."""
        used = (prefix / "current").resolve()
        model = copied / "models" / "fashion.onnx"
        data = bytearray(model.read_bytes())
        data[len(data) // 2] ^= 1
        model.write_bytes(bytes(data))
        upgraded(copied)
        failed = install(copied, "--prefix", prefix)
        assert failed.returncode == 1
        assert "fashion.onnx gives other results here" in failed.stderr
        assert (prefix / "current").resolve() == used
        subprocess.run([prefix / "bin" / "edge-fm", "verify", "digits"], check=True, capture_output=True)

    def test_files_of_others_survive_install_upgrade_and_uninstall(
        self, copied: Path, tmp_path: Path
    ) -> None:
        """A user's files in the prefix stay unchanged through upgrade and uninstall, which names them."""
        prefix = tmp_path / "there"
        assert install(copied, "--prefix", prefix).returncode == 0
        old = (prefix / "current").resolve()
        theirs = {
            prefix / "notes.txt": b"mine",
            prefix / "releases" / "backup" / "data.bin": b"mine too",
            prefix / "bin" / "tool": b"#!/bin/sh\n",
            old / "models" / "mine.onnx": b"a model",
            old / "labels.csv": b"path,label\n",
        }
        for path, data in theirs.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        upgraded(copied)
        assert install(copied, "--prefix", prefix).returncode == 0
        assert (prefix / "current").resolve() != old
        kept = prefix / "kept-models" / old.name / "mine.onnx"
        theirs[kept] = theirs.pop(old / "models" / "mine.onnx")
        done = subprocess.run(
            ["/bin/sh", prefix / "uninstall.sh"], check=True, capture_output=True, text=True
        )
        left = {path: path.read_bytes() for path in prefix.rglob("*") if path.is_file()}
        assert left == theirs
        assert all(str(path) in done.stdout for path in theirs)

    def test_a_users_files_survive_every_repair(self, copied: Path, tmp_path: Path) -> None:
        """A file in a release that fails and is made anew is kept, also through the upgrades after it."""
        prefix = tmp_path / "there"
        assert install(copied, "--prefix", prefix).returncode == 0
        release = (prefix / "current").resolve()
        (release / "labels.csv").write_bytes(b"mine")
        (release / "models" / "fashion.onnx").write_bytes(b"broken")
        assert install(copied, "--prefix", prefix).returncode == 1
        failed = install(copied, "--prefix", prefix, tools={"cp": "exit 1"})  # as on a full disk
        assert failed.returncode == 1
        again = install(copied, "--prefix", prefix, tools={"cp": 'exec /bin/cp "$@"'})
        assert again.returncode == 0, again.stderr
        kept = {
            prefix / "kept-files" / release.name / "labels.csv": b"mine",
            prefix / "kept-models" / release.name / "fashion.onnx": b"broken",
        }
        upgraded(copied)
        assert install(copied, "--prefix", prefix).returncode == 0
        subprocess.run(["/bin/sh", prefix / "uninstall.sh"], check=True, capture_output=True)
        assert contents(prefix) == kept
        assert install(copied, "--prefix", prefix).returncode == 0  # what it kept does not block the place

    def test_a_users_models_are_used_after_an_upgrade(self, copied: Path, tmp_path: Path) -> None:
        """Models that were added or replaced are in the new release too; uninstalling keeps them."""
        prefix, own = tmp_path / "there", read_model("fashion-nano")
        assert install(copied, "--prefix", prefix).returncode == 0
        names = ("mine.onnx", "fashion.onnx")
        for name in names:
            (prefix / "current" / "models" / name).write_bytes(own)
        upgraded(copied)
        done = install(copied, "--prefix", prefix)
        assert done.returncode == 0, done.stderr
        models = prefix / "current" / "models"
        assert [(models / name).read_bytes() for name in names] == [own, own]
        assert (models / "digits.onnx").read_bytes() == (copied / "models" / "digits.onnx").read_bytes()
        assert not (prefix / "kept-models").exists()
        release = models.resolve().parent.name
        subprocess.run(["/bin/sh", prefix / "uninstall.sh"], check=True, capture_output=True)
        assert contents(prefix) == {prefix / "kept-models" / release / name: own for name in names}

    def test_a_home_behind_a_link_is_left_empty(self, copied: Path, tmp_path: Path) -> None:
        """Links, dots and a folder `releases` in the path hinder neither install nor uninstall."""
        real, home = tmp_path / "real", tmp_path / "home"
        real.mkdir()
        home.symlink_to(real)
        anybody = {"tools": {"id": "echo 1000"}, "HOME": str(home)}
        data = home / "releases" / "my..data"
        done = install(copied, XDG_DATA_HOME=str(data), **anybody)
        assert done.returncode == 0, done.stderr
        command = home / ".local" / "bin" / "edge-fm"
        assert command.resolve().is_file()
        subprocess.run(["/bin/sh", data / "edge-fm" / "uninstall.sh"], check=True, capture_output=True)
        assert not os.path.lexists(command)
        assert not (data / "edge-fm").exists()

    def test_an_older_installation_is_named(self, copied: Path, tmp_path: Path) -> None:
        """An installation without a list of its files is refused with the way to replace it."""
        prefix = tmp_path / "there"
        (prefix / "releases" / "0.1.0-a").mkdir(parents=True)
        (prefix / "releases" / "0.1.0-a" / ".complete").touch()
        (prefix / "current").symlink_to("releases/0.1.0-a")
        before = contents(tmp_path)
        refused = install(copied, "--prefix", prefix)
        assert refused.returncode == 1
        assert f"move your own files out, run 'sh {prefix}/uninstall.sh'" in refused.stderr
        assert contents(tmp_path) == before

    @pytest.mark.parametrize("taken", ["folder", "home", "/", "/usr", "/usr/local", "file", "command"])
    def test_a_place_that_is_taken_is_refused(self, taken: str, copied: Path, tmp_path: Path) -> None:
        """A folder in use, a system folder, a home, a file or a foreign command is left untouched."""
        there = tmp_path / "there"
        there.mkdir()
        if taken == "folder":
            (there / "releases" / "mine").mkdir(parents=True)
            (there / "releases" / "mine" / "data").write_bytes(b"mine")
        elif taken == "file":
            there.rmdir()
            there.write_bytes(b"mine")
        elif taken == "command":
            assert install(copied, "--prefix", there).returncode == 0
            (there / "bin" / "edge-fm").unlink()
            (there / "bin" / "edge-fm").write_bytes(b"mine")
        before = contents(tmp_path)
        prefix = taken if taken.startswith("/") else there
        env = {"HOME": str(there)} if taken == "home" else {}
        refused = install(copied, "--prefix", prefix, **env)
        assert refused.returncode == 1
        assert "--prefix" in refused.stderr
        assert contents(tmp_path) == before

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a folder over systemd's")
    def test_a_service_outlives_an_upgrade(self, copied: Path, tmp_path: Path) -> None:
        """The unit names the link to the current release, so its command survives an upgrade."""
        prefix, units = tmp_path / "100% there", tmp_path / "units"
        units.mkdir()
        mount = f'mkdir -p {UNITS}; mount --bind {units} {UNITS}; exec "$@"'
        tools = {"systemctl": "exit 0"}
        wrapped = ["unshare", "--net", "--mount", "sh", "-c", mount, "sh"]
        feed = str(ROOT / "samples" / "wardrobe.mp4")
        service = ("--service", "webcam", feed, "--view", "none", "--model", "models/fashion.onnx")
        done = install(copied, "--prefix", prefix, *service, tools=tools, wrapped=wrapped)
        assert done.returncode == 0, done.stderr
        upgraded(copied)
        done = install(copied, "--prefix", prefix, tools=tools, wrapped=wrapped)
        assert done.returncode == 0, done.stderr
        unit = (units / "edge-fm-webcam.service").read_text()
        (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
        command = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%"))
        command[0] = command[0].removeprefix(":")
        assert f"{prefix}/current/models/fashion.onnx" in command
        shown = subprocess.run([*command, "--fast"], capture_output=True, text=True, check=True)
        assert "%" in shown.stdout

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a folder over systemd's")
    @pytest.mark.parametrize(
        ("text", "is_ours"),
        [
            ("# edge-fm service of {}/current/bin/python\n[Service]\nExecStart=:/else/python\n", True),
            ("[Service]\nExecStart={}/current/bin/python -m edge_fm webcam 0\n", True),
            ('[Service]\nExecStart="{}/current/bin/python" -m edge_fm webcam 0\n', True),
            (
                "# edge-fm service of /deep{}/current/bin/python\n[Service]\nExecStart=:/deep{}/python\n",
                False,
            ),
        ],
    )
    def test_units_of_every_release_are_recognised(
        self, text: str, is_ours: bool, copied: Path, tmp_path: Path
    ) -> None:
        """A unit of this or of an earlier release may be replaced and is removed; no other is."""
        prefix, units = tmp_path / "there", tmp_path / "units"
        unit = units / "edge-fm-webcam.service"
        units.mkdir()
        unit.write_text(text.format(prefix, prefix))
        mount = f'mkdir -p {UNITS}; mount --bind {units} {UNITS}; exec "$@"'
        wrapped = ["unshare", "--net", "--mount", "sh", "-c", mount, "sh"]
        tools = {"systemctl": "exit 0", "df": "printf 'h\\n/dev/x 9 9 2048 1%% /\\n'"}
        arguments = ("--prefix", prefix, "--service", "webcam", "0")
        refused = install(copied, *arguments, tools=tools, wrapped=wrapped)
        assert ("has 2 MB free" if is_ours else "is there already") in refused.stderr  # the next check, or it
        prefix.mkdir()
        (prefix / ".edge-fm-install").write_text(f"{UNITS}/{unit.name}\n")
        shutil.copy(copied / "uninstall.sh", prefix)
        path = f"{tmp_path / 'tools'}:{os.environ['PATH']}"
        command = [*wrapped, "sh", str(prefix / "uninstall.sh")]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PATH": path})
        assert unit.exists() is not is_ours

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a folder over systemd's")
    def test_a_foreign_unit_is_left_alone(self, copied: Path, tmp_path: Path) -> None:
        """A unit of the same name that runs another edge-fm is never overwritten."""
        units = tmp_path / "units"
        units.mkdir()
        unit = units / "edge-fm-webcam.service"
        unit.write_text(f"[Service]\nExecStart=/deep{tmp_path}/there/current/bin/python\n")
        before = contents(tmp_path)
        mount = f'mkdir -p {UNITS}; mount --bind {units} {UNITS}; exec "$@"'
        wrapped = ["unshare", "--net", "--mount", "sh", "-c", mount, "sh"]
        refused = install(
            copied,
            *("--prefix", tmp_path / "there", "--service", "webcam", "0"),
            tools={"systemctl": "exit 0"},
            wrapped=wrapped,
        )
        assert refused.returncode == 1
        assert "edge-fm-webcam.service is there already" in refused.stderr
        shutil.rmtree(tmp_path / "tools")
        assert contents(tmp_path) == before

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            (lambda folder: next(folder.glob("wheels/edge_fm*")).write_bytes(b"x"), "damaged or missing"),
            (lambda folder: (folder / "models" / "digits.onnx").unlink(), "damaged or missing"),
            (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS is missing"),
            (
                lambda folder: (folder / "models" / "more.onnx").write_bytes(b"x"),
                "more.onnx is not in SHA256SUMS",
            ),
            (lambda folder: (folder / "SHA256SUMS").write_text(""), "is not in SHA256SUMS"),
        ],
    )
    def test_what_is_not_as_it_was_made(
        self, spoil: Callable[[Path], object], message: str, copied: Path, tmp_path: Path
    ) -> None:
        """A damaged, missing, added or unlisted file is named before anything is written."""
        spoil(copied)
        refused = install(copied, "--prefix", tmp_path / "there")
        assert refused.returncode == 1
        assert message in refused.stderr
        assert not (tmp_path / "there").exists()

    @pytest.mark.parametrize(
        ("arguments", "tools", "message"),
        [
            ((), {"uname": '[ "$1" = -s ] && echo Linux || echo armv7l'}, "this machine is armv7l"),
            ((), {"uname": "echo Darwin"}, "this is Darwin"),
            ((), {"ldd": "echo musl libc"}, "musl"),
            ((), {"df": "printf 'h\\n/dev/x 9 9 2048 1%% /\\n'"}, "has 2 MB free"),
            (("--python", "/bin/false"), {}, "is not Python"),
            (("--service", "webcam"), {"id": "echo 1000"}, "needs root"),
            (("--service", "cook"), {}, "webcam or watch"),
            (("--service", "watch", "/srv"), {}, "a folder and an output"),
            (("--what",), {}, "not known"),
        ],
    )
    def test_where_it_does_not_fit(
        self, arguments: tuple[str, ...], tools: dict[str, str], message: str, copied: Path, tmp_path: Path
    ) -> None:
        """The message names the wrong machine, system, C library, Python or option, or missing space."""
        refused = install(copied, "--prefix", tmp_path / "there", *arguments, tools=tools)
        assert refused.returncode == 1
        assert message in refused.stderr
        assert not (tmp_path / "there").exists()


@needs_linux
def test_every_file_has_a_checksum_a_licence_and_a_component(made: Path) -> None:
    """Checksums cover every file, and the bill of materials has the hash of each wheel and model."""
    lines = [line.split("  ", 1) for line in (made / "SHA256SUMS").read_text().splitlines()]
    sums = {path: digest for digest, path in lines}
    files = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert sums.keys() == files - {"SHA256SUMS"}
    bill = json.loads((made / "sbom.cdx.json").read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    hashes = {component["hashes"][0]["content"] for component in bill["components"]}
    parts = [path for path in files if path.endswith((".whl", ".onnx"))]
    assert hashes == {sums[path] for path in parts}
    assert {component["type"] for component in bill["components"]} == {"library", "machine-learning-model"}
    wheels = [path for path in parts if path.endswith(".whl")]
    assert not [path for path in wheels if "tensorflow" in path or "keras" in path]
    without = {Path(path).name.split("-")[0] for path in wheels} - {
        path.name for path in (made / "licences").iterdir()
    }
    assert without <= {"flatbuffers", "mdurl"}, without


def test_pins_are_the_installed_versions() -> None:
    """Pins exclude the train extra, have headless OpenCV, and follow the device's markers."""
    pins = dict(wheels.pin_versions("3.11", wheels.PLATFORMS["linux-aarch64"], ()))
    assert {"numpy", "onnxruntime", "typer", "rich", "opencv-python-headless"} <= pins.keys()
    assert not {"tensorflow", "keras", "onnx", "opencv-python", "colorama", "uvicorn"} & pins.keys()
    web = dict(wheels.pin_versions("3.11", wheels.PLATFORMS["linux-aarch64"], ("web",)))
    assert {"uvicorn", "starlette", "cryptography", "cffi"} <= web.keys()
    assert pins.items() <= web.items()


@pytest.mark.slow
@needs_linux
def test_a_bundle_can_be_an_archive(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with .tar.gz makes an archive of one folder without an owner."""
    wheel = next(small.glob("wheels/edge_fm-*.whl"))
    monkeypatch.setattr(
        wheels, "download", lambda *request: shutil.copy(small / "wheels" / LINKS, request[-1])
    )
    out = tmp_path / "edge.tar.gz"
    bundle.make(BundleRequest(models=["fashion"], out=out, platform=HERE, python=PYTHON, wheel=wheel), silent)
    with tarfile.open(out) as archive:
        members = archive.getmembers()
    assert {member.name.split("/")[0] for member in members} == {"edge"}
    assert {(member.uid, member.uname, member.mtime) for member in members} == {(0, "", 0)}
    assert "edge/install.sh" in {member.name for member in members}
    assert [path.name for path in tmp_path.iterdir()] == ["edge.tar.gz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fashion", "--platform", "linux-armv7l"), "32-bit ARM"),
        (("fashion", "--platform", "windows"), "linux-aarch64, linux-x86_64"),
        (("fashion", "--python", "3.9"), "3.11, 3.12, 3.13"),
        (("fashion", "--with", "cake"), "web and parquet"),
        (("nothing.onnx",), "there is no model"),
        (("fashion", "fashion"), "same file name"),
        (("fashion", "--wheel", "README.md"), "not a wheel of edge-fm"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: tuple[str, ...], message: str, cli: RunCli, tmp_path: Path
) -> None:
    """The message lists the valid choices, and no file is left behind."""
    result = cli("bundle", *arguments, "-o", tmp_path / "edge")
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert not list(tmp_path.iterdir())


def test_a_missing_wheel_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the wheel's name, the platform and the Python version."""
    monkeypatch.setattr(wheels, "pin_versions", lambda *_: [("numpy", "0.0.1")])
    monkeypatch.setattr(wheels, "copy_own_wheel", lambda *_: None)
    with pytest.raises(DataError, match=r"numpy==0\.0\.1 for linux-aarch64 and Python 3\.11"):
        bundle.make(
            BundleRequest(
                models=["fashion"],
                out=tmp_path / "edge",
                platform=wheels.PLATFORMS["linux-aarch64"],
                python="3.11",
            ),
            silent,
        )
    assert not list(tmp_path.iterdir())


def test_a_broken_model_is_not_bundled(tmp_path: Path) -> None:
    """It is refused here, not on the device, and an existing path is not overwritten."""
    data = bytearray(read_model("fashion"))
    data[len(data) // 2] ^= 1
    (tmp_path / "broken.onnx").write_bytes(bytes(data))
    target = wheels.PLATFORMS["linux-aarch64"]
    with pytest.raises(ModelError):
        bundle.make(
            BundleRequest(
                models=[str(tmp_path / "broken.onnx")], out=tmp_path / "edge", platform=target, python="3.11"
            ),
            silent,
        )
    (tmp_path / "edge").mkdir()
    with pytest.raises(OutputError, match="exists already"):
        bundle.make(
            BundleRequest(models=["fashion"], out=tmp_path / "edge", platform=target, python="3.11"), silent
        )


def test_a_missing_extra_is_named(cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that installs it, before any download."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "cyclonedx" else find(name))
    result = cli("bundle", "fashion", "-o", tmp_path / "edge")
    assert result.code == 2
    assert "pip install 'edge-fm[bundle]'" in result.err
    assert not list(tmp_path.iterdir())


def test_a_wheel_has_its_name_and_version() -> None:
    """Name and version come from the file name."""
    assert sbom.name_and_version(Path("opencv_python_headless-5.0-cp37-abi3-x.whl")) == (
        "opencv-python-headless",
        "5.0",
    )
