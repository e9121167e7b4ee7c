"""The command line: the table of commands, and the one place where errors become exit codes."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from harness import __version__
from harness.commands.catalogue import fetch, list_known
from harness.commands.check import check, validate
from harness.commands.codabench import codabench
from harness.commands.images import fit_mos_pairs, metric
from harness.commands.reports import export, leaderboard, score, tables
from harness.commands.run import run
from harness.commands.telling import say_error
from harness.commands.templates import new_challenge, new_submission, schema
from harness.errors import HarnessError
from harness.files import remove_scratch
from harness.run_report import RunReport
from harness.screen import out, release
from harness.signals import Interrupted, interruptible

COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run,
    "leaderboard": leaderboard,
    "export": export,
    "tables": tables,
    "check": check,
    "validate": validate,
    "metric": metric,
    "mos-fit": fit_mos_pairs,
    "score": score,
    "codabench": codabench,
    "fetch": fetch,
    "list": list_known,
    "new-submission": new_submission,
    "new-challenge": new_challenge,
    "schema": schema,
}
"""In the order of the help."""
FULL = (errno.ENOSPC, errno.EDQUOT)

app = typer.Typer(
    help="Evaluate and rank image-enhancement models by quality and cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in COMMANDS.items():
    app.command(name)(command)


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Options that come before a command."""
    if version:
        out.print(f"harness {__version__}")
        raise typer.Exit


def main() -> None:
    """Run a command, and print what a script asked to be told of it, however it ended."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    report = RunReport()
    exit_code = attempt(lambda: app(obj=report), report)
    if report.wanted:
        exit_code = attempt(lambda: out.print(report.encode(exit_code), markup=False), report) or exit_code
    sys.exit(exit_code)


def attempt(work: Callable[[], object], report: RunReport) -> int:
    """Do it; a HarnessError, a full disk or a signal becomes one sentence and an exit code, which comes back."""
    try:
        with interruptible():
            work()
    except SystemExit as ended:
        return int(ended.code or 0)
    except HarnessError as error:
        return fail(str(error), error.exit_code, report)
    except OSError as error:
        if error.errno not in FULL:
            raise
        return fail(
            f"{error.filename or 'standard output'} cannot be written ({error.strerror}); free some space.", 5, report
        )
    except Interrupted as error:
        remove_scratch(Path(tempfile.gettempdir()))  # a second signal can have cut the cleaning up short
        return fail(
            f"{error}; what is finished is kept, and the same command goes on from there.", error.exit_code, report
        )
    return 0


def fail(sentence: str, exit_code: int, report: RunReport) -> int:
    """Say why on standard error, where anyone still reads it."""
    report.add_error(sentence, exit_code)
    with contextlib.suppress(OSError):
        say_error(sentence)
    release()
    return exit_code
