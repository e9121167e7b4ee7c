"""Keeps what of an unfinished submission's first pass is done, a file for each chunk, by a key over its content."""

from pathlib import Path

import msgspec

from harness.archive import locate_chunks, write_bytes
from harness.environment import find_versions
from harness.fingerprint import hash_content, hash_sources
from harness.formats import find_format
from harness.job import Evaluation
from harness.metrics.bridge import PACKAGES
from harness.records import Environment, Submission
from harness.tasks import Chunk, Pairs, Part


class Shelf:
    """The chunks of one dataset's submissions. place: what of the place of the work they depend on."""

    def __init__(self, records_dir: Path, evaluation: Evaluation, place: Environment) -> None:
        self._records_dir, self._evaluation, self._place = records_dir, evaluation, place

    def find(self, submission: Submission, part: Part) -> Chunk | None:
        """The chunk, where it was kept whole."""
        try:
            return msgspec.json.decode(self._locate(submission, part).read_bytes(), type=Chunk)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def keep(self, submission: Submission, part: Part, chunk: Chunk) -> None:
        """Keep a chunk, unless it holds a fault: that is tried again. Raises RecordError."""
        if chunk.failure is None:
            write_bytes(self._locate(submission, part), msgspec.json.encode(chunk))

    def _locate(self, submission: Submission, part: Part) -> Path:
        folder = locate_chunks(self._records_dir / f"{submission.name}.json")
        return folder / f"{compute_chunk_key(submission, part, self._evaluation, self._place)}.json"


def compute_chunk_key(submission: Submission, part: Part, evaluation: Evaluation, place: Environment) -> str:
    """A key over the model, the images, the rules for them, the code and the place: the same key, the same values."""
    challenge = evaluation.challenge
    libraries = PACKAGES if any(metric.is_bridged for metric in evaluation.metrics) else ()
    return hash_content(
        {
            "model": [submission.sha256, submission.runtime, submission.layout, submission.seed, submission.draws],
            "dataset": [evaluation.dataset.name, evaluation.dataset.sha256],
            "images": part,
            "metrics": [metric.chosen for metric in evaluation.metrics],
            "limits": challenge.limits,
            "threads": 1 if isinstance(part, Pairs) else evaluation.threads,
            "device": evaluation.device,
            "code": hash_sources(),
            "packages": find_versions([*find_format(submission.runtime).packages, *libraries]),
            "place": msgspec.structs.replace(place, started_utc="", git_commit="", git_dirty=False),
        }
    )
