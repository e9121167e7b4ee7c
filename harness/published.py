"""Published figures beside those measured here: the paper's Tables 2, 3 and 4 and the challenge's final table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pandas as pd

from harness.boards import Estimate, contains, estimate_quality, estimate_times, restrict_quality
from harness.challenge import Challenge
from harness.dataset import PIRM2018B_SPLITS
from harness.records import Record
from harness.score_table import score_table

FILE = Path(__file__).parent / "published.toml"
SPLITS = ("test", "all")


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Paper(_Part, frozen=True):
    """Where Tables 2 to 4 come from; `baseline` is the method that Table 4's ratios are to."""

    title: str
    baseline: str


class Method(_Part, frozen=True):
    """A row of Tables 2 to 4: psnr in dB, time_ms at 1280x720; None where not published.

    `submission` is the same network here, `same_data` the same network trained on the 300 training pairs alone.
    """

    title: str
    submission: str = ""
    same_data: str = ""
    not_run: str = ""
    psnr: float | None = None
    ssim: float | None = None
    niqe: float | None = None
    time_ms: float | None = None


class FinalTable(_Part, frozen=True):
    """The challenge's final table, and which team is which submission here."""

    file: str
    submissions: dict[str, str]


class Notes(_Part, frozen=True):
    """What is said below each table."""

    table2: str
    ours: str
    table3: str
    table4: str
    same_data: str
    final_table: str


class Published(_Part, frozen=True):
    """published.toml."""

    paper: Paper
    methods: tuple[Method, ...]
    final_table: FinalTable
    notes: Notes


@dataclass(frozen=True)
class Comparison:
    """All that the tables page shows; NaN is "not published" or "not measured".

    methods: a row a method: title, measured_by, the published psnr, ssim, niqe, time_ms, time_ratio, and the measured
    X with X_low, X_high (95 %): test_psnr, all_psnr (dB), test_ms_ssim, all_ms_ssim, photo_niqe, own_time_ms,
    own_time_ratio (time over SRCNN's), and the differences (measured less published) psnr_difference,
    ssim_difference (both on test), niqe_difference. same_data: the same, of what was trained on the same pairs.
    teams: a row a team, likewise, with the scores S, S_published, S_difference and `agrees`.
    remarks: sentences by table. machines: what the records were made on.
    """

    published: Published
    methods: pd.DataFrame
    same_data: pd.DataFrame
    teams: pd.DataFrame
    scores: tuple[str, ...]
    remarks: dict[str, tuple[str, ...]]
    machines: tuple[str, ...]


def read_published() -> Published:
    """The published figures that come with the package."""
    return msgspec.toml.decode(FILE.read_bytes(), type=Published)


def compare_published(records: Sequence[Record], challenge: Challenge, published: Published) -> Comparison:
    """Set the records beside the published figures. Quality counts only from records on the challenge's dataset."""
    chosen = choose_records(records, challenge)
    methods = build_methods(chosen, challenge, published.methods, published.paper.baseline)
    retrained = [msgspec.structs.replace(m, submission=m.same_data) for m in published.methods if m.same_data]
    same_data = build_methods(chosen, challenge, retrained, published.paper.baseline)
    scored = score_table("published:final", challenge, "test")
    teams = build_teams(scored.frame, methods, published)
    notes = published.notes
    return Comparison(
        published=published,
        methods=methods,
        same_data=same_data,
        teams=teams,
        scores=tuple(challenge.phases["test"].scores),
        remarks={
            "table2": (
                notes.table2,
                notes.ours,
                f"An infinite PSNR, of identical images, counts as {challenge.infinite_psnr_db} dB.",
                *_remark_quality(methods),
            ),
            "table3": (notes.table3, describe_order(methods, "NIQE", "niqe", "photo_niqe", falling=False)),
            "table4": (notes.table4, *_remark_time(methods)),
            "same_data": (
                notes.same_data,
                describe_order(same_data, "PSNR on test", "psnr", "test_psnr", falling=True),
                describe_order(same_data, "(MS-)SSIM on test", "ssim", "test_ms_ssim", falling=True),
            ),
            "final_table": (notes.final_table, challenge.phases["test"].note, *scored.findings),
        },
        machines=tuple(
            dict.fromkeys(
                _describe_machine(chosen[name])
                for name in [*methods["submission"], *same_data["submission"]]
                if name in chosen
            )
        ),
    )


def choose_records(records: Sequence[Record], challenge: Challenge) -> dict[str, Record]:
    """One record a submission: on the challenge's dataset rather than another, and of the most pairs."""

    def rank(record: Record) -> tuple[bool, int]:
        quality = record.quality
        return (False, 0) if quality is None else (quality.dataset == challenge.dataset, len(quality.pairs))

    return {record.submission.name: record for record in sorted(records, key=rank)}


def build_methods(
    chosen: dict[str, Record], challenge: Challenge, methods: Sequence[Method], baseline: str
) -> pd.DataFrame:
    """The frame of Comparison.methods; ratios are to the method `baseline`."""
    baseline_ms = next(m.time_ms for m in methods if m.title == baseline)
    rows = []
    for method in methods:
        row = {n: value for n, value in msgspec.structs.asdict(method).items() if n not in ("not_run", "same_data")}
        row["time_ratio"] = method.time_ms / baseline_ms if method.time_ms and baseline_ms else None
        record = chosen.get(method.submission)
        row["measured_by"] = describe_weights(record, method, challenge)
        rows.append(row | (measure(record, challenge) if record is not None else {}))
    measured = _list_measured()
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*frame.columns.drop(measured, errors="ignore"), *measured])
    texts = frame[["title", "submission", "measured_by"]]
    frame = pd.concat([texts, frame.drop(columns=texts.columns).astype(float)], axis=1)
    frame["psnr_difference"] = frame["test_psnr"] - frame["psnr"]
    frame["ssim_difference"] = frame["test_ms_ssim"] - frame["ssim"]
    frame["niqe_difference"] = frame["photo_niqe"] - frame["niqe"]
    return frame


def measure(record: Record, challenge: Challenge) -> dict[str, float]:
    """The measured columns of a row, as far as the record has them."""
    row: dict[str, float] = {}
    quality = record.quality
    if quality is not None and quality.dataset == challenge.dataset:
        for split in SPLITS:
            if contains(quality, PIRM2018B_SPLITS[split]):
                restricted = restrict_quality(quality, PIRM2018B_SPLITS[split], split)
                estimates = estimate_quality(restricted, challenge)
                for name in ("psnr", "ms_ssim"):
                    row |= estimates[name].fields(f"{split}_{name}")
        estimates = estimate_quality(quality, challenge)
        row |= estimates["niqe"].fields("photo_niqe") if "niqe" in estimates else {}
    if record.timing is not None:
        times = estimate_times(record.timing.baseline_samples_ns, record.timing.samples_ns)
        own, speed_up = times["time"], times["speed_up"]
        row |= own.fields("own_time_ms")
        row |= Estimate(1 / speed_up.value, 1 / speed_up.draws).fields("own_time_ratio")
    return row


def describe_weights(record: Record | None, method: Method, challenge: Challenge) -> str:
    """Which weights a row was measured with, on what; or why it was not."""
    if not method.submission:
        return f"published only: {method.not_run}"
    if record is None:
        return f"published only: {method.submission} was not evaluated here"
    if record.status != "ok" or record.quality is None:
        reason = record.failure.message if record.failure else "no values"
        return f"published only: {method.submission} is {record.status} here ({reason})"
    submission, quality = record.submission, record.quality
    weights = (
        f"{submission.name} {submission.sha256[:8]} ({submission.title}), "
        f"trained on {submission.trained_on or 'data it does not state'}"
    )
    if quality.dataset != challenge.dataset:
        return f"{weights}; quality not measured on {challenge.dataset}, only on {quality.dataset}"
    return f"{weights}; split {quality.split} of {quality.dataset}"


def build_teams(scored: pd.DataFrame, methods: pd.DataFrame, published: Published) -> pd.DataFrame:
    """The frame of Comparison.teams: the scored table, all printed columns, and what is measured for known teams."""
    printed = pd.read_csv(FILE.parent / published.final_table.file).rename(columns={"team": "name"})
    extra = printed[["name", *(column for column in printed if column not in scored and column != "cpu_ms")]]
    extra = extra.drop(columns=[c for c in extra if c != "name" and f"{c}_published" in scored])
    teams = scored.merge(extra, on="name", validate="one_to_one")
    teams["submission"] = teams["name"].map(published.final_table.submissions)
    teams["time_ratio"] = teams["time"] / teams["baseline_time"]
    measured = methods[methods["submission"] != ""][["submission", *_list_measured()]]
    return teams.merge(measured, on="submission", how="left")


def describe_order(frame: pd.DataFrame, label: str, published: str, measured: str, *, falling: bool) -> str:
    """Whether the methods measured here come in the published order of a quantity."""
    both = frame.dropna(subset=[published, measured])
    if len(both) < 2:
        return f"Order by {label}: nothing to compare, {len(both)} of the published methods measured here."
    orders = [
        list(both.sort_values(column, ascending=not falling, kind="stable")["title"])
        for column in (published, measured)
    ]
    sign = " > " if falling else " < "
    if orders[0] == orders[1]:
        return f"Order by {label} of the {len(both)} methods measured here: reproduced ({sign.join(orders[0])})."
    return (
        f"Order by {label} of the {len(both)} methods measured here: not reproduced "
        f"(published {sign.join(orders[0])}; measured {sign.join(orders[1])})."
    )


def _remark_quality(methods: pd.DataFrame) -> Iterator[str]:
    yield describe_order(methods, "PSNR on test", "psnr", "test_psnr", falling=True)
    yield describe_order(methods, "(MS-)SSIM on test", "ssim", "test_ms_ssim", falling=True)
    measured = methods.dropna(subset=["psnr_difference"])
    if len(measured):
        inside = measured["psnr"].between(measured["test_psnr_low"], measured["test_psnr_high"]).sum()
        largest = measured.sort_values("psnr_difference", key=abs).iloc[-1]
        yield (
            f"The published PSNR lies in the measured 95 % interval for {inside} of {len(measured)} methods; "
            f"the largest difference is {largest['title']}'s, {largest['psnr_difference']:+.2f} dB."
        )


def _remark_time(methods: pd.DataFrame) -> Iterator[str]:
    yield describe_order(methods, "time", "time_ms", "own_time_ratio", falling=False)
    measured = methods.dropna(subset=["time_ratio", "own_time_ratio"])
    measured = measured[measured["time_ratio"] != 1]
    if len(measured):
        factor = measured["own_time_ratio"] / measured["time_ratio"]
        yield (
            f"The ratios to SRCNN measured here are {factor.min():.2f} to {factor.max():.2f} times the published ones."
        )


def _describe_machine(record: Record) -> str:
    environment = record.environment
    threads = f", {record.timing.threads} threads" if record.timing is not None else ""
    return f"{environment.cpu_model}, {environment.cpu_count} CPUs{threads}"


def _list_measured() -> list[str]:
    quality = [f"{split}_{name}" for name in ("psnr", "ms_ssim") for split in SPLITS]
    names = [*quality, "photo_niqe", "own_time_ms", "own_time_ratio"]
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
