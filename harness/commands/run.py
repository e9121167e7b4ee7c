"""Evaluate submissions."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from harness.commands.options import (
    REPORTS,
    AllowCode,
    AssetsDir,
    DatasetName,
    Device,
    OwnChallenge,
    ReportsDir,
    Scheduler,
    SubmissionDirs,
    Threads,
    Workers,
)
from harness.commands.telling import end, read_folders, show_leaderboard, tell
from harness.run_report import RunReport
from harness.screen import log, out

if TYPE_CHECKING:
    from harness.outcome import Outcome


def run(
    context: typer.Context,
    submissions: SubmissionDirs = None,
    challenge: OwnChallenge = None,
    dataset: DatasetName = None,
    split: Annotated[str | None, typer.Option(help="A split; by default the largest not trained on.")] = None,
    assets: AssetsDir = None,
    reports: ReportsDir = REPORTS,
    threads: Threads = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    timing: Annotated[bool, typer.Option(help="Measure time (scores need it).")] = True,
    budget_s: Annotated[
        float, typer.Option("--budget", min=1, help="Seconds for the time of one submission, if it stays noisy.")
    ] = 90.0,
    device: Annotated[Device, typer.Option(help="Where models run.")] = "cpu",
    allow_code: AllowCode = False,
    metrics: Annotated[
        list[str] | None,
        typer.Option("--metric", help="A metric beside the challenge's, say ssim or pyiqa:lpips; may be repeated."),
    ] = None,
    again: Annotated[bool, typer.Option(help="Measure anew what the same code has measured on this machine.")] = False,
    images: Annotated[bool, typer.Option(help="Keep pictures of some outputs in reports/images.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but faults, and what was written.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document on standard output at the end.")
    ] = False,
) -> None:
    """Evaluate submissions and write the leaderboard."""
    report: RunReport = context.obj
    report.wanted = as_json
    from harness import archive, gallery, session, supplement, turns
    from harness.assets import open_store
    from harness.challenge import read_challenge
    from harness.display import show_progress
    from harness.outcome import Outcome
    from harness.progress import Step
    from harness.render.live import describe_figures
    from harness.reporting import check_version, list_other_datasets, select_records, write_leaderboard

    rules = read_challenge(session.choose_challenge(challenge, submissions or ()))
    folders, codes = read_folders(submissions, rules.name, report)
    report.challenge, report.outcomes = rules.name, dict.fromkeys(folder.name for folder in folders)
    store = open_store(assets)
    session.remove_leftovers(reports, store)
    archive.check_writable(reports)
    with session.open_place(reports, scheduler, timing=timing) as cluster, show_progress(quiet=quiet) as display:
        evaluation, notes = session.prepare_evaluation(
            rules,
            dataset,
            store,
            session.Options(threads, workers, timing, device, allow_code, budget_s),
            on_progress=display.take,
            cluster=cluster,
        )
        report.dataset = evaluation.dataset.name
        note([f"Dataset {evaluation.dataset.name}: {evaluation.dataset.note}", *notes], report, quiet=quiet)
        if split is not None:
            evaluation.dataset.list_names(split)  # an unknown one is said once, not of each submission
        known = select_records(reports / "records", evaluation.dataset.name, rules)  # a damaged one is said now
        check_version(known, evaluation.dataset, reports / "records")
        display.take(Step("compiling more metrics"))
        own = (record for record in known if record.submission.name in report.outcomes)
        evaluation, missing = session.add_metrics(evaluation, metrics or (), own, store)
        note([f"{name}, which a record has, is left out: {why}" for name, why in missing.items()], report, quiet=quiet)

        def on_outcome(outcome: Outcome) -> None:
            outcome = judge_named(outcome) if submissions else outcome
            codes.append(outcome.exit_code)
            report.outcomes[outcome.submission] = outcome
            display.conclude(
                outcome.submission, outcome.verdict, describe_figures(outcome.record, rules) or outcome.reason
            )
            if outcome.exit_code or display.needs_sentence(final=bool(outcome.verdict)):
                tell(outcome.sentence, outcome.exit_code)

        display.expect([*report.outcomes], budget_s=evaluation.plan.budget_s if evaluation.plan else None)
        run = turns.Run(evaluation, reports, split, again, session.choose_crew(cluster))
        left = supplement.add_metrics(folders, run, metrics or (), on_progress=display.take, on_outcome=on_outcome)
        turns.run_submissions(left, run, on_progress=display.take, on_outcome=on_outcome)
        for fault in gallery.keep_images(folders, evaluation, reports, on_progress=display.take) if images else ():
            report.notes.append(fault)
            log.print(fault, markup=False)
        display.take(Step("writing reports"))
        report.boards, report.written = write_leaderboard(reports, evaluation.dataset.name, rules)
    if not as_json:
        show_leaderboard(() if quiet else report.boards, reports)
        for name in () if quiet else list_other_datasets(reports, evaluation.dataset.name, rules):
            out.print(f"It shows {report.dataset}; for {name}: harness leaderboard --dataset {name}", markup=False)
    end(codes)


def note(notes: Sequence[str], report: RunReport, *, quiet: bool) -> None:
    """Keep what is to be known of the run, and say it."""
    report.notes += notes
    if notes and not quiet:
        log.print(*notes, sep="\n", markup=False)


def judge_named(outcome: "Outcome") -> "Outcome":
    """The outcome of a submission that was asked for by name: what is not available is then a fault."""
    from harness.errors import SubmissionError

    return replace(outcome, exit_code=SubmissionError.exit_code) if outcome.status == "unavailable" else outcome
