"""What the probe of the confinement tries: names, and code that raises where it is refused."""

FORBIDDEN = {
    "read /etc/passwd": "Path('/etc/passwd').read_bytes()",
    "read a file of others": "Path(at.secret).read_bytes()",
    "list a folder of others": "os.listdir(at.folder)",
    "list the submissions": "os.listdir(at.submissions)",
    "read the file of a submission": "Path(at.submissions, 'dped', 'submission.toml').read_bytes()",
    "write in the common folder": "Path(at.common, f'probe{os.getpid()}').write_text('x')",
    "write beside the scratch folder": "Path(at.elsewhere, 'x').write_text('x')",
    "climb out of the scratch folder": "Path(at.scratch, '..', 'elsewhere', 'y').write_text('x')",
    "cut a file of others": "os.truncate(at.target, 0)",
    "remove a file of others": "os.remove(at.doomed)",
    "leave a link": "os.symlink('/etc/passwd', os.path.join(at.scratch, 'link'))",
    "read the parent's environment": "Path(f'/proc/{os.getppid()}/environ').read_bytes()",
    "read the parent's memory": "open(f'/proc/{os.getppid()}/mem', 'rb')",
    "connect": "socket.create_connection(('127.0.0.1', at.port), timeout=5)",
    "make a socket": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "make a Unix socket": "socket.socket(socket.AF_UNIX)",
    "trace the parent": "system('ptrace', 16, os.getppid(), 0, 0); system('ptrace', 17, os.getppid(), 0, 0)",
    "unshare": "system('unshare', 0x04000000)",
    "mount": "system('mount', b'none', at.scratch.encode(), b'tmpfs', 0, 0)",
    "exec": "os.execv('/bin/true', ['true'])",
    "a file above the limit": "os.truncate(os.open(os.path.join(at.scratch, 'f'), 65), 201_000_000)",
    "change the host name": "socket.sethostname('probe')",
}
"""Refused from the start."""

FORBIDDEN_LATER = {
    "fork": "os.fork() or os._exit(0)",
    "signal 0 to the parent": "os.kill(os.getppid(), 0)",
    "end the parent": "os.kill(os.getppid(), signal.SIGTERM)",
    "queue a signal to the parent": "system('sigqueue', os.getppid(), signal.SIGTERM, 0)",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "change a mode": "os.chmod(at.target, 0o777)",
    "change an owner": "os.chown(at.target, os.getuid(), os.getgid())",
    "change a time": "os.utime(at.target, (0, 0))",
    "mark a file": "os.setxattr(at.target, 'user.probe', b'x')",
    "share memory": "mmap.mmap(-1, 4096)",
    "make a file of memory": "os.memfd_create('x')",
    "choose a processor": "os.sched_setaffinity(0, os.sched_getaffinity(0))",
    "change the priority": "os.setpriority(os.PRIO_PROCESS, 0, 5)",
    "limit the parent": "resource.prlimit(os.getppid(), resource.RLIMIT_CORE)",
    "change a limit": "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
    "outlive the parent": "system('prctl', 1, 0, 0, 0, 0)",
    "take a capability": "system('capset', (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(1 << 21))",
    "become another user": "os.setresuid(1, 1, 1)",
}
"""Refused at the latest before a model is read."""

ALLOWED = {
    "read the standard library": "Path(os.__file__).read_bytes(); import zipapp",
    "import an extension": "import numpy; import onnx",
    "write in the scratch folder": "file = Path(at.scratch, 'z'); file.write_text('x'); file.unlink()",
    "start threads": "made = [threading.Thread(target=len, args=('',)) for _ in range(4)];"
    "[thread.start() for thread in made]; [thread.join() for thread in made]",
    "take memory": "assert len(bytearray(300_000_000)) == 300_000_000",
    "signal oneself": "signal.signal(signal.SIGUSR1, signal.SIG_IGN); signal.raise_signal(signal.SIGUSR1)",
    "read what one may take": "assert resource.getrlimit(resource.RLIMIT_DATA)[0] == 650_000_000",
}
UNTRIED = ("mount", "exec", "change the host name", "become another user", "trace the parent", "take a capability")
"""Not tried without layers: they would change this machine, or end the probe."""
