"""Sets the records, and the ablation's table, beside what was published."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import pandas as pd

from harness.boards import contains, restrict_quality
from harness.challenge import Challenge
from harness.datasets.pirm2018b import SPLITS as PIRM2018B_SPLITS
from harness.errors import UsageError
from harness.estimates import Estimate, estimate_quality, estimate_times
from harness.published.ablation import MeasuredCondition, tabulate_ablation
from harness.published.orders import join_words
from harness.published.paper import Method, Published
from harness.published.sources import (
    describe_machine,
    describe_niqe,
    describe_quality,
    describe_time,
    describe_training,
)
from harness.published.verdicts import (
    Judgement,
    Measured,
    judge_ablation,
    judge_columns,
    judge_methods,
    judge_scores,
    judge_times,
)
from harness.records import Record
from harness.score_table import PACKAGED, score_table

SPLITS = ("test", "all")
QUANTITIES = (*(f"{split}_{name}" for name in ("psnr", "ms_ssim") for split in SPLITS), "photo_niqe")
TIMES = ("own_time_ms", "own_time_ratio", "time_factor")


@dataclass(frozen=True)
class Comparison:
    """All that the tables page shows; NaN is "not published" or "not measured".

    methods: a row a method: title, the published psnr, ssim, niqe, time_ms, time_ratio, the measured X with X_low,
    X_high (95 %): test_psnr, all_psnr (dB), test_ms_ssim, all_ms_ssim, photo_niqe, own_time_ms, own_time_ratio (time
    over SRCNN's), time_factor (that over the published ratio), and the differences, measured less published,
    psnr_difference, ssim_difference (both on test), niqe_difference; quality_with, niqe_with and time_with say with
    what each was measured, or why not. same_data: the same, of what was trained on the same pairs.
    ablation: see tabulate_ablation. teams: a row a team, likewise, with the scores S, S_published, S_difference and
    `agrees`. sources: a row a submission that was measured. judgements: by table. machines: of the records.
    """

    published: Published
    methods: pd.DataFrame
    same_data: pd.DataFrame
    ablation: pd.DataFrame
    teams: pd.DataFrame
    scores: tuple[str, ...]
    sources: pd.DataFrame
    judgements: dict[str, Judgement]
    machines: tuple[str, ...]


def compare_published(
    records: Sequence[Record],
    challenge: Challenge,
    published: Published,
    ablation: tuple[MeasuredCondition, ...] = (),
) -> Comparison:
    """Set the records beside the published figures. Quality counts only from records on the challenge's dataset."""
    retrained = list_retrained(published)
    known = [method.submission for method in (*published.methods, *retrained)]
    chosen = {name: record for name, record in choose_records(records, challenge).items() if name in known}
    measured = {name: measure(record, challenge) for name, record in chosen.items()}
    baseline = published.paper.baseline
    methods = build_methods(chosen, measured, challenge, published.methods, baseline)
    same_data = build_methods(chosen, measured, challenge, retrained, baseline)
    scored = score_table("published:final", challenge, "test")
    check_scores(scored.frame, challenge, published)
    teams = build_teams(scored.frame, chosen, measured, challenge, published)
    conditions = tabulate_ablation(published.conditions, ablation)
    notes = published.notes
    return Comparison(
        published=published,
        methods=methods,
        same_data=same_data,
        ablation=conditions,
        teams=teams,
        scores=tuple(challenge.phases["test"].scores),
        sources=build_sources([*published.methods, *retrained], chosen, measured),
        judgements={
            "table2": judge_methods(methods, measured, ("psnr", "ssim"), notes["table2"]),
            "table3": judge_methods(methods, measured, ("niqe",), notes["table3"]),
            "table4": judge_times(methods, measured, baseline, notes["table4"]),
            "table5": judge_ablation(conditions, published.conditions, ablation, notes["table5"]),
            "same_data": judge_methods(same_data, measured, ("psnr", "ssim", "niqe"), notes["same_data"]),
            "final_scores": judge_scores(teams, scored, published.final_table, notes["final_scores"]),
            "final_columns": judge_columns(teams, measured, notes["final_columns"]),
        },
        machines=tuple(dict.fromkeys(describe_machine(chosen[name]) for name in known if name in chosen)),
    )


def check_scores(scored: pd.DataFrame, challenge: Challenge, published: Published) -> None:
    """Raise UsageError unless the challenge scores the final table by what that prints."""
    printed = [name for name in published.final_table.places if name != "MOS"]
    needed = {f"{score}_published" for score in (*printed, *challenge.phases["test"].scores)}
    if {*needed, "psnr", "time", "baseline_time"} - {*scored}:
        raise UsageError(
            f"the final table has the scores {join_words(printed)} by PSNR, MOS and time, which the test phase of "
            f"{challenge.name} does not have; leave --challenge out."
        )


def list_retrained(published: Published) -> list[Method]:
    """The methods of which the same network was trained on the 300 pairs alone, with that as their submission."""
    return [
        msgspec.structs.replace(method, submission=method.same_data, also_trained_on="")
        for method in published.methods
        if method.same_data
    ]


def choose_records(records: Sequence[Record], challenge: Challenge) -> dict[str, Record]:
    """One record a submission: on the challenge's dataset rather than another, and of the most pairs."""

    def rank(record: Record) -> tuple[bool, int]:
        quality = record.quality
        return (False, 0) if quality is None else (quality.dataset == challenge.dataset_name, len(quality.pairs))

    return {record.submission.name: record for record in sorted(records, key=rank)}


def measure(record: Record, challenge: Challenge) -> dict[str, Estimate]:
    """The quantities that the record has."""
    found: dict[str, Estimate] = {}
    quality = record.quality
    if quality is not None and quality.dataset == challenge.dataset_name:
        for split in SPLITS:
            if contains(quality, PIRM2018B_SPLITS[split]):
                restricted = restrict_quality(quality, PIRM2018B_SPLITS[split], split)
                estimates = estimate_quality(restricted, challenge)
                found |= {f"{split}_{name}": estimates[name] for name in ("psnr", "ms_ssim") if name in estimates}
        estimates = estimate_quality(quality, challenge)
        found |= {"photo_niqe": estimates["niqe"]} if "niqe" in estimates else {}
    if record.timing is not None:
        times = estimate_times(record.timing.baseline_samples_ns, record.timing.samples_ns)
        speed_up = times["speed_up"]
        found |= {"own_time_ms": times["time"], "own_time_ratio": Estimate(1 / speed_up.value, 1 / speed_up.draws)}
    return found


def build_methods(
    chosen: Mapping[str, Record],
    measured: Measured,
    challenge: Challenge,
    methods: Sequence[Method],
    baseline: str,
) -> pd.DataFrame:
    """The frame of Comparison.methods; ratios are to the method `baseline`. `timed` is whose time a row has."""
    baseline_ms = next(m.time_ms for m in methods if m.title == baseline)
    rows = []
    for method in methods:
        timed = next((n for n in (method.submission, method.same_data) if "own_time_ms" in measured.get(n, {})), "")
        texts = {
            "title": method.title,
            "submission": method.submission,
            "timed": timed,
            "quality_with": describe_quality(method, chosen, challenge),
            "niqe_with": describe_niqe(method, chosen, challenge),
            "time_with": describe_time(method, chosen, timed),
        }
        ratio = method.time_ms / baseline_ms if method.time_ms and baseline_ms else None
        figures = {name: getattr(method, name) for name in ("psnr", "ssim", "niqe", "time_ms")}
        quality = collect_fields(measured.get(method.submission, {}), QUANTITIES)
        rows.append(texts | figures | {"time_ratio": ratio} | quality | collect_times(measured.get(timed, {}), ratio))
    frame = pd.DataFrame(rows, columns=[*texts, *figures, "time_ratio", *list_columns(*QUANTITIES, *TIMES)])
    frame[frame.columns[len(texts) :]] = frame[frame.columns[len(texts) :]].astype(float)
    frame["psnr_difference"] = frame["test_psnr"] - frame["psnr"]
    frame["ssim_difference"] = frame["test_ms_ssim"] - frame["ssim"]
    frame["niqe_difference"] = frame["photo_niqe"] - frame["niqe"]
    return frame


def build_teams(
    scored: pd.DataFrame,
    chosen: Mapping[str, Record],
    measured: Measured,
    challenge: Challenge,
    published: Published,
) -> pd.DataFrame:
    """The frame of Comparison.teams: the scored table, all printed columns, and what is measured for known teams."""
    printed = pd.read_csv(PACKAGED["published:final"].parent / published.final_table.file)
    printed = printed.rename(columns={"team": "name"})
    new = [column for column in printed if f"{column}_published" not in scored and column not in (*scored, "cpu_ms")]
    teams = scored.merge(printed[["name", *new]], on="name", validate="one_to_one")
    teams["time_ratio"] = teams["time"] / teams["baseline_time"]
    methods = [find_method(row["name"], row["psnr"], published) for row in teams.to_dict("records")]
    teams["submission"] = [method.submission if measured.get(method.submission) else "" for method in methods]
    teams["measured_with"] = [describe_quality(method, chosen, challenge) for method in methods]
    rows = [
        measure_team(chosen.get(name), measured.get(name, {}), ratio)
        for name, ratio in zip(teams["submission"], teams["time_ratio"], strict=True)
    ]
    columns = [*list_columns(*QUANTITIES, *TIMES), "peak_gb"]
    teams = teams.join(pd.DataFrame(rows, columns=columns).astype(float))
    teams["psnr_difference"] = teams["test_psnr"] - teams["psnr"]
    teams["ssim_difference"] = teams["test_ms_ssim"] - teams["ms_ssim"]
    return teams


def find_method(team: str, psnr: float, published: Published) -> Method:
    """The method whose submission is a team's, or one that was not run."""
    submission = published.final_table.submissions.get(team)
    known = (method for method in published.methods if method.submission == submission)
    return next(known, Method(team, not_run=published.final_table.not_run, psnr=psnr))


def measure_team(record: Record | None, found: Mapping[str, Estimate], published_ratio: float) -> dict[str, float]:
    """The measured columns of a team's row, as far as there are some."""
    memory = record.memory if record is not None else None
    peak = {"peak_gb": memory.peak_bytes / 1e9} if memory is not None else {}
    return collect_fields(found, QUANTITIES) | collect_times(found, published_ratio) | peak


def build_sources(methods: Sequence[Method], chosen: Mapping[str, Record], measured: Measured) -> pd.DataFrame:
    """A row a submission that was measured: submission, title, trained_on, sha256, and its quality on all pairs."""
    rows = [
        {"submission": name, "title": record.submission.title, "sha256": record.submission.sha256}
        | {"trained_on": describe_training(record, method.also_trained_on)}
        | collect_fields(measured[name], ("all_psnr", "all_ms_ssim"))
        for method in methods
        if (name := method.submission) in chosen and (record := chosen[name]).quality is not None
    ]
    texts = ["submission", "title", "trained_on", "sha256"]
    return pd.DataFrame(rows, columns=[*texts, *list_columns("all_psnr", "all_ms_ssim")])


def collect_fields(found: Mapping[str, Estimate], names: Iterable[str]) -> dict[str, float]:
    """Columns of a row: the quantities that there are, with their intervals."""
    fields: dict[str, float] = {}
    for name in names:
        fields |= found[name].fields(name) if name in found else {}
    return fields


def collect_times(found: Mapping[str, Estimate], published_ratio: float | None) -> dict[str, float]:
    """Columns of a row: time, its ratio to SRCNN's, and that over the published ratio."""
    fields = collect_fields(found, ("own_time_ms", "own_time_ratio"))
    if fields and published_ratio:
        ratio = found["own_time_ratio"]
        fields |= Estimate(ratio.value / published_ratio, ratio.draws / published_ratio).fields("time_factor")
    return fields


def list_columns(*names: str) -> list[str]:
    """Each quantity with the ends of its interval."""
    return [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
