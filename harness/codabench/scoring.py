"""Scores one submission on Codabench: `harness run` on what a participant sent, then scores.json from its record.

    python -m harness.codabench.scoring PROGRAM INPUT OUTPUT [DATA]

PROGRAM, INPUT, OUTPUT: /app/program, /app/input (with ref/ and res/) and /app/output on a worker. DATA: what the worker
itself keeps, /app/data, for a bundle without the dataset's files. A submission that fails leaves one sentence on
standard error, an exit code, and no scores: Codabench then calls it failed, and never ranks it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.archive import encode_record, read_records
from harness.boards import Board, build_boards
from harness.challenge import Bound, read_challenge
from harness.codabench.reference import ASSETS, CACHE, CHALLENGE, DATASET
from harness.codabench.settings import Settings, read_settings
from harness.errors import (
    ChallengeError,
    DataError,
    DisturbedError,
    HarnessError,
    RecordError,
    SubmissionError,
    UsageError,
)
from harness.files import make_scratch, write_atomically
from harness.records import Record
from harness.render.detailed import render_detailed
from harness.submission import MANIFEST, is_regular

SCORES, DETAILS, RECORD = "scores.json", "detailed_results.html", "record.json"
FAULTS = (UsageError, SubmissionError, DataError, RecordError, ChallengeError, DisturbedError)
LARGEST = 1e10
"""Codabench keeps ten digits before the point."""


@dataclass(frozen=True)
class Places:
    """Where the worker has put what."""

    program: Path
    reference: Path
    sent: Path
    output: Path
    data: Path


def main(arguments: Sequence[str]) -> int:
    """Score, and say in one sentence why not where that is so."""
    program, received, output, *data = (Path(argument).absolute() for argument in arguments)
    places = Places(program, received / "ref", received / "res", output, data[0] if data else Path("/app/data"))
    try:
        score(places)
    except HarnessError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"error: {error.filename or 'a file'} cannot be used ({error.strerror or error}).\n")
        return RecordError.exit_code
    return 0


def score(places: Places) -> None:
    """Evaluate what was sent, and write the scores, the page and the record. Raises HarnessError for a failure."""
    settings = read_settings(places.program)
    folder = find_submission(places.sent)
    with make_scratch() as name:
        scratch = Path(name)
        document = evaluate(folder, settings, places, scratch)
        challenge = read_challenge(places.reference / CHALLENGE / settings.challenge)
        records = read_records(scratch / "reports" / "records" / settings.dataset)
    boards = build_boards(records, challenge, phase=settings.phase)
    for record in records:
        write_atomically(places.output / DETAILS, render_detailed(record, boards, challenge).encode())
    check_document(document)
    record = find_result(records, settings)
    scores = collect_scores(boards, settings)
    write_atomically(places.output / RECORD, encode_record(record))
    write_atomically(places.output / SCORES, (json.dumps(scores, indent=1, allow_nan=False) + "\n").encode())
    sys.stdout.write(describe(record, boards, scores))


def find_submission(sent: Path) -> Path:
    """The folder with the manifest: that of all that was sent, or the only one below it that has one.

    Raises SubmissionError where there is none, or more than one.
    """
    if is_regular(sent / MANIFEST):
        return sent
    found = [folder for folder in list_folders(sent) if is_regular(folder / MANIFEST)]
    if len(found) > 1:
        names = ", ".join(folder.name for folder in found)
        raise SubmissionError(f"the zip holds {len(found)} submissions ({names}); send one at a time.")
    if not found:
        raise SubmissionError(
            f"the zip has no {MANIFEST} at its top, nor in a folder there; zip the manifest together with the model."
        )
    return found[0]


def list_folders(sent: Path) -> list[Path]:
    """Folders at the top of what was sent; not those that systems add to a zip."""
    if not sent.is_dir():
        return []
    folders = (path for path in sent.iterdir() if path.is_dir() and not path.is_symlink())
    return sorted(path for path in folders if not path.name.startswith((".", "__")))


def evaluate(folder: Path, settings: Settings, places: Places, scratch: Path) -> dict[str, Any]:
    """What `harness run` says of the submission, at its end. Its progress goes to standard output.

    Raises DisturbedError where it ended without a word.
    """
    cache = scratch / "cache"
    if (places.reference / CACHE).is_dir():
        shutil.copytree(places.reference / CACHE, cache)
    environment = os.environ | {"XDG_CACHE_HOME": str(cache), "MPLCONFIGDIR": str(scratch)}
    command = [sys.executable, "-P", "-m", "harness", *list_arguments(folder, settings, places, scratch)]
    sys.stdout.flush()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=sys.stdout.fileno(), env=environment, cwd=scratch, check=False
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise DisturbedError(
            f"the evaluation ended without a result (exit code {done.returncode}); submit again, and tell the "
            "organiser if that does not help."
        ) from None
    return document


def list_arguments(folder: Path, settings: Settings, places: Places, scratch: Path) -> list[str]:
    """Those of `harness run`."""
    reference = places.reference
    arguments = ["run", str(folder), "--challenge", str(reference / CHALLENGE / settings.challenge)]
    arguments += ["--dataset", str(find_data(settings, places)), "--split", settings.split]
    arguments += ["--reports", str(scratch / "reports"), "--budget", str(settings.budget_s), "--no-images", "--json"]
    assets = [root / ASSETS for root in (reference, places.data) if (root / ASSETS).is_dir()]
    return [
        *arguments,
        *(("--assets", str(assets[0])) if assets else ()),
        *(() if settings.timing else ("--no-timing",)),
    ]


def find_data(settings: Settings, places: Places) -> Path | str:
    """The dataset by its name, or the folder of its files. Raises DataError where that is nowhere."""
    if not settings.folder:
        return settings.dataset
    folders = [places.reference / DATASET / settings.dataset, places.data / settings.dataset]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DataError(
        f"the dataset {settings.dataset} is neither in the reference data nor in {places.data}; the organiser has to "
        "put it there."
    )


def check_document(document: Mapping[str, Any]) -> None:
    """Raise the fault that `harness run` told of; a submission without a result is one, whatever its exit code."""
    told = [*document["errors"], *(found for found in document["submissions"] if found["status"] != "ok")]
    for fault in told:
        code = fault["exit_code"] or SubmissionError.exit_code
        kinds = [kind for kind in FAULTS if kind.exit_code == code]
        raise (kinds or [DisturbedError])[0](fault["sentence"] or "the evaluation was not finished.")


def find_result(records: Sequence[Record], settings: Settings) -> Record:
    """The record, if it is of the images that the organiser bundled. Raises DataError for others."""
    (record,) = records
    if record.quality is None or record.quality.dataset_sha256 != settings.dataset_sha256:
        raise DataError(
            f"the images of {settings.dataset} here are not those that the competition was made with; the organiser "
            "has to restore them."
        )
    return record


def collect_scores(boards: Sequence[Board], settings: Settings) -> dict[str, float]:
    """The values of the leaderboard's columns. Raises SubmissionError where there is no rank."""
    (board,) = [board for board in boards if board.split == settings.split]
    (row,) = board.frame.to_dict("records")
    check_qualified(row, board.challenge.list_bounds(board.phase))
    return dict(list_values(row, settings))


def check_qualified(row: Mapping[Any, Any], bounds: Sequence[Bound]) -> None:
    """Raise SubmissionError for one that has no rank by the phase's rules: Codabench ranks whatever has a score."""
    for bound in bounds:
        value = row[bound.metric]
        if not bound.holds(value):
            raise SubmissionError(
                f"{bound.metric} is {value:.4g}, and a place on the leaderboard takes {bound.side} {bound.value:g}."
            )


def list_values(row: Mapping[Any, Any], settings: Settings) -> Iterator[tuple[str, float]]:
    """Keys and values as the local leaderboard has them, in the columns' units. Raises SubmissionError."""
    for column in settings.columns:
        value = row.get(column.source)
        if value is None or pd.isna(value):
            if column.needed:
                raise SubmissionError(
                    f"{column.title} has no value: something that it is made of is not known of this model; the log "
                    "and the detailed results say what was measured."
                )
            continue
        shown = float(value) / column.divisor
        if not abs(shown) < LARGEST:
            raise SubmissionError(f"{column.title} is {shown:g}, more than Codabench can hold.")
        yield column.key, shown


def describe(record: Record, boards: Sequence[Board], scores: Mapping[str, float]) -> str:
    """What the participant reads in the log."""
    lines = [f"{record.submission.name} on {boards[0].dataset}, split {boards[0].split}:"]
    lines += [f"  {key} {value:.10g}" for key, value in scores.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
