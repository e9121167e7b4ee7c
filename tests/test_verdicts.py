"""A check's findings as Markdown and as JUnit XML, also where a submission's own texts are hostile."""

import xml.etree.ElementTree as ET

import pytest
from stored import make_timing

from harness.findings import CHECK, REPORTS, Findings, Verdict
from harness.regression import Comparison, compare_speed
from harness.render.verdicts import render_junit, render_summary

HOSTILE = "a|b\n\x00\x1b[31m]]> <script>alert(1)</script> **bold** ![x](https://evil) & \udc80 \ufffe \u202e \U0001f600"


def make_findings() -> Findings:
    figures = (
        Comparison("alpha", "Score A", 15.25, 15.2, 0.05),
        Comparison("alpha", "psnr", 22.5, 22.4875, 0.01),
        Comparison("alpha", "niqe", 5.25, 5.25, 0.02),
    )
    return Findings(
        timed=False,
        dataset="pirm2018b",
        phase="validation phase",
        verdicts=[
            Verdict("alpha", "got worse", "alpha: PSNR got worse.\nalpha: Score A got worse.", 1, figures, 204),
            Verdict("beta", "as recorded", "beta: as recorded.", figures=figures[1:], images=204),
            Verdict("gamma", "not compared", "gamma: no record."),
            Verdict("delta", "does not follow", "delta: PSNR of image 7 differs.", 5),
            Verdict("submissions/epsilon", "failed", "its manifest is no TOML.", 3),
            Verdict(REPORTS, "as recorded"),
        ],
    )


def read_rows(summary: str) -> dict[str, list[str]]:
    """The cells of the table's rows by what was checked; an escaped bar parts no cells."""
    rows = [line.replace(r"\|", "¦").strip("|").split("|") for line in summary.splitlines() if line.startswith("|")]
    return {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}


def read_cases(junit: str) -> tuple[ET.Element, dict[str, ET.Element]]:
    """The suite, and its cases by name."""
    root = ET.fromstring(junit)
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    cases = {case.attrib["name"]: case for case in suite.iter("testcase")}
    assert {case.attrib["classname"] for case in cases.values()} == {"harness.check"}
    return suite, cases


def test_the_summary_has_a_row_for_everything_that_was_checked() -> None:
    summary = render_summary(make_findings())
    rows = read_rows(summary)
    assert rows["Checked"] == ["Verdict", "Score A", "PSNR (dB)", "NIQE ↓", "Single values"]
    assert rows["alpha"] == ["got worse", "15.2000 (-0.0500)", "22.4875 (-0.0125)", "5.2500 (+0.0000)", "204"]
    assert rows["beta"] == ["as recorded", "-", "22.4875 (-0.0125)", "5.2500 (+0.0000)", "204"]
    assert rows["gamma"] == ["not compared", "-", "-", "-", "-"]
    assert rows[REPORTS][0] == "as recorded"
    assert len(rows) == 2 + len(make_findings().verdicts)
    assert summary.startswith("## harness check: failed\n")
    assert "Dataset pirm2018b, scores of the validation phase: 2 of 5 submissions compared." in summary
    assert "Time was not compared" in summary
    assert "Allowed for the worse: Score A 0.05, PSNR (dB) 0.01, NIQE 0.02;" in summary


def test_the_summary_says_what_is_not_as_recorded() -> None:
    notes = [line for line in render_summary(make_findings()).splitlines() if line.startswith("- ")]
    assert notes == [
        "- alpha: PSNR got worse.",
        "- alpha: Score A got worse.",
        "- gamma: no record.",
        "- delta: PSNR of image 7 differs.",
        "- its manifest is no TOML.",
    ]


def test_a_summary_without_faults_has_passed() -> None:
    findings = Findings(timed=False, verdicts=[Verdict("beta", "as recorded"), Verdict("gamma", "not compared", "no.")])
    assert render_summary(findings).startswith("## harness check: passed\n")
    assert "failed" in render_summary(Findings(timed=False, verdicts=[Verdict(CHECK, "failed", "it broke.", 4)]))
    assert "0 of 0 submissions compared" in render_summary(Findings(timed=False))


def test_speed_has_a_column_and_a_sentence() -> None:
    speed = compare_speed("beta", make_timing(100.0), make_timing(80.0), label="SRCNN", allowed=0.1)
    findings = make_findings()
    findings.timed = True
    findings.verdicts.append(Verdict("beta", "as recorded", "beta: speed-up over SRCNN is 2.5.", speed=speed))
    summary = render_summary(findings)
    rows = read_rows(summary)
    assert rows["Checked"][-1] == "Speed-up"
    assert rows["beta"][-1].startswith("2.50")
    assert rows["alpha"][-1] == "-"
    assert "- beta: speed-up over SRCNN is 2.5." in summary
    assert "Time was not compared" not in summary


def test_junit_has_a_case_for_everything_that_was_checked() -> None:
    suite, cases = read_cases(render_junit(make_findings()))
    assert suite.attrib == {"name": "harness check", "tests": "6", "failures": "2", "errors": "1", "skipped": "1"}
    assert {name: [child.tag for child in case] for name, case in cases.items()} == {
        "alpha": ["failure", "system-out"],
        "beta": ["system-out"],
        "gamma": ["skipped"],
        "delta": ["failure"],
        "submissions/epsilon": ["error"],
        REPORTS: [],
    }
    failure, output = cases["alpha"]
    assert failure.attrib == {"message": "alpha: PSNR got worse.", "type": "got worse"}
    assert failure.text == "alpha: PSNR got worse.\nalpha: Score A got worse."
    assert "PSNR (dB): 22.5 on record, 22.4875 here" in output.text
    assert cases["gamma"][0].attrib == {"message": "gamma: no record."}
    assert [(p.attrib["name"], p.attrib["value"]) for p in suite.iter("property")] == [
        ("dataset", "pirm2018b"),
        ("phase", "validation phase"),
    ]


@pytest.mark.parametrize("status", ["failed", "got worse", "not compared"])
def test_hostile_texts_stay_texts(status: str) -> None:
    findings = Findings(timed=False, dataset=HOSTILE, phase=HOSTILE, verdicts=[Verdict(HOSTILE, status, HOSTILE, 3)])
    summary, junit = render_summary(findings), render_junit(findings)
    summary.encode()
    assert all(line.isprintable() for line in summary.splitlines())
    assert "<script" not in summary
    assert "![" not in summary.replace(r"!\[", "")
    assert "**bold" not in summary
    assert len([line for line in summary.splitlines() if line.startswith("|")]) == 3
    suite, cases = read_cases(junit.encode().decode())
    ((name, case),) = cases.items()
    assert "<script>alert(1)</script>" in name
    assert "\x1b" not in junit
    assert "<script>" in case[0].attrib["message"] or "a|b" in case[0].attrib["message"]
    assert suite.attrib["tests"] == "1"
