"""The page of one record in a single file: what its script and style are is in it, and it leads nowhere."""

from collections.abc import Sequence

from markupsafe import Markup

from harness import __version__
from harness.boards import Board
from harness.challenge import Challenge
from harness.records import Record
from harness.render.page import open_templates, read_template
from harness.render.record_page import describe_record

AMONG_OTHERS = ("Rank", "First by")
"""Facts that mean nothing of a single submission."""


def render_detailed(record: Record, boards: Sequence[Board], challenge: Challenge) -> str:
    """All that is known of a submission; its charts and pictures, which would be other files, are left out."""
    rows = [(board, row) for board in boards for row in board.frame.to_dict("records")]
    standings = [(board, row) for board, row in rows if row["submission"] == record.submission.name]
    context = describe_record(record, standings, challenge, ()) | {"pictured": True, "timing": None}
    for summary in context["summaries"]:  # it stands there alone
        summary["facts"] = [(name, value) for name, value in summary["facts"] if not name.startswith(AMONG_OTHERS)]
    return (
        open_templates()
        .get_template("detailed.html.j2")
        .render(
            version=__version__,
            style=Markup(read_template("page.css")),  # noqa: S704
            script=Markup(read_template("page.js")),  # noqa: S704
            **context,
        )
    )
