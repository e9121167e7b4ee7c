"""A run as Codabench's worker lays it out, without its container (compute_worker/compute_worker.py at 39b9c2a).

What a participant sends is first unpacked as a program. It has no metadata.yaml, so nothing runs: its files become the
output of that step, a file named metadata is put beside them, and all is zipped again. For the scoring, the scoring
program is unpacked into program/, the reference data into input/ref/, and that output into input/res/. The command of
metadata.yaml runs in program/, without a shell; its words are split at spaces.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from copy import copy
from decimal import Decimal
from pathlib import Path

import yaml

CAPABILITIES = """audit_write chown dac_override fowner fsetid kill mknod net_bind_service net_raw setfcap setgid
    setpcap setuid sys_chroot""".split()
"""Those that the worker takes from the container."""


class Worker:
    """A folder that stands for /app."""

    def __init__(self, app: Path, bundle: Path, *, task: int = 0) -> None:
        self.app = app
        unpacked = app.parent / f"{app.name}-bundle"
        unpack(bundle, unpacked)
        competition = yaml.safe_load((unpacked / "competition.yaml").read_text())
        asked = competition["tasks"][task]
        unpack(unpacked / asked["scoring_program"], app / "program")
        unpack(unpacked / asked["reference_data"], app / "input" / "ref")
        self.sample = unpacked / competition["solutions"][0]["path"]
        self.columns = [column["key"] for column in competition["leaderboards"][0]["columns"]]

    def copy(self, app: Path, **settings: object) -> "Worker":
        """The same elsewhere, with other settings; what was compiled comes along."""
        shutil.copytree(self.app, app)
        twin = copy(self)
        twin.app = app
        path = app / "program" / "settings.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))
        return twin

    def receive(self, sent: Path) -> None:
        """Take a participant's zip through the first step, and lay out the second."""
        for folder in (self.app / "input" / "res", self.app / "output"):
            shutil.rmtree(folder, ignore_errors=True)
        result = self.app / "input" / "res"
        unpack(sent, result)
        assert not (result / "metadata.yaml").exists()
        (result / "metadata").write_text("elapsedTime: null\nexitCode: null\n")
        (self.app / "output").mkdir()
        (self.app / "shared").mkdir(exist_ok=True)

    def list_command(self, app: Path) -> list[str]:
        """The command, with `app` for /app and this interpreter for the image's."""
        command = yaml.safe_load((self.app / "program" / "metadata.yaml").read_text())["command"]
        words = [word.replace("/app/", f"{app}/") for word in command.split(" ")]
        assert words[0] == "python3"
        return [sys.executable, *words[1:]]

    def score(self, sent: Path, *, prefix: Sequence[str] = (), **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the scoring; prefix: a command that starts it elsewhere, as `real_app` gives it."""
        self.receive(sent)
        command = [*prefix, *self.list_command(Path("/app") if prefix else self.app)]
        scratch = self.app.parent / f"{self.app.name}-tmp"
        scratch.mkdir(exist_ok=True)
        environment = {"PATH": os.defpath, "HOME": "/root", "PYTHONUNBUFFERED": "1", "TMPDIR": str(scratch)} | variables
        return subprocess.run(
            command, cwd=self.app / "program", env=environment, capture_output=True, text=True, timeout=500, check=False
        )

    def refuse(self, sent: Path) -> str:
        """A scoring that must fail; the one sentence of its standard error comes back."""
        done = self.score(sent)
        lines = done.stderr.splitlines()
        assert done.returncode != 0
        assert len(lines) == 1, done.stderr
        assert not (self.app / "output" / "scores.json").exists()  # Codabench then calls the submission failed
        assert not (self.app / "output" / "scores.txt").exists()
        return lines[0]

    def read_scores(self) -> dict[str, float]:
        """What the worker sends on, as far as Codabench's database can hold it."""
        scores = json.loads((self.app / "output" / "scores.json").read_text())
        assert set(scores) <= set(self.columns)
        for value in scores.values():
            assert isinstance(value, float)
            assert len(str(int(Decimal(value)))) <= 10
        assert not (self.app / "output" / "metadata").exists()  # the worker refuses an output that has one
        return dict(scores)


def unpack(archive: Path, folder: Path) -> None:
    """As the worker does."""
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)


def pack(folder: Path, *, below: str = "", name: str = "sent.zip") -> Path:
    """A participant's zip of a folder's files, at its top or in a folder of it."""
    path = folder.parent / name
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"{below}{file.name}")
    return path


def list_prefix(app: Path) -> list[str]:
    """What starts a command where `app` lies at /app, as root without the rights that the worker takes away."""
    dropped = ",".join(f"-{name}" for name in CAPABILITIES)
    script = f'mount --bind "{app}" /app && cd /app/program && exec setpriv --no-new-privs "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", f"--bounding-set={dropped}", f"--inh-caps={dropped}"]
