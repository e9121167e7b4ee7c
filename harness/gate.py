"""`harness check`: submissions measured again and held against their records, and the reports against both."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.admission import choose_split
from harness.archive import locate_record, read_record
from harness.assessment import Chosen, assess
from harness.assets import AssetStore, open_store
from harness.boards import average_quality
from harness.challenge import Challenge, Phase
from harness.errors import RecordError, RegressionError, SubmissionError, UsageError
from harness.evaluate import Draft, prepare_expected, start_series
from harness.executor import Crew, open_crew
from harness.files import write_named
from harness.findings import CHECK, REPORTS, Findings, Verdict
from harness.job import Evaluation
from harness.progress import Progress, Step
from harness.records import Record, Timing
from harness.regression import (
    Comparison,
    compare_images,
    compare_means,
    compare_scores,
    compare_speed,
    describe_comparison,
    describe_speed,
    find_difference,
)
from harness.render.verdicts import render_junit, render_summary
from harness.reporting import check_leaderboard, check_tables
from harness.session import add_metrics
from harness.submission import SubmissionFolder
from harness.tolerances import Tolerances
from harness.turns import take_turns

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"

OnVerdict = Callable[[Verdict], None]


@dataclass(frozen=True)
class Gate:
    """What the checks of one command have in common. The evaluation has a plan where speed is compared too."""

    evaluation: Evaluation
    reports_dir: Path
    tolerances: Tolerances
    phase: Phase
    store: AssetStore = field(default_factory=open_store)


@dataclass(frozen=True)
class Measured:
    """A submission's record and what it is here."""

    folder: SubmissionFolder
    before: Record
    after: Record


def check_submissions(
    folders: Sequence[SubmissionFolder], gate: Gate, *, on_progress: Progress, on_verdict: OnVerdict
) -> None:
    """A verdict on the quality of each submission and then, where the gate has a plan, one on the speed of each that
    was compared. Nothing is written."""
    stored: dict[str, Record] = {}
    chosen, compared = [], []
    for folder in folders:
        found = find_record(folder, gate)
        if isinstance(found, Verdict):
            on_verdict(found)
        else:
            stored[folder.name], split = found
            chosen.append(Chosen(folder, split))
    evaluation, missing = add_metrics(gate.evaluation, (), stored.values(), gate.store)
    for verdict in describe_left(missing):
        on_verdict(verdict)
    gate = replace(gate, evaluation=evaluation)
    with open_crew(evaluation) as crew:
        for assessed in assess(chosen, evaluation, crew=crew, on_progress=on_progress):
            measured = Measured(assessed.folder, stored[assessed.folder.name], assessed.record)
            verdict = judge_quality(measured, gate)
            on_verdict(verdict)
            if verdict.figures:
                compared.append(measured)
        if gate.evaluation.plan is not None:
            check_speeds(compared, gate, crew, on_progress=on_progress, on_verdict=on_verdict)


def describe_left(missing: Mapping[str, str]) -> Iterator[Verdict]:
    """Metrics of records that cannot be had here: why, by name."""
    for name, reason in missing.items():
        yield Verdict(name, "not compared", f"{name}, which a record has, is not compared: {reason}")


def find_record(folder: SubmissionFolder, gate: Gate) -> tuple[Record, str] | Verdict:
    """The record to compare with and its split, or why there is none."""
    dataset = gate.evaluation.dataset
    path = locate_record(gate.reports_dir / "records", dataset=dataset.name, name=folder.name)
    if not path.exists():
        sentence = f"{folder.name}: no record on {dataset.name}; `harness run` makes one."
        return Verdict(folder.name, "not compared", sentence)
    try:
        record = read_record(path)
        if record.quality is None:
            return Verdict(folder.name, "not compared", f"{folder.name}: its record holds no result to compare.")
        return record, choose_split(folder.manifest, dataset, record.quality.split)
    except (RecordError, UsageError) as error:
        return Verdict(folder.name, "failed", str(error), error.exit_code)


def judge_quality(measured: Measured, gate: Gate) -> Verdict:
    """Whether a record follows from the model, as far as quality goes."""
    name, after = measured.folder.name, measured.after
    if after.failure is not None and after.failure.kind == "not_installed":
        return Verdict(name, "not compared", f"{name}: not compared, {after.failure.message}")
    if after.status == "unavailable":
        return Verdict(name, "not compared", f"{name}: not compared, its weights are not available here.")
    if after.failure is not None:
        sentence = f"{name} has a result on record, but none here: {after.failure.message}"
        return Verdict(name, "failed", sentence, SubmissionError.exit_code)
    try:
        return judge_figures(measured, gate)
    except RecordError as error:
        return Verdict(name, "does not follow", str(error), error.exit_code)


def judge_figures(measured: Measured, gate: Gate) -> Verdict:
    """What got worse, or else what differs. Raises RecordError where the two records cannot be compared."""
    before, after, challenge = measured.before, measured.after, gate.evaluation.rules
    name, allowed = measured.folder.name, gate.tolerances
    on_record = average_quality(before.quality, challenge) if before.quality else {}
    of_mean, of_image = allowed.complete({m.name: on_record[m.name] for m in challenge.metrics if m.name in on_record})
    means = compare_means(before, after, challenge, tolerances=of_mean)
    scores = compare_scores(before, after, challenge, gate.phase, allowed=allowed.score)
    images = tuple(compare_images(before, after, challenge, tolerances=of_image))
    figures, count = (*scores, *means), len(images)
    if losses := [figure for figure in (*means, *scores) if figure.loss > figure.allowed]:
        return Verdict(name, "got worse", describe_all(losses), RegressionError.exit_code, figures, count)
    if fault := find_fault(measured, images, [figure for figure in figures if -figure.loss > figure.allowed]):
        return Verdict(name, "does not follow", fault, RecordError.exit_code, figures, count)
    return Verdict(name, "as recorded", f"{name}: as recorded.", figures=figures, images=count)


def find_fault(measured: Measured, images: Sequence[Comparison], gains: Sequence[Comparison]) -> str:
    """Why a record does not follow from a model that is no worse; "" where it does."""
    old, new = (record.submission.sha256[:12] for record in (measured.before, measured.after))
    name = measured.folder.name
    if old != new and not measured.folder.manifest.weights:  # what is built from published weights has no fixed bytes
        return f"{name}: its record is of the model {old}, the model here is {new}; run it again."
    if declared := find_declared(measured):
        return f"{name}: its record has another {declared} than the folder here; run it again."
    if difference := find_difference(images):
        return f"{describe_comparison(difference, 'differs')} Run it again: its record does not follow."
    return f"{describe_all(gains, 'got better')} Run it again: its record does not follow." if gains else ""


def find_declared(measured: Measured) -> str:
    """What a record says of its submission otherwise than the folder does, or of its static cost; "" for nothing."""
    before, after = measured.before, measured.after
    built = {"sha256"} if measured.folder.manifest.weights else set()
    for name in before.submission.__struct_fields__:
        if name not in built and getattr(before.submission, name) != getattr(after.submission, name):
            return name
    if before.cost is not None and after.cost is not None:
        for name in ("parameters", "multiply_adds"):
            if getattr(before.cost, name) != getattr(after.cost, name):
                return f"number of {name.replace('_', '-')}"
    return ""


def describe_all(comparisons: Sequence[Comparison], verb: str = "got worse") -> str:
    """A sentence for each, on a line of its own."""
    return "\n".join(describe_comparison(comparison, verb) for comparison in comparisons)


def check_speeds(
    compared: Sequence[Measured], gate: Gate, crew: Crew, *, on_progress: Progress, on_verdict: OnVerdict
) -> None:
    """Time all submissions in turn, as a run does, and judge each by the interval of its speed-up."""
    evaluation, waiting, stored = gate.evaluation, [], dict[str, Timing]()
    for measured in compared:
        folder, timing = measured.folder, measured.before.timing
        obstacle = find_obstacle(timing, evaluation)
        if timing is None or obstacle:
            on_verdict(Verdict(folder.name, "not compared", f"{folder.name}: speed not compared, {obstacle}"))
            continue
        on_progress(Step("expected outputs", submission=folder.name))
        try:
            prepare_expected(folder, measured.after, evaluation, crew)
        except SubmissionError as error:
            on_verdict(Verdict(folder.name, "failed", f"{folder.name}: {error}", error.exit_code))
            continue
        stored[folder.name] = timing
        draft = Draft(folder, measured.after)
        waiting.append((draft, start_series(draft, evaluation, crew)))
    for turn in take_turns(waiting, on_progress=on_progress):
        name = turn.draft.folder.name
        if turn.disturbed is not None:
            on_verdict(Verdict(name, "failed", f"{name}: {turn.disturbed}", turn.disturbed.exit_code))
        elif turn.finished:
            on_verdict(judge_speed(turn.record, stored[name], gate))


def find_obstacle(timing: Timing | None, evaluation: Evaluation) -> str:
    """Why the speed-up on record says nothing of the one measured here; "" where it does."""
    plan = evaluation.plan
    if timing is None or plan is None:
        return "its record has no times."
    if timing.baseline != evaluation.challenge.baseline.model.stem:
        return f"its record is timed against {timing.baseline}; run it again."
    if timing.device != plan.device:
        return f"its record is timed on {timing.device}."
    if timing.threads != plan.threads:
        return f"its record is timed with {timing.threads} threads; --threads {timing.threads} compares it."
    return ""


def judge_speed(record: Record, stored: Timing, gate: Gate) -> Verdict:
    """Whether a submission is slower than on record, by more than is allowed."""
    name = record.submission.name
    if record.timing is None:
        reason = record.failure.message if record.failure else "no time was measured."
        return Verdict(name, "failed", f"{name}: {reason}", SubmissionError.exit_code)
    label, allowed = gate.evaluation.challenge.baseline.label, gate.tolerances.speed
    speed = compare_speed(name, stored, record.timing, label=label, allowed=allowed)
    if speed.is_slower:
        return Verdict(name, "got worse", describe_speed(speed), RegressionError.exit_code, speed=speed)
    return Verdict(name, "undecided" if speed.is_unclear else "as recorded", describe_speed(speed), speed=speed)


def check_reports(reports_dir: Path, challenge: Challenge) -> Verdict:
    """Whether the written reports follow from the records."""
    try:
        check_leaderboard(reports_dir, challenge)
        check_tables(reports_dir, challenge)
    except RecordError as error:
        return Verdict(REPORTS, "does not follow", str(error), error.exit_code)
    return Verdict(REPORTS, "as recorded")


@contextlib.contextmanager
def publish_findings(summary: Path | None, junit: Path | None, *, timed: bool) -> Iterator[Findings]:
    """Write what a check finds in the block, however it ends: Markdown and JUnit XML where they are asked for.

    On GitHub the summary is shown with the step as well. Files that cannot be written are a UsageError at once; until
    the end they say that the check did not get there, which is what is left of one that was killed.
    """
    cut_off = Verdict(CHECK, "failed", "the check did not come to its end; see its log.", exit_code=1)
    write_findings(Findings(timed, verdicts=[cut_off]), summary, junit)
    findings = Findings(timed)
    try:
        yield findings
    except BaseException as error:
        reason, exit_code = str(error) or type(error).__name__, getattr(error, "exit_code", 1)
        findings.verdicts.append(Verdict(CHECK, "failed", reason, exit_code))
        raise
    finally:
        write_findings(findings, summary, junit)
        append_step_summary(render_summary(findings))


def write_findings(findings: Findings, summary: Path | None, junit: Path | None) -> None:
    """Write the files that are asked for."""
    for option, path, render in (("--summary", summary, render_summary), ("--junit", junit, render_junit)):
        if path is not None:
            write_named(path, render(findings).encode(), option=option)


def append_step_summary(text: str) -> None:
    """Show a text with the step of a GitHub workflow that runs this command, where one does."""
    if path := os.environ.get(STEP_SUMMARY):
        try:
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UsageError(f"{STEP_SUMMARY} names {path}, which cannot be written ({error.strerror}).") from None
