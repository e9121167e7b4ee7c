"""Hold submissions and reports against the records."""

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.options import (
    REPORTS,
    AllowCode,
    AssetsDir,
    DatasetName,
    OwnChallenge,
    PhaseName,
    ReportsDir,
    SubmissionDirs,
    Threads,
    Workers,
    read_path,
)
from harness.commands.telling import end, tell
from harness.errors import RecordError, UsageError
from harness.screen import log, out


def check(
    submissions: SubmissionDirs = None,
    challenge: OwnChallenge = None,
    dataset: DatasetName = None,
    assets: AssetsDir = None,
    reports: ReportsDir = REPORTS,
    phase: PhaseName = "validation",
    threads: Threads = None,
    workers: Workers = None,
    allow_code: AllowCode = False,
    speed: Annotated[bool, typer.Option("--speed", help="Measure the speed-up over the baseline too.")] = False,
    budget_s: Annotated[
        float, typer.Option("--budget", min=1, help="Seconds for the time of one submission, with --speed.")
    ] = 90.0,
    summary: Annotated[
        Path | None,
        typer.Option(
            help="Write a summary in Markdown; $GITHUB_STEP_SUMMARY gets it always.", parser=read_path, metavar="FILE"
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(help="Write the verdicts as JUnit XML.", parser=read_path, metavar="FILE")
    ] = None,
) -> None:
    """Measure quality again and compare it, and the scores that follow, with the stored records; for CI.

    \b
    Exit codes; with several faults, the first one counts:
    0  as recorded
    1  something got worse by more than pyproject.toml allows
    2  wrong use, or --summary or --junit cannot be written
    3  a submission fails here or breaks a rule
    4  a dataset or asset is missing or damaged
    5  a record is damaged or does not follow from its model, a report
       does not follow from the records, or nothing could be compared
    6  the challenge file or a formula does not hold
    7  a process was killed from outside, or none starts
    """
    from harness import session
    from harness.assets import open_store
    from harness.challenge import find_phase, read_challenge
    from harness.display import show_progress
    from harness.findings import Verdict, count_compared
    from harness.gate import Gate, check_reports, check_submissions, publish_findings
    from harness.tolerances import read_tolerances

    codes: list[int] = []
    with publish_findings(summary, junit, timed=speed) as findings:

        def on_verdict(verdict: Verdict) -> None:
            told = {known.sentence for known in findings.verdicts}
            findings.verdicts.append(verdict)
            if verdict.sentence and verdict.sentence not in told:
                codes.append(tell(verdict.sentence, verdict.exit_code))

        tolerances = read_tolerances()
        rules = read_challenge(session.choose_challenge(challenge, submissions or ()))
        scored = find_phase(rules, phase)
        folders, faults = session.read_folders(submissions, rules.name)
        for path, fault in faults.items():
            on_verdict(Verdict(str(path), "failed", str(fault), fault.exit_code))
        # where there are no reports, there is nothing to time
        claim = session.claim_machine(reports) if speed and reports.is_dir() else contextlib.nullcontext()
        with claim, show_progress() as display:
            options = session.Options(threads, workers, timing=speed, allow_code=allow_code, budget_s=budget_s)
            store = open_store(assets)
            evaluation, notes = session.prepare_evaluation(rules, dataset, store, options, on_progress=display.take)
            log.print(f"Dataset {evaluation.dataset.name}: {evaluation.dataset.note}", *notes, sep="\n", markup=False)
            findings.dataset, findings.phase = evaluation.dataset.name, scored.label
            if speed and evaluation.plan is None:
                raise UsageError(f"--speed needs photos, and {evaluation.dataset.name} has none; leave it out.")
            gate = Gate(evaluation, reports, tolerances, scored, store)
            check_submissions(folders, gate, on_progress=display.take, on_verdict=on_verdict)
        on_verdict(check_reports(reports, rules))
        compared = count_compared(findings.list_verdicts())
        if not compared and not any(codes):
            name = findings.dataset
            raise RecordError(f"no submission here has a model and a record on {name}; `harness run` makes one.")
    end(codes)
    out.print(f"Nothing got worse ({compared} of {len(folders)} compared), and the reports follow from the records.")


def validate(
    submission: Annotated[Path, typer.Argument(help="A submission's folder.", parser=read_path, metavar="DIR")],
    challenge: OwnChallenge = None,
    allow_code: AllowCode = False,
) -> None:
    """Check a submission's folder and graph without running the model."""
    from harness.challenge import read_challenge
    from harness.session import choose_challenge, validate_submission

    rules = read_challenge(choose_challenge(challenge, [submission]))
    described, cost = validate_submission(submission, rules, allow_code=allow_code)
    work = "unknown" if cost.multiply_adds is None else f"{cost.multiply_adds / 1e9:.1f} G"
    out.print(
        f"{described.name} is valid: {described.layout}, {cost.model_bytes / 1e6:.2f} MB, "
        f"{cost.parameters:,} parameters, {work} multiply-adds at "
        f"{rules.counted_size.width_px}x{rules.counted_size.height_px}.",
        markup=False,
    )
