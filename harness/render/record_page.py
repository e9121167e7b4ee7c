"""reports/page/submissions/NAME.html: all that is known of one submission."""

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import pandas as pd

from harness.additions import extend_challenge
from harness.boards import Board
from harness.challenge import Challenge
from harness.records import Quality, Record, Timing, find_metric
from harness.render.cells import Row, count_digits, head_metric
from harness.render.columns import list_columns
from harness.render.markdown import render_status
from harness.render.measurement import list_remarks
from harness.render.pictures import describe_picture
from harness.showcase import Showcase, find_extremes

ROOT = "../../"


def describe_record(
    record: Record, standings: Sequence[tuple[Board, Row]], challenge: Challenge, showcases: Sequence[Showcase]
) -> dict[str, Any]:
    """What the template of a record's page shows; standings: the boards that it stands on, with its row."""
    submission = record.submission
    shown = [
        (showcase, picture)
        for showcase in showcases
        for picture in showcase.pictures
        if submission.name in picture.outputs
    ]
    extremes = list(list_extremes(record, challenge, showcases))
    return {
        "root": ROOT,
        "challenge": challenge,
        "submission": submission,
        "paper": submission.paper_url if is_link(submission.paper_url) else "",
        "status": record.status,
        "failure": record.failure,
        "dataset": record.quality.dataset if record.quality else challenge.dataset_name,
        "summaries": [summarise(row, board) for board, row in standings],
        "remarks": list_remarks(record),
        "extremes": extremes,
        "pictured": any(extreme["sides"] for extreme in extremes),
        "pictures": [describe_picture(picture, showcase, only=submission.name) for showcase, picture in shown],
        "values": list(tabulate_images(record)),
        "timing": describe_timing(record.timing, challenge) if record.timing else None,
        "environment": list(describe_environment(record)),
    }


def is_link(url: str) -> bool:
    """Whether an address that a submission gives leads to the web, and runs nothing."""
    return urlsplit(url).scheme in ("http", "https")


def summarise(row: Row, board: Board) -> dict[str, Any]:
    """A row of a board, in words and numbers."""
    facts: list[tuple[str, str]] = [("Rank", describe_rank(row, board))]
    for column in list_columns(board):
        spread = column.format_spread(row)
        facts.append((column.heading, column.format(row) + (f" ± {spread}" if spread else "")))
    facts.append(("Status", render_status(row)))
    return {"split": board.split, "pairs": board.pair_count, "facts": facts}


def describe_rank(row: Row, board: Board) -> str:
    """'1 of 11, shared by 2'."""
    if pd.isna(row["rank"]):
        return "none"
    sharing = int((board.frame["rank"] == row["rank"]).sum())
    return f"{row['rank']:.0f} of {len(board.frame)}" + (f", shared by {sharing}" if sharing > 1 else "")


def list_extremes(record: Record, challenge: Challenge, showcases: Sequence[Showcase]) -> Iterator[dict[str, Any]]:
    """The worst and the best pairs, with their values, and their pictures where these were kept."""
    if record.quality is None:
        return
    values = {pair.image: pair.values for pair in record.quality.pairs}
    metrics = extend_challenge(challenge, [record.quality]).metrics
    for kind, images in zip(("Worst", "Best"), find_extremes(record, challenge), strict=True):
        for image in images:
            words = [
                f"{head_metric(m.name, lower_is_better=m.lower_is_better)} {show(m.name, values[image][m.name])}"
                for m in metrics
                if m.name in values[image]
            ]
            yield {
                "kind": kind,
                "image": image,
                "figures": ", ".join(words),
                "sides": list_sides(record, image, showcases),
            }


def list_sides(record: Record, image: str, showcases: Sequence[Showcase]) -> list[dict[str, Any]]:
    """Source, output and target of one pair, as files to show."""
    name, dataset = record.submission.name, record.quality.dataset if record.quality else ""
    for showcase in showcases:
        for picture in showcase.pictures:
            if (showcase.dataset, picture.image, picture.kind) == (dataset, image, "pair") and name in picture.outputs:
                found = describe_picture(picture, showcase, only=name)
                sides = [("source", found["source"]), ("output", found["outputs"][name]), ("target", found["target"])]
                size = {"width_px": picture.width_px, "height_px": picture.height_px}
                return [{"label": label, "path": ROOT + path, **size} for label, path in sides if path]
    return []


def show(name: str, value: float | None) -> str:
    """One image's value of a metric."""
    return "∞" if value is None else f"{value:.{count_digits(name)}f}"


def tabulate_images(record: Record) -> Iterator[dict[str, Any]]:
    """Every value of every image, as the script makes a table of it."""
    if record.quality is None:
        return
    for heading, images in (("Pairs", record.quality.pairs), ("Photos", record.quality.photos)):
        if images:
            names = list(images[0].values)
            digits = [count_digits(find_metric(name)) + 1 for name in names]
            rows = [
                [
                    image.image,
                    *(None if v is None else round(v, d) for v, d in zip(image.values.values(), digits, strict=True)),
                ]
                for image in images
            ]
            yield {
                "heading": heading,
                "columns": [head_value(name, record.quality) for name in names],
                "digits": digits,
                "rows": rows,
            }


def head_value(name: str, quality: Quality) -> str:
    """The heading of a value: that of its metric, and what it is of."""
    metric = find_metric(name)
    ends = {f"{metric}_png": ", as PNG", f"{metric}_snapped": ", part of flat pixels"}
    return head_metric(metric, lower_is_better=metric in quality.lower_is_better) + ends.get(name, "")


def describe_timing(timing: Timing, challenge: Challenge) -> dict[str, Any]:
    """Every run of the submission and of the baseline, in ms."""
    baseline = challenge.baseline.label
    series = (("submission", timing.samples_ns), (baseline, timing.baseline_samples_ns))
    return {
        "baseline": baseline,
        "note": (
            f"{timing.width_px}x{timing.height_px}, {timing.device}, {timing.threads} threads. In each pair of fresh "
            f"processes the submission and {baseline} run in turn; the median of each counts."
        ),
        "data": [
            {"name": name, "blocks": [[round(ns / 1e6, 3) for ns in block] for block in blocks]}
            for name, blocks in series
        ],
    }


def describe_environment(record: Record) -> Iterator[tuple[str, str]]:
    """What was measured, where and how well kept apart."""
    submission, environment = record.submission, record.environment
    yield "Trained on", submission.trained_on
    yield "Runtime", f"{submission.runtime}, {submission.layout}"
    yield "Model sha256", submission.sha256 or "none"
    if record.cost is not None:
        yield "Parameters", f"{record.cost.parameters:,}"
    if (memory := record.memory) is not None:
        peak, loaded = f"{memory.peak_bytes / 1e6:.0f} MB at the peak", f"{memory.loaded_bytes / 1e6:.0f} MB loaded"
        yield "Memory", f"{peak}, {loaded} ({memory.method})"
    host = f"{environment.host}: " if environment.host else ""
    yield "Machine", f"{host}{environment.cpu_model}, {environment.cpu_count} CPUs, {environment.os}"
    if record.quality is not None and record.quality.hosts:
        yield "Quality measured on", ", ".join(record.quality.hosts)
    yield "Measured", environment.started_utc
    yield "Harness", f"{environment.git_commit[:12] or 'no commit'}{' with changes' if environment.git_dirty else ''}"
    yield "Python", environment.python
    yield "Packages", ", ".join(f"{name} {version}" for name, version in environment.packages.items())
    yield "Isolation", ", ".join(f"{layer} {state}" for layer, state in record.isolation.items()) or "unknown"
    yield "Record", f"format {record.format_version}{f', key {record.key[:12]}' if record.key else ''}"
