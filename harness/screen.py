"""Standard output and standard error."""

import os

from rich.console import Console
from rich.table import Table


class Screen(Console):
    """A stream for people. When whoever reads it has left (`| head -1`), the work goes on unseen."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence(self.file.fileno())


NARROWEST, WIDEST = 80, 200
"""A table is not pressed into less; where a terminal is narrower, it breaks the lines."""

out = Screen(highlight=False, soft_wrap=True, emoji=False)
log = Screen(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def show_table(table: Table) -> None:
    """A table on standard output: as wide as the terminal, elsewhere as wide as it wants to be."""
    out.width = max(out.width, NARROWEST) if out.is_terminal else WIDEST
    out.print(table)


def release() -> None:
    """Write out what is still kept back; what a full disk or a closed terminal does not take is dropped."""
    for screen in (out, log):
        try:
            screen.file.flush()
        except OSError:
            silence(screen.file.fileno())


def silence(descriptor: int) -> None:
    """Have a stream lead nowhere: what is still to be written to it fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
