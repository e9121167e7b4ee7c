"""Values of this package beside those of other libraries, in the terminal."""

from rich import box
from rich.table import Table
from rich.text import Text

from harness.agreement import Agreement, Row
from harness.render.cells import EMPTY, flatten, head_metric


def render_agreement(agreement: Agreement) -> Table:
    """A row for each implementation, ours first, with what sets it apart."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("metric", no_wrap=True)
    table.add_column("by", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("less ours", justify="right", no_wrap=True)
    table.add_column("held against", no_wrap=True)
    table.add_column("why", overflow="fold")
    metric = ""
    for row in agreement.rows:
        if row.metric != metric and metric:
            table.add_section()
        heading = head_metric(row.metric) if row.metric != metric else ""
        table.add_row(heading, *(Text(flatten(cell)) for cell in list_cells(row)))
        metric = row.metric
    return table


def list_cells(row: Row) -> tuple[str, str, str, str, str]:
    """Name, value, difference, convention and reason."""
    value = EMPTY if row.value is None else f"{row.value:.6f}"
    return row.name, value, "" if row.difference is None else f"{row.difference:+.1e}", row.against, row.reason


def describe_missing(agreement: Agreement) -> str:
    """The libraries that are not installed, in one line; "" where all are."""
    return f"Not installed: {', '.join(agreement.missing)}." if agreement.missing else ""
