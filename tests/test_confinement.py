"""The layers around the child: what each takes away, what they leave, and what is said of one that is missing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import models
import pytest
from attempts import ALLOWED, FORBIDDEN, FORBIDDEN_LATER, UNTRIED
from processes import LIMIT_BYTES, SOURCE, linux, load, run

from harness import confinement
from harness.isolation import ModelProcess

pytestmark = linux

NOBODY = 65534
ROOT = Path(__file__).parent.parent
PACKAGES = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])
NAMES = (
    "listed environment", "new session", "resource limits", "namespaces", "capabilities dropped", "no_new_privs",
    "parent-death signal", "Landlock", "seccomp",
)  # fmt: skip


def is_reached_by_all(path: str) -> bool:
    return all(folder.stat().st_mode & 1 for folder in Path(path).resolve().parents)


def find_interpreter(user: int | None) -> str:
    """This one, or the system's own of the same version where the user cannot reach this one."""
    if user is None or is_reached_by_all(sys.executable):
        return sys.executable
    if not is_reached_by_all(__file__):
        pytest.skip("a user without rights does not reach this checkout")
    other = shutil.which(f"python3.{sys.version_info.minor}", path="/usr/bin")
    return other or pytest.skip("a user without rights reaches no interpreter")


@dataclass
class Place:
    """A folder that every user reaches, with a scratch folder in it."""

    folder: Path
    user: int | None
    port: int
    received: list[int] = field(default_factory=list)

    def start(self, attempts: dict[str, str], *, stage: int, before: tuple[str, ...] = ()) -> tuple[dict, int]:
        """Runs the probe; what it printed, and how it ended."""
        task = {
            "attempts": attempts, "stage": stage, "before": before, "port": self.port, "common": tempfile.gettempdir(),
            "folder": str(self.folder), "submissions": str(ROOT / "submissions"),
        }  # fmt: skip
        task |= {name: str(self.folder / name) for name in ("scratch", "secret", "elsewhere", "target", "doomed")}
        done = subprocess.run(
            [find_interpreter(self.user), "-s", "-P", ROOT / "tests" / "confinement_probe.py", json.dumps(task)],
            env={"PYTHONPATH": PACKAGES, "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.defpath},
            cwd=self.folder / "scratch",
            capture_output=True,
            text=True,
            user=self.user,
            group=self.user,
            extra_groups=None if self.user is None else [],
            timeout=60,
            check=False,
        )
        assert done.stdout, done.stderr
        return json.loads(done.stdout), done.returncode


@pytest.fixture(params=[None, NOBODY], ids=["this user", "a user without rights"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param is not None and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path(tempfile.mkdtemp(prefix="confinement"))
    folder.chmod(0o755)
    for name in ("scratch", "elsewhere"):
        (folder / name).mkdir()
    for name in ("secret", "target", "doomed"):
        (folder / name).write_text("x")
    if request.param is not None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, request.param, request.param)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Place(folder, request.param, listener.getsockname()[1])
        before = signal.signal(signal.SIGTERM, lambda number, _: made.received.append(number))
        yield made
        signal.signal(signal.SIGTERM, before)
    shutil.rmtree(folder)


def require_layers(layers: dict[str, str], *names: str) -> None:
    """Skip where this system lacks one."""
    for name in names:
        if layers[name] != "on":
            pytest.skip(f"{name} is {layers[name]}")


# --- what is taken, and what is left


def test_every_attempt_would_succeed_without_the_layers(place: Place) -> None:
    tried = {name: code for name, code in (FORBIDDEN | FORBIDDEN_LATER).items() if name not in UNTRIED}
    if place.user is not None or os.geteuid() != 0:  # other users' processes are out of reach anyhow
        for name in [name for name in tried if "parent" in name] + ["unshare"]:
            del tried[name]
    answer, _ = place.start(tried | ALLOWED, stage=0)
    failed = {name for name, result in answer["results"].items() if result != "done"}
    assert failed <= {"read what one may take"}


@pytest.mark.parametrize("stage", [1, 2])
def test_what_a_model_does_not_need_is_refused(place: Place, stage: int) -> None:
    forbidden = FORBIDDEN if stage == 1 else FORBIDDEN | FORBIDDEN_LATER
    answer, _ = place.start(forbidden, stage=stage)
    require_layers(answer["layers"], "Landlock", "seccomp")
    assert [name for name, result in answer["results"].items() if result == "done"] == []
    assert set(answer["results"].values()) <= {"PermissionError", "OSError", "ValueError"}
    assert not place.received
    assert not list((place.folder / "elsewhere").iterdir())


def test_what_a_model_needs_is_left(place: Place) -> None:
    answer, status = place.start(ALLOWED, stage=2)
    assert set(answer["results"].values()) == {"done"}, answer["results"]
    assert status == -signal.SIGABRT  # a runtime that gives up still tells how


def test_every_layer_is_on(place: Place) -> None:
    answer, _ = place.start({}, stage=1)
    assert tuple(answer["layers"]) == NAMES
    missing = {name: state for name, state in answer["layers"].items() if state != "on"}
    if missing:
        pytest.skip(f"this system lacks {missing}")


# --- layers that are missing

LACKS = {
    "the package pyseccomp": ("sys.modules['pyseccomp'] = None", "seccomp", "off: the package pyseccomp is not"),
    "libseccomp": (
        "import ctypes.util; ctypes.util.find_library = lambda name: None",
        "seccomp",
        "off: the system has no libseccomp.so.2",
    ),
    "the package landlockpy": ("sys.modules['landlockpy'] = None", "Landlock", "off: the package landlockpy is not"),
    "namespaces": (
        "import errno, os\n"
        "real = confinement.call\n"
        "def call(name, *arguments):\n"
        "    if name == 'unshare':\n"
        "        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))\n"
        "    real(name, *arguments)\n"
        "confinement.call = call",
        "namespaces",
        "off: Operation not permitted",
    ),
}


@pytest.mark.parametrize("place", [None], indirect=True, ids=[""])
@pytest.mark.parametrize("lack", LACKS)
def test_a_layer_that_is_missing_is_off_with_its_reason(place: Place, lack: str) -> None:
    whole, _ = place.start({}, stage=1)
    before, layer, reason = LACKS[lack]
    attempts = {name: code for name, code in FORBIDDEN.items() if name != "exec"}
    answer, _ = place.start(attempts, stage=1, before=(before,))
    assert answer["layers"][layer].startswith(reason)
    assert answer["layers"] == whole["layers"] | {layer: answer["layers"][layer]}
    refused = {name for name, result in answer["results"].items() if result != "done"}
    assert refused >= {"a file above the limit", "make a socket" if layer != "seccomp" else "read /etc/passwd"}
    if layer == "namespaces":
        assert refused == attempts.keys()


def test_a_kernel_without_landlock_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import landlockpy

    def refuse(**_: object) -> None:
        error = landlockpy.LandlockError("no")
        error.errno = 38
        raise error

    monkeypatch.setattr(landlockpy, "Ruleset", refuse)
    with pytest.raises(confinement.LayerError, match="the kernel has no Landlock"):
        confinement.restrict_files(tmp_path)


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (None, "on"),
        (confinement.LayerError("why"), "off: why"),
        (PermissionError(1, "Operation not permitted"), "off: Operation not permitted"),
    ],
)
def test_a_layers_state_is_a_word_or_a_reason(error: Exception | None, state: str) -> None:
    def layer() -> None:
        if error is not None:
            raise error

    assert confinement.put_on(layer) == state


def test_off_linux_there_is_no_layer_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confinement, "sys", types.SimpleNamespace(platform="darwin"))
    assert confinement.put_on(confinement.leave_namespaces) == "off: needs Linux"
    assert confinement.import_seccomp() == "needs Linux"


WITHOUT = """
import sys
sys.modules["pyseccomp"] = sys.modules["landlockpy"] = None
from harness import confinement, worker

def call(name, *arguments):
    raise confinement.LayerError("this system has none")

confinement.call = call
worker.main()
"""


def test_a_model_runs_where_all_layers_that_may_be_missing_are(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return real([command[0], "-c", WITHOUT, *command[5:]], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    path = models.save(models.brighten(), tmp_path / "model.onnx")
    with ModelProcess(memory_limit_bytes=LIMIT_BYTES) as process:
        load(process, path)
        assert run(process).shape == SOURCE.shape
    states = process.isolation
    assert {name for name, state in states.items() if state == "on"} == {*NAMES[:3]}
    assert states["Landlock"] == "off: the package landlockpy is not installed"


# --- a parent without rights

PARENT_WITHOUT_RIGHTS = """
import os
from harness import launch
from harness.isolation import ModelProcess
from pathlib import Path

real = launch.list_environment
launch.list_environment = lambda scratch: real(scratch) | {"PYTHONPATH": os.environ["PYTHONPATH"]}

with ModelProcess(memory_limit_bytes=10**9) as process:
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")
    print(process.isolation["Landlock"], process.isolation["seccomp"], process.read_peak_bytes() > 10**6)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_parent_without_rights_can_still_reset_its_childs_peak(place: Place) -> None:
    folder = str(place.folder / "scratch")
    done = subprocess.run(
        [find_interpreter(place.user), "-c", PARENT_WITHOUT_RIGHTS],
        env={"PYTHONPATH": PACKAGES, "PATH": os.defpath, "TMPDIR": folder, "HOME": folder},
        cwd=folder,
        user=place.user,
        group=place.user,
        extra_groups=None if place.user is None else [],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["on", "on", "True"], done.stderr
