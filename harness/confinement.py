"""Takes from this process what a model does not need, layer by layer; used by the child alone.

Each layer is optional: where the system lacks it, the answer is "off: " and the reason. `confine` comes before numpy is
imported (Landlock and the first filter hold for the calling thread and for what it starts), `confine_further` after the
last import and before a model is read. About the layers: docs/measurement.md.
"""

import contextlib
import ctypes
import errno
import functools
import glob
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS = 0x10000000, 0x40000000, 0x08000000, 0x04000000
CLONE_THREAD = 0x00010000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38
CAPABILITY_VERSION_3 = 0x20080522
MAP_SHARED_ANONYMOUS = 0x21
FILE_BYTES = 200_000_000
OPEN_FILES = 256

READABLE = """/usr/lib /usr/lib64 /usr/local/lib /lib /lib64 /etc/ld.so.cache /etc/localtime /dev/null /dev/zero
    /dev/urandom /proc/self /proc/cpuinfo /proc/meminfo /proc/stat /proc/sys/vm /sys/devices/system /sys/fs/cgroup
    /proc/driver/nvidia""".split()
"""What libraries read, beside the interpreter's own folders."""

FORBIDDEN = """socket socketpair ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_open pidfd_getfd
    pidfd_send_signal mount umount2 pivot_root chroot move_mount open_tree fsopen fsmount fspick fsconfig mount_setattr
    name_to_handle_at open_by_handle_at bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register
    add_key request_key keyctl init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff
    acct quotactl syslog settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname setns unshare
    personality shmget msgget semget mq_open""".split()
"""System calls that no model needs, from the start."""

FORBIDDEN_LATER = """fork vfork execve execveat chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime
    utimes futimesat utimensat setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr
    removexattrat file_setattr memfd_create memfd_secret kill tkill rt_sigqueueinfo rt_tgsigqueueinfo
    sched_setaffinity sched_setscheduler sched_setparam sched_setattr setpriority ioprio_set setrlimit""".split()
"""Those that an import may need, but no model does."""

Layer = Callable[[], None]


class LayerError(Exception):
    """A layer that this system does not offer; the reason."""


def confine(*, limit_bytes: int, parent_pid: int, scratch: Path) -> dict[str, str]:
    """Put on every layer that can be had, and tell of each whether it is on. Ends the process if its parent is gone."""
    filters = import_seccomp()  # asks ldconfig for a library, which the layers would not let it
    layers: dict[str, Layer] = {
        "resource limits": lambda: limit_resources(limit_bytes),
        "namespaces": leave_namespaces,
        "capabilities dropped": drop_capabilities,
        "no_new_privs": lambda: call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        "parent-death signal": lambda: die_with_parent(parent_pid),
        "Landlock": lambda: restrict_files(scratch),
        "seccomp": lambda: filter_calls(filters, FORBIDDEN),
    }
    return {"listed environment": "on", "new session": "on"} | {name: put_on(layer) for name, layer in layers.items()}


@functools.cache
def confine_further() -> None:
    """The second filter, once, for all threads; nothing where there is no first one."""
    filters = import_seccomp()
    if not isinstance(filters, str):
        with contextlib.suppress(LayerError, OSError):
            filter_further(filters)


def put_on(layer: Layer) -> str:
    """ "on", or "off: " and why."""
    try:
        layer()
    except LayerError as error:
        return f"off: {error}"
    except OSError as error:
        return f"off: {error.strerror or error}"
    return "on"


def call(name: str, *arguments: object) -> None:
    """A function of the C library that returns -1 for an error. Raises LayerError where it is missing, OSError."""
    if sys.platform != "linux":
        raise LayerError("needs Linux")
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def limit_resources(limit_bytes: int) -> None:
    """Backstops: the parent watches resident memory, and its limit is the one that counts."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(1.3 * limit_bytes),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))


def leave_namespaces() -> None:
    """No network but an empty one, no host name and no shared memory of others, nobody's user."""
    call("unshare", CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS)


def drop_capabilities() -> None:
    """None left, and none to be had again."""
    with contextlib.suppress(OSError):  # the set ends with an error; who has no right to drop has nothing to drop
        for number in range(64):
            call("prctl", PR_CAPBSET_DROP, number, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", header, (ctypes.c_uint32 * 6)())


def die_with_parent(parent_pid: int) -> None:
    """Ask the kernel to kill this process with its parent.

    "Parent" is the thread that started this process: start model processes from a thread that outlives them. Comes
    after every change of rights, which would clear it, and which also hides /proc/PID from a parent without rights.
    """
    try:
        call("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)
        call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    finally:
        if os.getppid() != parent_pid:  # it died before the kernel was asked, and may have left a request behind
            sys.exit()


def restrict_files(scratch: Path) -> None:
    """Read the interpreter and the libraries, write the scratch folder, and nothing else; no TCP, no signals out."""
    try:
        from landlockpy import AccessFS, LandlockError, Ruleset, Scope
    except ImportError:
        raise LayerError("the package landlockpy is not installed") from None
    read = AccessFS.READ_FILE | AccessFS.READ_DIR
    write = read | AccessFS.WRITE_FILE | AccessFS.TRUNCATE | AccessFS.MAKE_REG | AccessFS.MAKE_DIR
    write |= AccessFS.REMOVE_FILE | AccessFS.REMOVE_DIR
    device = AccessFS.READ_FILE | AccessFS.WRITE_FILE | AccessFS.IOCTL_DEV
    try:
        with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as rules:
            for path in list_readable():
                rules.allow_path(path, read if path.is_dir() else AccessFS.READ_FILE)
            for name in ["/dev/null", *glob.glob("/dev/nvidia*")]:  # noqa: PTH207
                rules.allow_path(name, read | device if Path(name).is_dir() else device)
            rules.allow_path(scratch, write)
            rules.restrict()
    except LandlockError as error:
        missing = error.errno in (errno.ENOSYS, errno.EOPNOTSUPP)
        raise LayerError("the kernel has no Landlock" if missing else str(error)) from None


def list_readable() -> Iterable[Path]:
    """Where the interpreter, its packages and the system's libraries lie; of a checkout only the package itself."""
    import harness

    package = Path(harness.__file__).parent
    places: list[str | Path] = [*READABLE, sys.prefix, sys.base_prefix, sys.exec_prefix, package]
    # the folder of a checkout is on the path, but holds submissions too; one of libraries has this one's as well
    shared = (package.parent / "msgspec").is_dir()
    places += [place for place in sys.path if place and (shared or Path(place) != package.parent)]
    return [path for path in map(Path, places) if path.exists()]


def import_seccomp() -> ModuleType | str:
    """The module, or why there is none."""
    if sys.platform != "linux":
        return "needs Linux"
    try:
        return importlib.import_module("pyseccomp")
    except ImportError:
        return "the package pyseccomp is not installed"
    except (RuntimeError, OSError):
        return "the system has no libseccomp.so.2"


def filter_calls(seccomp: ModuleType | str, names: Iterable[str]) -> None:
    """Refuse these system calls with EPERM."""
    if isinstance(seccomp, str):
        raise LayerError(seccomp)
    rules = make_filter(seccomp, names)
    # its arguments lie in memory, where no filter sees them; the C library then takes clone
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    rules.load()


def filter_further(seccomp: ModuleType) -> None:
    """Refuse what only imports needed: new processes, other processes, priorities, shared memory."""
    refuse = seccomp.ERRNO(errno.EPERM)
    arg, equal, other = seccomp.Arg, seccomp.MASKED_EQ, seccomp.NE
    rules = make_filter(seccomp, FORBIDDEN_LATER)
    rules.set_attr(seccomp.Attr.CTL_TSYNC, 1)
    rules.add_rule(refuse, "clone", arg(0, equal, CLONE_THREAD, 0))
    rules.add_rule(refuse, "mmap", arg(3, equal, MAP_SHARED_ANONYMOUS, MAP_SHARED_ANONYMOUS))
    rules.add_rule(refuse, "tgkill", arg(0, other, os.getpid()))
    rules.add_rule(refuse, "prlimit64", arg(0, other, 0))
    rules.add_rule(refuse, "prlimit64", arg(2, other, 0))
    rules.add_rule(refuse, "prctl", arg(0, seccomp.EQ, PR_SET_PDEATHSIG))
    rules.load()


def make_filter(seccomp: ModuleType, names: Iterable[str]) -> Any:
    """A filter that refuses the calls of these names, as far as the library knows them, and allows the others."""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for name in names:
        with contextlib.suppress(OSError, ValueError):  # a newer or older system call, or one of another processor
            rules.add_rule(seccomp.ERRNO(errno.EPERM), name)
    return rules
