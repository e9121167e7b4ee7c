"""The commands: each parses its options, calls the package, and prints what came of it."""

import contextlib
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness import __version__
from harness.errors import HarnessError, RecordError, UsageError
from harness.files import remove_scratch
from harness.run_report import RunReport
from harness.screen import log, out, release, show_table
from harness.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from harness.boards import Board
    from harness.submission import SubmissionFolder

Device = Literal["cpu", "cuda"]

app = typer.Typer(
    help="Evaluate and rank image-enhancement models by quality and cost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def read_path(text: str) -> Path:
    """A path as given; an empty one, as an unset variable leaves it, would stand for the working folder."""
    if not text:
        raise typer.BadParameter("it is empty; give a path, or leave it out.")
    return Path(text)


def read_name(text: str) -> str:
    """A name as given."""
    if not text:
        raise typer.BadParameter("it is empty; give a name, or leave it out.")
    return text


SubmissionDirs = Annotated[
    list[Path] | None,
    typer.Argument(help="Submission folders; none: all of ./submissions.", parser=read_path, metavar="DIR"),
]
ChallengeName = Annotated[str, typer.Option("--challenge", help="A challenge's name, or the path of its TOML file.")]
DatasetName = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        help="pirm2018b, embedded or a folder; by default the first that can be had.",
        parser=read_name,
        metavar="NAME",
    ),
]
AssetsDir = Annotated[
    Path | None,
    typer.Option(
        "--assets",
        help="A mirror of the upstream files, laid out as OWNER/REPO/path (or HARNESS_ASSETS).",
        parser=read_path,
        metavar="DIR",
    ),
]
ReportsDir = Annotated[
    Path,
    typer.Option("--reports", help="Where records and reports are kept.", parser=read_path, metavar="DIR"),
]
PhaseName = Annotated[str, typer.Option("--phase", help="Whose score formulas to use: validation or test.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; by default the physical cores.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Models at once where only quality is measured; by default the cores."),
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code", help="Also run models that are programs (TorchScript, .pt2), as far as isolation is on."
    ),
]

REPORTS = Path("reports")
FULL = (errno.ENOSPC, errno.EDQUOT)


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


def say_error(sentence: object) -> None:
    """One fault, on standard error."""
    log.print(f"error: {sentence}", style="bold red", markup=False)


def tell(sentence: str, exit_code: int) -> int:
    """Say at once what came of something; it is a fault where it has an exit code, which comes back."""
    say_error(sentence) if exit_code else log.print(sentence, markup=False)
    return exit_code


def end(codes: Iterable[int]) -> None:
    """End with the first fault, where there was one. All were told when they were found."""
    if code := next(filter(None, codes), 0):
        raise typer.Exit(code)


def read_folders(paths: Sequence[Path] | None, report: RunReport) -> tuple[list["SubmissionFolder"], list[int]]:
    """The submissions, and an exit code for each folder that is faulty; no more is done where all are."""
    from harness import session

    folders, faults = session.read_folders(paths)
    codes = [tell(str(fault), fault.exit_code) for fault in faults.values()]
    report.add_errors(faults.values())
    if not folders:
        end(codes)
    return folders, codes


@app.command()
def run(
    context: typer.Context,
    submissions: SubmissionDirs = None,
    challenge: ChallengeName = "pirm2018b",
    dataset: DatasetName = None,
    split: Annotated[str | None, typer.Option(help="A split; by default the largest not trained on.")] = None,
    assets: AssetsDir = None,
    reports: ReportsDir = REPORTS,
    threads: Threads = None,
    workers: Workers = None,
    timing: Annotated[bool, typer.Option(help="Measure time (scores need it).")] = True,
    budget_s: Annotated[
        float, typer.Option("--budget", min=1, help="Seconds for the time of one submission, if it stays noisy.")
    ] = 90.0,
    device: Annotated[Device, typer.Option(help="Where models run.")] = "cpu",
    allow_code: AllowCode = False,
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
    from harness import archive, gallery, session, turns
    from harness.assets import open_store
    from harness.challenge import read_challenge
    from harness.display import show_progress
    from harness.progress import Step
    from harness.render.live import describe_figures
    from harness.reporting import check_version, list_other_datasets, select_records, write_leaderboard

    rules = read_challenge(challenge)
    folders, codes = read_folders(submissions, report)
    report.challenge, report.outcomes = rules.name, dict.fromkeys(folder.name for folder in folders)
    store = open_store(assets)
    session.remove_leftovers(reports, store)
    archive.check_writable(reports)
    claim = session.claim_machine(reports) if timing else contextlib.nullcontext()
    with claim, show_progress(quiet=quiet) as display:
        evaluation, notes = session.prepare_evaluation(
            rules,
            dataset,
            store,
            session.Options(threads, workers, timing, device, allow_code, budget_s),
            on_progress=display.take,
        )
        report.dataset = evaluation.dataset.name
        report.notes = [f"Dataset {evaluation.dataset.name}: {evaluation.dataset.note}", *notes]
        if not quiet:
            log.print(*report.notes, sep="\n", markup=False)
        if split is not None:
            evaluation.dataset.list_names(split)  # an unknown one is said once, not of each submission
        known = select_records(reports / "records", evaluation.dataset.name, rules)  # a damaged one is said now
        check_version(known, evaluation.dataset, reports / "records")

        def on_outcome(outcome: turns.Outcome) -> None:
            codes.append(outcome.exit_code)
            report.outcomes[outcome.submission] = outcome
            display.conclude(
                outcome.submission, outcome.verdict, describe_figures(outcome.record, rules) or outcome.reason
            )
            if outcome.exit_code or display.needs_sentence(final=bool(outcome.verdict)):
                tell(outcome.sentence, outcome.exit_code)

        display.expect([*report.outcomes], budget_s=evaluation.plan.budget_s if evaluation.plan else None)
        run = turns.Run(evaluation, reports, split, again)
        turns.run_submissions(folders, run, on_progress=display.take, on_outcome=on_outcome)
        for fault in gallery.keep_images(folders, evaluation, reports, on_progress=display.take) if images else ():
            report.notes.append(fault)
            log.print(fault, markup=False)
        display.take(Step("writing reports"))
        report.boards, report.written = write_leaderboard(reports, evaluation.dataset.name, rules)
    if not as_json:
        show_leaderboard(() if quiet else report.boards, reports)
    if not (as_json or quiet):
        for name in list_other_datasets(reports, evaluation.dataset.name, rules):
            out.print(f"It shows {report.dataset}; for {name}: harness leaderboard --dataset {name}", markup=False)
    end(codes)


def show_leaderboard(boards: Iterable["Board"], reports: Path) -> None:
    """The tables, and where they were written."""
    from harness.render.terminal import render_board

    for board in boards:
        show_table(render_board(board))
    out.print(f"Written: {reports / 'leaderboard.md'}, {reports / 'leaderboard.html'}", markup=False)


@app.command()
def leaderboard(
    challenge: ChallengeName = "pirm2018b",
    dataset: DatasetName = None,
    reports: ReportsDir = REPORTS,
    phase: PhaseName = "validation",
) -> None:
    """Write the leaderboard anew from the stored records."""
    from harness.challenge import read_challenge
    from harness.reporting import choose_dataset, write_leaderboard

    rules = read_challenge(challenge)
    boards, _ = write_leaderboard(reports, choose_dataset(reports, dataset, rules), rules, phase=phase)
    show_leaderboard(boards, reports)


@app.command()
def export(
    format_name: Annotated[str, typer.Option("--format", help="csv, json, latex or parquet.")] = "csv",
    path: Annotated[
        Path | None,
        typer.Option("--out", help="A file; without one, standard output.", parser=read_path, metavar="FILE"),
    ] = None,
    challenge: ChallengeName = "pirm2018b",
    dataset: DatasetName = None,
    reports: ReportsDir = REPORTS,
    phase: PhaseName = "validation",
) -> None:
    """Hand the leaderboard's figures to other programs: all with intervals, or a table for a paper."""
    from harness.challenge import read_challenge
    from harness.export import export_boards
    from harness.reporting import choose_dataset, read_boards

    rules = read_challenge(challenge)
    boards = read_boards(reports, choose_dataset(reports, dataset, rules), rules, phase=phase)
    text = export_boards(boards, format_name, path)
    out.print(text.removesuffix("\n") if path is None else f"Written: {path}", markup=False)


@app.command()
def tables(challenge: ChallengeName = "pirm2018b", dataset: DatasetName = None, reports: ReportsDir = REPORTS) -> None:
    """Write the paper's tables, published beside measured."""
    from harness.challenge import read_challenge
    from harness.reporting import choose_dataset, write_tables

    rules = read_challenge(challenge)
    out.print(f"Written: {write_tables(reports, choose_dataset(reports, dataset, rules), rules)}", markup=False)


@app.command()
def check(
    submissions: SubmissionDirs = None,
    challenge: ChallengeName = "pirm2018b",
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

        tolerances, rules = read_tolerances(), read_challenge(challenge)
        scored = find_phase(rules, phase)
        folders, faults = session.read_folders(submissions)
        for path, fault in faults.items():
            on_verdict(Verdict(str(path), "failed", str(fault), fault.exit_code))
        # where there are no reports, there is nothing to time
        claim = session.claim_machine(reports) if speed and reports.is_dir() else contextlib.nullcontext()
        with claim, show_progress() as display:
            options = session.Options(threads, workers, timing=speed, allow_code=allow_code, budget_s=budget_s)
            evaluation, notes = session.prepare_evaluation(
                rules, dataset, open_store(assets), options, on_progress=display.take
            )
            log.print(f"Dataset {evaluation.dataset.name}: {evaluation.dataset.note}", *notes, sep="\n", markup=False)
            findings.dataset, findings.phase = evaluation.dataset.name, scored.label
            if speed and evaluation.plan is None:
                raise UsageError(f"--speed needs photos, and {evaluation.dataset.name} has none; leave it out.")
            gate = Gate(evaluation, reports, tolerances, scored)
            check_submissions(folders, gate, on_progress=display.take, on_verdict=on_verdict)
        on_verdict(check_reports(reports, rules))
        compared = count_compared(findings.list_verdicts())
        if not compared and not any(codes):
            name = findings.dataset
            raise RecordError(f"no submission here has a model and a record on {name}; `harness run` makes one.")
    end(codes)
    out.print(f"Nothing got worse ({compared} of {len(folders)} compared), and the reports follow from the records.")


@app.command()
def validate(
    submission: Annotated[Path, typer.Argument(help="A submission's folder.", parser=read_path, metavar="DIR")],
    challenge: ChallengeName = "pirm2018b",
    allow_code: AllowCode = False,
) -> None:
    """Check a submission's folder and graph without running the model."""
    from harness.challenge import read_challenge
    from harness.session import validate_submission

    described, cost = validate_submission(submission, read_challenge(challenge), allow_code=allow_code)
    work = "unknown" if cost.multiply_adds is None else f"{cost.multiply_adds / 1e9:.1f} G"
    out.print(
        f"{described.name} is valid: {described.layout}, {cost.model_bytes / 1e6:.2f} MB, "
        f"{cost.parameters:,} parameters, {work} multiply-adds at the timed size.",
        markup=False,
    )


@app.command()
def metric(
    name: Annotated[str, typer.Argument(help="psnr, ssim, ms_ssim, niqe, or pyiqa:NAME for a metric of pyiqa.")],
    image: Annotated[Path, typer.Argument(help="The image to judge.")],
    target: Annotated[Path | None, typer.Argument(help="What it should look like, where the metric compares.")] = None,
    profile: Annotated[
        str | None, typer.Option(help="The convention; `harness list` names them. By default the first that has it.")
    ] = None,
    assets: AssetsDir = None,
) -> None:
    """Print one metric's value for 8-bit images, and the profile that made it."""
    from harness.assets import open_store
    from harness.session import measure_files

    value, made_by = measure_files(name, image, target, open_store(assets), profile=profile)
    out.print(f"{value} {made_by}", markup=False)


@app.command("mos-fit")
def fit_mos_pairs(
    pairs: Annotated[
        Path, typer.Argument(help="A CSV file with the columns niqe and mos.", parser=read_path, metavar="CSV")
    ],
    image_set: Annotated[
        str, typer.Option(help="Whose photos the NIQE values are of: the fit holds for no others.", parser=read_name)
    ],
    calibration: Annotated[
        Path, typer.Option("--out", help="Where the calibration goes.", parser=read_path, metavar="FILE")
    ] = Path("mos.toml"),
) -> None:
    """Fit the estimate of MOS from NIQE, and write a calibration file that a challenge can name."""
    from harness.calibration import calibrate

    out.print(*calibrate(pairs, calibration, image_set=image_set), sep="\n", markup=False)


@app.command()
def score(
    file: Annotated[str, typer.Argument(help="A CSV file of published columns, or published:final.")],
    challenge: ChallengeName = "pirm2018b",
    phase: PhaseName = "validation",
) -> None:
    """Score a table of published columns, and compare with the scores it prints."""
    from harness.challenge import find_phase, read_challenge
    from harness.score_table import score_table

    rules = read_challenge(challenge)
    scored = score_table(file, rules, phase)
    out.print(f"Scores of the {find_phase(rules, phase).label}:", markup=False)
    out.print(scored.frame.to_markdown(index=False, floatfmt=".4g"), markup=False)
    out.print(*scored.notes, *scored.findings, sep="\n", markup=False)


@app.command()
def fetch(
    groups: Annotated[list[str] | None, typer.Argument(help="Groups of files; `harness list` names them.")] = None,
    assets: AssetsDir = None,
) -> None:
    """Download the upstream files that are missing, each checked by its sha256."""
    from harness.assets import find_pristine_model, open_store
    from harness.display import show_progress
    from harness.progress import Step

    store = open_store(assets)
    for group in groups or ["pirm2018b", "weights", "niqe"]:
        with show_progress() as display:
            if group == "niqe":
                find_pristine_model(store)
            else:
                store.fetch(group, lambda done, total: display.take(Step(group, done, total)))  # noqa: B023
        out.print(f"{group}: all files are there.", markup=False)


@app.command("list")
def list_known() -> None:
    """Name the challenges, datasets, groups of files, metrics and profiles that can be given to other commands."""
    from harness.assets import GROUPS
    from harness.challenge import list_challenges
    from harness.metrics import METRICS
    from harness.metrics.profiles import PROFILES

    known = {
        "challenges": list_challenges(),
        "datasets": ("pirm2018b", "embedded", "or a folder with source/, target/ and photos/"),
        "groups of files": GROUPS,
        "metrics": (metric.name for metric in METRICS),
    }
    for kind, names in known.items():
        out.print(f"{kind}: {', '.join(names)}", markup=False)
    for profile in PROFILES:
        out.print(
            f"profile {profile.name} ({', '.join(profile.metrics) or 'pyiqa:NAME'}): {profile.note}", markup=False
        )


@app.callback(invoke_without_command=True)
def show_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    """Options that come before a command."""
    if version:
        out.print(f"harness {__version__}")
        raise typer.Exit
