"""The showcase: a few outputs of each submission as image files below REPORTS/images/DATASET, and their list."""

import math
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from harness.archive import list_datasets, read_records, write_text
from harness.challenge import Challenge
from harness.records import Record

Kind = Literal["pair", "photo"]
Size = Annotated[int, msgspec.Meta(gt=0)]

SHOWCASE = "showcase.json"
FREE = "embedded"
"""The dataset whose photographs may be shown anywhere: outputs for some of its photos are kept with every dataset."""
EXTREMES = 3


class Picture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pair or a photo, and what submissions made of it; not every submission has to be among them.

    source, target (None: a photo) and outputs, by submission, are paths relative to the dataset's folder.
    """

    image: str
    kind: Kind
    width_px: Size
    height_px: Size
    source: str
    target: str | None
    outputs: dict[str, str]

    def list_files(self) -> list[str]:
        """All of its files."""
        return [self.source, *([self.target] if self.target is not None else []), *self.outputs.values()]


class Showcase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pictures of one dataset; models: the sha256 of the model that the outputs of a submission are from."""

    dataset: str
    dataset_sha256: str
    pictures: tuple[Picture, ...]
    models: dict[str, str]


def locate_images(reports_dir: Path, dataset: str) -> Path:
    """The folder of one dataset's showcase."""
    return reports_dir / "images" / Path(dataset).name


def read_showcase(reports_dir: Path, dataset: str, dataset_sha256: str | None = None) -> Showcase:
    """The showcase of a dataset (None: of any version of it), as far as its files are there.

    An empty one where there is none, or where it is damaged or of another version: a run makes it anew.
    """
    folder = locate_images(reports_dir, dataset)
    empty = Showcase(dataset, dataset_sha256 or "", (), {})
    try:
        if not (folder / SHOWCASE).is_file():  # to open a pipe would wait forever
            return empty
        showcase = msgspec.json.decode((folder / SHOWCASE).read_bytes(), type=Showcase)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return empty
    if showcase.dataset != dataset or dataset_sha256 not in (None, showcase.dataset_sha256):
        return empty
    return replace_pictures(showcase, (leave_out_missing(picture, folder) for picture in showcase.pictures))


def write_showcase(reports_dir: Path, showcase: Showcase) -> None:
    """Replace the list in one step. Raises RecordError where the folder cannot be written."""
    path = locate_images(reports_dir, showcase.dataset) / SHOWCASE
    write_text(path, msgspec.json.format(msgspec.json.encode(showcase), indent=1).decode() + "\n")


def replace_pictures(showcase: Showcase, pictures: Iterable[Picture]) -> Showcase:
    """The showcase with these pictures, of which those without outputs go, and with the models that they show."""
    shown = tuple(picture for picture in pictures if picture.outputs)
    names = {name for picture in shown for name in picture.outputs}
    models = {name: sha256 for name, sha256 in sorted(showcase.models.items()) if name in names}
    return msgspec.structs.replace(showcase, pictures=shown, models=models)


def leave_out_missing(picture: Picture, folder: Path) -> Picture:
    """The picture with the outputs whose files are there: with none where its source or target is not."""
    outputs = {name: place for name, place in picture.outputs.items() if is_present(folder, place)}
    sides = [side for side in (picture.source, picture.target) if side is not None]
    whole = all(is_present(folder, place) for place in sides)
    return msgspec.structs.replace(picture, outputs=outputs if whole else {})


def is_present(folder: Path, place: str) -> bool:
    """Whether a relative path names a file of this folder; one that leads out of it does not."""
    if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
        return False
    try:
        path = (folder / place).resolve()
        return path.is_file() and path.is_relative_to(folder.resolve())
    except (OSError, ValueError):  # a name that no file can have
        return False


def select_outputs(showcase: Showcase, models: Collection[tuple[str, str]]) -> Showcase:
    """The showcase with the outputs of these models alone, each given by its submission and sha256."""
    names = {name for name, sha256 in showcase.models.items() if (name, sha256) in models}
    return replace_pictures(
        showcase,
        (
            msgspec.structs.replace(picture, outputs={n: place for n, place in picture.outputs.items() if n in names})
            for picture in showcase.pictures
        ),
    )


def read_results(records_dir: Path, dataset: str) -> list[Record]:
    """The records whose models a showcase may show: those of its dataset, for the free one those of all datasets.

    Raises RecordError for a record that cannot be read.
    """
    folders = list_datasets(records_dir) if dataset == FREE else [records_dir / Path(dataset).name]
    return [record for folder in folders for record in read_records(folder) if record.status == "ok"]


def identify_models(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Submission and sha256 of each record."""
    return {(record.submission.name, record.submission.sha256) for record in records}


def find_extremes(record: Record, challenge: Challenge) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The pairs with the worst values of the challenge's first metric of pairs, worst first, and those with the best.

    None where the challenge has no such metric, or the record no value of it.
    """
    metric = next((metric for metric in challenge.metrics if metric.images == "pairs"), None)
    pairs = record.quality.pairs if record.quality else ()
    if metric is None or any(metric.name not in pair.values for pair in pairs):
        return (), ()
    values = {pair.image: math.inf if (value := pair.values[metric.name]) is None else value for pair in pairs}
    ranked = sorted(values, key=values.__getitem__, reverse=metric.lower_is_better)
    return tuple(ranked[:EXTREMES]), tuple(reversed(ranked[-EXTREMES:]))
