"""What is odd about a submission, read off its record: behaviour that changes when it is measured, and copies."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from harness.records import Audit, Record, SizedRuns, Timing

REPEATED_RATIO = 1.25
SLOWER_RATIO = 1.5
CALL_NS = 2_000_000
BESIDE_DIFFERENCE = 0.01
TILED_LOSS_DB = 3.0
PHOTO_DIFFERENCE = 0.01
"""Beyond these a model is flagged. docs/measurement.md has what the reference submissions reach.

CALL_NS: what a call may cost at any size, and a first look at a picture: no more than that is no odd behaviour.
"""


def find_flags(record: Record) -> tuple[str, ...]:
    """What is odd, a phrase each; none where nothing is, or where the submission was not audited."""
    if record.audit is None or record.timing is None:
        return ()
    return (*judge_speed(record.audit, record.timing), *judge_outputs(record.audit, record.timing))


def judge_speed(audit: Audit, timing: Timing) -> Iterator[str]:
    """Speed that depends on what was seen before, or on one size. The least of each kind: noise only adds."""
    fresh_ns, repeated_ns = min(audit.fresh_ns), min(audit.repeated_ns)
    if fresh_ns - CALL_NS > REPEATED_RATIO * repeated_ns:
        yield f"is {fresh_ns / repeated_ns:.1f} times as fast on a photo that it has just seen"
    for runs in (audit.beside, audit.half):
        area = timing.width_px * timing.height_px / (runs.width_px * runs.height_px)
        spent_ns = min(runs.samples_ns)
        if (spent_ns - CALL_NS) * area > SLOWER_RATIO * fresh_ns:
            slower = spent_ns * area / fresh_ns
            yield f"takes {slower:.1f} times as long for each pixel at {name_size(runs)} as at {name_size(timing)}"


def judge_outputs(audit: Audit, timing: Timing) -> Iterator[str]:
    """Output that depends on one size, or hardly on the photo."""
    if audit.beside_difference > BESIDE_DIFFERENCE:
        yield (
            f"gives another picture at {name_size(audit.beside)} than at {name_size(timing)} "
            f"({audit.beside_difference:.3f} of 1 apart)"
        )
    if audit.alone_psnr_db is not None and audit.tiled_psnr_db is not None:
        loss_db = audit.alone_psnr_db - audit.tiled_psnr_db
        if loss_db > TILED_LOSS_DB:
            yield f"loses {loss_db:.1f} dB of PSNR where the pairs are shown side by side at {name_size(timing)}"
    if audit.photo_difference < PHOTO_DIFFERENCE:
        yield "gives nearly the same output for different photos"
    if audit.control_flow:
        yield f"holds {', '.join(audit.control_flow)}, so that what it computes may depend on its input"


def name_size(runs: SizedRuns | Timing) -> str:
    """The size of a picture, as 1280x720."""
    return f"{runs.width_px}x{runs.height_px}"


def find_twins(records: Sequence[Record]) -> tuple[str, ...]:
    """A sentence for each group of submissions that are one file, or that give the same values on every image."""
    measured = [record for record in records if record.quality is not None]
    files = group_names({record.submission.name: record.submission.sha256 for record in measured})
    values = group_names({record.submission.name: encode_values(record) for record in measured})
    return (
        *(f"{' and '.join(names)} are the same file." for names in files),
        *(f"{' and '.join(names)} give the same values on every image." for names in values if names not in files),
    )


def group_names(contents: Mapping[str, object]) -> list[list[str]]:
    """Names that stand for the same thing, where several do."""
    groups: dict[object, list[str]] = {}
    for name, content in contents.items():
        groups.setdefault(content, []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def encode_values(record: Record) -> bytes:
    """All metric values of a record, for comparison."""
    quality = record.quality
    return b"" if quality is None else msgspec.json.encode((quality.pairs, quality.photos))
