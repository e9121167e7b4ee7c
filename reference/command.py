"""How every command of this package ends: a sentence on standard error and an exit status, never a traceback."""

import sys
from collections.abc import Callable

import torch

from harness.errors import HarnessError

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130


def run_command(work: Callable[[], int | None], *, interrupted: str = "Give the same command to start again.") -> int:
    """Do the work; its exit status, or that of the fault that ended it: a HarnessError's own, 2 for other bad input.

    `interrupted` says what to do after Ctrl-C.
    """
    try:
        return work() or 0
    except HarnessError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except RuntimeError as error:
        # torch has a type of its own for a GPU's memory alone
        if not (isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)):
            raise
        print(f"Out of memory ({str(error).splitlines()[0]}): try a smaller batch_size.", file=sys.stderr)
        return WRONG_USE
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt:
        print(f"Interrupted. {interrupted}", file=sys.stderr)
        return INTERRUPTED
