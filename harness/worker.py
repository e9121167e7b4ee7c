"""The child process. It is confined before anything else is imported: `serving` then reads and runs the model.

`python -m harness.worker FD LIMIT_BYTES PARENT_PID` serves requests of `protocol` on the socket FD until it closes.
Standard output belongs to the model; replies have their own descriptor.
"""

import sys
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from harness import protocol
from harness.confinement import confine


def main() -> None:
    """Confine this process, say how far that went, then serve until the parent hangs up."""
    descriptor, limit_bytes, parent_pid = (int(word) for word in sys.argv[1:4])
    layers = confine(limit_bytes=limit_bytes, parent_pid=parent_pid, scratch=Path.cwd())
    with Connection(descriptor) as connection:
        connection.send_bytes(msgspec.json.encode(protocol.Confined(layers)))
        from harness.serving import serve

        serve(connection)


if __name__ == "__main__":
    main()
