"""What each row was measured with: file, training and images; or why it was not measured."""

from collections.abc import Mapping

from harness.boards import contains
from harness.challenge import Challenge
from harness.datasets.pirm2018b import SPLITS as PIRM2018B_SPLITS
from harness.published.paper import Method
from harness.records import Record


def describe_quality(method: Method, chosen: Mapping[str, Record], challenge: Challenge) -> str:
    """What PSNR and MS-SSIM were measured with, or why they were not."""
    record = chosen.get(method.submission)
    if record is None or record.quality is None:
        return explain_absence(method, chosen, published=method.psnr is not None)
    quality, images = record.quality, PIRM2018B_SPLITS["test"]
    if quality.dataset != challenge.dataset_name or not contains(quality, images):
        where = f"{quality.split} of {quality.dataset}"
        return f"{describe_weights(record, method)}; not measured on test of {challenge.dataset_name}, only on {where}"
    return f"{describe_weights(record, method)}; {len(images)} pairs"


def describe_niqe(method: Method, chosen: Mapping[str, Record], challenge: Challenge) -> str:
    """What NIQE was measured with, or why it was not."""
    record = chosen.get(method.submission)
    if record is None or record.quality is None:
        return explain_absence(method, chosen, published=method.niqe is not None)
    if record.quality.dataset != challenge.dataset_name:
        only = record.quality.dataset
        return f"{describe_weights(record, method)}; not measured on {challenge.dataset_name}, only on {only}"
    return f"{describe_weights(record, method)}; {len(record.quality.photos)} photos"


def describe_time(method: Method, chosen: Mapping[str, Record], timed: str) -> str:
    """What time was measured with, or why it was not."""
    record = chosen.get(timed)
    if record is None or record.timing is None:
        return explain_absence(method, chosen, published=method.time_ms is not None)
    others = "" if timed == method.submission else ", other weights"
    return f"{timed} {record.submission.sha256[:8]}{others}; {len(record.timing.samples_ns)} pairs of processes"


def explain_absence(method: Method, chosen: Mapping[str, Record], *, published: bool) -> str:
    """Why a method was not measured; where the same network, trained on other data, is to be found."""
    start = "published only" if published else "not published"
    record = chosen.get(method.submission)
    if not method.submission:
        trained = method.same_data in chosen and chosen[method.same_data].quality is not None
        return f"{start}: {method.not_run}{'; trained here: see Same data' if trained else ''}"
    if record is None:
        return f"{start}: {method.submission} was not evaluated here"
    reason = record.failure.message if record.failure else "it was not timed"
    return f"{start}: {method.submission} is {record.status} here ({reason})"


def describe_weights(record: Record, method: Method) -> str:
    """Which file, and what it was trained on."""
    submission = record.submission
    return f"{submission.name} {submission.sha256[:8]}, trained on {describe_training(record, method.also_trained_on)}"


def describe_training(record: Record, also: str) -> str:
    """What a submission was trained on, as far as it states that."""
    return (record.submission.trained_on or "data it does not state") + (f" and {also}" if also else "")


def describe_machine(record: Record) -> str:
    """What a record was made on."""
    environment = record.environment
    threads = f", {record.timing.threads} threads" if record.timing is not None else ""
    return f"{environment.cpu_model}, {environment.cpu_count} CPUs{threads}"
