"""Files that appear whole or not at all, and temporaries that the next start recognises and removes.

A temporary bears the number of the process that made it: what a killed process left can be told from what a living
one still needs.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PARTIAL_SUFFIX = ".partial"
SCRATCH_PREFIX = "harness-"
CLOCK_SLACK_S = 2.0
PROBE_BYTES = 4096


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file's content in one step: a reader or a crash sees the old or the new, never a part.

    It also lasts through a power cut. Raises OSError; the old file is then as it was, and nothing else is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _partial(path, content) as temporary:
        temporary.chmod(0o644)  # mkstemp's files are for their owner alone
        temporary.replace(path)
    sync_folder(path.parent)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet. Raises FileExistsError where it is, and OSError; nothing is then changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(exist_ok=False)  # holds the name
    try:
        write_atomically(path, content)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def write_named(path: Path, content: bytes, *, table: Path | None = None, option: str = "--out") -> None:
    """Write the file that a user named with an option: it replaces a file, but no link, no device, not the table read.

    Raises UsageError for what is not replaced and for what cannot be written.
    """
    try:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise UsageError(f"{path} is no file that could be replaced; name another {option}.")
        if table is not None and path.exists() and path.samefile(table):
            raise UsageError(f"{path} is the table itself; name another {option}.")
        write_atomically(path, content)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); name another {option}.") from None


def probe_folder(folder: Path) -> None:
    """Raise OSError unless a file can be written in this folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    with _partial(folder / "probe", bytes(PROBE_BYTES)) as temporary:
        temporary.unlink()


@contextlib.contextmanager
def _partial(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` that holds the content on the disk itself; it is gone after a failing block."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}.", suffix=PARTIAL_SUFFIX)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Bring a folder's list of names to the disk: a power cut could otherwise undo a rename."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folders
        return
    with contextlib.suppress(OSError):  # some network file systems cannot, and the file itself is whole
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def make_scratch(folder: Path | None = None) -> tempfile.TemporaryDirectory[str]:
    """A folder for this process alone, in `folder` or the system's folder for temporaries."""
    return tempfile.TemporaryDirectory(prefix=f"{SCRATCH_PREFIX}{os.getpid()}-", dir=folder)


@contextlib.contextmanager
def claim_folder(folder: Path) -> Iterator[None]:
    """Hold a folder for the length of the block, which ends with the process at the latest; nothing is written.

    Raises BlockingIOError where another process holds it. Where a file system knows no locks, nothing happens.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # some network file systems
            pass
        yield
    finally:
        os.close(descriptor)


def remove_partials(folder: Path) -> None:
    """Remove what killed processes left half written anywhere below a folder."""
    for path in folder.rglob(f".*{PARTIAL_SUFFIX}"):
        pid = path.name.removesuffix(PARTIAL_SUFFIX).split(".")[-2]
        if is_leftover(path, pid):
            with contextlib.suppress(OSError):
                path.unlink()


def remove_scratch(folder: Path, *, deep: bool = False) -> None:
    """Remove the scratch folders of killed processes in a folder (deep: and below it)."""
    paths = folder.rglob(f"{SCRATCH_PREFIX}*-*") if deep else folder.glob(f"{SCRATCH_PREFIX}*-*")
    for path in list(paths):
        if path.is_dir() and is_leftover(path, path.name.removeprefix(SCRATCH_PREFIX).partition("-")[0]):
            shutil.rmtree(path, ignore_errors=True)


def is_leftover(path: Path, pid: str) -> bool:
    """Whether a temporary belongs to this user, and the process that made it is gone.

    A temporary with this process's own number is a leftover too: to be called before the first is made.
    """
    try:
        entry = path.lstat()
    except OSError:
        return False
    ours = not hasattr(os, "getuid") or entry.st_uid == os.getuid()
    return ours and pid.isascii() and pid.isdigit() and not is_maker(int(pid), entry.st_mtime)


def is_maker(pid: int, changed_s: float) -> bool:
    """Whether a living process of that number can have made what was changed then; in doubt it has.

    Numbers are given out again, in a container soon: a younger process that is no harness has only inherited it.
    """
    import psutil

    if pid == os.getpid():
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        older = process.create_time() <= changed_s + CLOCK_SLACK_S
        return older or any("harness" in word for word in process.cmdline())
    except (psutil.NoSuchProcess, OverflowError, ValueError):
        return False
    except psutil.Error:
        return True
