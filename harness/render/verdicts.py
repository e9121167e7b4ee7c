"""What a check found, as Markdown for people and as JUnit XML for continuous integration."""

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from harness.findings import CHECK, REPORTS, Findings, Verdict, count_compared
from harness.regression import Comparison
from harness.render.cells import EMPTY, escape, flatten, head_metric, render_table

SUITE = "harness check"
ELEMENTS = {"got worse": "failure", "does not follow": "failure", "failed": "error"} | dict.fromkeys(
    ("not compared", "undecided"), "skipped"
)
"""What a test case holds by its verdict; one that holds nothing has passed."""


def render_summary(findings: Findings) -> str:
    """The verdicts in a table, and a sentence on each thing that is not as recorded."""
    verdicts = findings.list_verdicts()
    failed = any(verdict.exit_code for verdict in verdicts)
    submissions = [verdict for verdict in verdicts if verdict.subject not in (REPORTS, CHECK)]
    about = (
        f"Dataset {escape(findings.dataset)}, scores of the {escape(findings.phase)}: " if findings.dataset else ""
    ) + f"{count_compared(submissions)} of {len(submissions)} submissions compared."
    notes = [f"- {escape(line)}" for verdict in verdicts for line in list_lines(verdict)]
    parts = [f"## {SUITE}: {'failed' if failed else 'passed'}", f"{about} {describe_time(findings)}"]
    if verdicts:
        headings = list_headings(verdicts, timed=findings.timed)
        parts += [render_table([render_row(v, headings) for v in verdicts], texts=("Checked", "Verdict"))]
    parts += ["\n".join(notes), describe_cells(verdicts)]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_time(findings: Findings) -> str:
    """What was done about time."""
    if findings.timed:
        return "Of time, the speed-up over the baseline was measured here and held against the one on record."
    return "Time was not compared: scores rest on the times on record. `--speed` compares the speed-up."


def list_lines(verdict: Verdict) -> list[str]:
    """What there is to say of one thing that was checked, beside its row."""
    return [line for line in verdict.sentence.splitlines() if line != f"{verdict.subject}: as recorded."]


def list_headings(verdicts: Iterable[Verdict], *, timed: bool) -> dict[str, str]:
    """Headings of the figures by quantity, in the order of their first mention."""
    headings = {figure.quantity: escape(head_figure(figure)) for v in verdicts for figure in v.figures}
    return headings | {"images": "Single values"} | ({"speed": "Speed-up"} if timed else {})


def head_figure(figure: Comparison) -> str:
    """The heading of a quantity."""
    return head_metric(figure.quantity, lower_is_better=figure.sign < 0)


def render_row(verdict: Verdict, headings: dict[str, str]) -> dict[str, str]:
    """One verdict, with its figures where it has any."""
    cells = {figure.quantity: render_figure(figure) for figure in verdict.figures}
    if verdict.images:
        cells["images"] = str(verdict.images)
    if verdict.speed is not None:
        cells["speed"] = f"{verdict.speed.after.value:.3f} (x {verdict.speed.change})"
    name = {"Checked": escape(verdict.subject), "Verdict": verdict.status}
    return name | {heading: cells.get(quantity, EMPTY) for quantity, heading in headings.items()}


def render_figure(figure: Comparison) -> str:
    """The value here, and how far it is from that on record."""
    return f"{figure.after:.4f} ({figure.after - figure.before:+.4f})"


def describe_cells(verdicts: Iterable[Verdict]) -> str:
    """How to read the table, and what is allowed."""
    allowed = {figure.quantity: f"{figure.allowed:.3g}" for verdict in verdicts for figure in verdict.figures}
    if not allowed:
        return ""
    limits = ", ".join(
        f"{escape(head_metric(quantity).removesuffix(' ↓'))} {limit}" for quantity, limit in allowed.items()
    )
    return (
        "In brackets: the difference to the record, and of a speed-up how many times the one on record it is. "
        f"Allowed for the worse: {limits}; single images and speed-ups have limits of their own. "
        "Single values: how many of single images were compared."
    )


def render_junit(findings: Findings) -> str:
    """A test case for each thing that was checked, in the form that Jenkins, GitLab and others read."""
    verdicts = findings.list_verdicts()
    kinds = [ELEMENTS.get(verdict.status, "") for verdict in verdicts]
    counts = {"tests": str(len(verdicts)), "failures": str(kinds.count("failure")), "errors": str(kinds.count("error"))}
    root = ET.Element("testsuites", {"name": SUITE} | counts)
    suite = ET.SubElement(root, "testsuite", {"name": SUITE} | counts | {"skipped": str(kinds.count("skipped"))})
    if findings.dataset:
        properties = ET.SubElement(suite, "properties")
        for name, value in (("dataset", findings.dataset), ("phase", findings.phase)):
            ET.SubElement(properties, "property", {"name": name, "value": flatten(value)})
    for verdict, kind in zip(verdicts, kinds, strict=True):
        add_case(suite, verdict, kind)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def add_case(suite: ET.Element, verdict: Verdict, kind: str) -> None:
    """One test case; what XML cannot hold was no printable character and is gone after `flatten`."""
    case = ET.SubElement(suite, "testcase", {"classname": SUITE.replace(" ", "."), "name": flatten(verdict.subject)})
    lines = [flatten(line) for line in verdict.sentence.splitlines()]
    if kind:
        fault = ET.SubElement(case, kind, {"message": lines[0] if lines else verdict.status})
        if kind != "skipped":
            fault.set("type", verdict.status)
            fault.text = "\n".join(lines)
    compared = [f"{head_figure(f)}: {f.before!r} on record, {f.after!r} here" for f in verdict.figures]
    if output := [*(lines if not kind else ()), *compared]:
        ET.SubElement(case, "system-out").text = "\n".join(output)
