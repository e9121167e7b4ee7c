"""Keeps the showcase: runs each submission's model on a few images, and writes its outputs as image files.

An output's file is only ever replaced while the list does not name it: a kill leaves a list that holds.
"""

import contextlib
import dataclasses
import io
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from PIL import Image as PillowImage

from harness.archive import write_bytes
from harness.dataset import Dataset, Image
from harness.datasets import embedded
from harness.errors import DisturbedError, HarnessError, SubmissionError
from harness.job import Evaluation, Job
from harness.metrics.profiles import quantize
from harness.progress import Progress, Step
from harness.records import Record
from harness.showcase import (
    FREE,
    Kind,
    Picture,
    Showcase,
    find_extremes,
    identify_models,
    locate_images,
    read_results,
    read_showcase,
    replace_pictures,
    select_outputs,
    write_showcase,
)
from harness.submission import SubmissionFolder, hash_model

SHARED_PHOTOS, SHARED_PAIRS = 2, 3
LOSSLESS_PIXELS = 256 * 256
"""Larger images are kept as JPEG: a photo of 1280x720 has 1.5 MB as PNG."""
JPEG_QUALITY = {"pair": 95, "photo": 92}
SUFFIXES = (".png", ".jpg")


class Motif(NamedTuple):
    """An image of a dataset that is shown."""

    kind: Kind
    image: str


@dataclass(frozen=True)
class Task:
    """A submission's model, and all the motifs that its outputs are kept of."""

    job: Job
    motifs: tuple[Motif, ...]

    @property
    def model(self) -> tuple[str, str]:
        """Submission and sha256."""
        return self.job.submission.name, self.job.submission.sha256


def keep_images(
    folders: Sequence[SubmissionFolder], evaluation: Evaluation, reports_dir: Path, *, on_progress: Progress
) -> list[str]:
    """Bring the showcases of the dataset, and of the embedded set where it stands in for that, up to date.

    Returns a sentence on each fault: pictures never harm a run.
    """
    faults: list[str] = []
    try:
        faults += keep_showcase(folders, evaluation, reports_dir, on_progress=on_progress)
        if evaluation.dataset.name != FREE == evaluation.challenge.stand_in:
            free = dataclasses.replace(evaluation, dataset=embedded.open_dataset())
            faults += keep_showcase(folders, free, reports_dir, on_progress=on_progress)
    except (HarnessError, OSError) as error:
        faults.append(f"Pictures are not up to date: {error}")
    return faults


def keep_showcase(
    folders: Sequence[SubmissionFolder], evaluation: Evaluation, reports_dir: Path, *, on_progress: Progress
) -> list[str]:
    """Add the outputs that one dataset's showcase lacks; drop those of models that have no record any more."""
    dataset, faults = evaluation.dataset, []
    results = read_results(reports_dir / "records", dataset.name)
    before = read_showcase(reports_dir, dataset.name, dataset.sha256)
    shared = select_shared(dataset, results)
    planned = (plan_task(folder, evaluation, results, shared) for folder in folders)
    tasks = [task for task in planned if task and not is_done(task, before)]
    showcase = select_outputs(before, identify_models(results) - {task.model for task in tasks})
    if tasks or showcase != before:
        write_showcase(reports_dir, showcase)
    for number, task in enumerate(tasks):
        on_progress(Step(f"pictures of {dataset.name}", number, len(tasks)))
        try:
            with contextlib.closing(enhance_motifs(task)) as outputs:  # its process ends here, whatever goes wrong
                pictures = [keep_picture(task, motif, output, reports_dir) for motif, output in outputs]
        except (SubmissionError, DisturbedError) as error:
            faults.append(f"{task.job.submission.name}: no pictures of {dataset.name}: {error}")
            continue
        showcase = add_pictures(showcase, task, pictures, list_motifs(dataset, shared))
        write_showcase(reports_dir, showcase)
    remove_strays(locate_images(reports_dir, dataset.name), showcase)
    return faults


def select_shared(dataset: Dataset, results: Iterable[Record]) -> tuple[Motif, ...]:
    """What is kept of every submission: its crops, or some photos and some of the pairs that most records have."""
    if dataset.crops:
        return tuple(Motif("pair", name) for name in dataset.crops)
    counts = Counter(pair.image for record in results if record.quality for pair in record.quality.pairs)
    most = max(counts.values(), default=0)
    common = [name for name in list_pairs(dataset) if counts[name] == most > 0]
    places = [(2 * i + 1) * len(common) // (2 * SHARED_PAIRS) for i in range(SHARED_PAIRS)] if common else []
    pairs = dict.fromkeys(common[place] for place in places)
    photos = [Motif("photo", name) for name in dataset.photos[:SHARED_PHOTOS]]
    return (*photos, *(Motif("pair", name) for name in pairs))


def list_pairs(dataset: Dataset) -> list[str]:
    """Every pair's name, once."""
    return list(dict.fromkeys(name for names in dataset.splits.values() for name in names))


def list_motifs(dataset: Dataset, shared: Sequence[Motif]) -> list[Motif]:
    """Everything that can be shown, in the order of the showcase."""
    pairs = [Motif("pair", name) for name in list_pairs(dataset)]
    return list(dict.fromkeys([*shared, *(Motif("photo", name) for name in dataset.photos), *pairs]))


def plan_task(
    folder: SubmissionFolder, evaluation: Evaluation, results: Iterable[Record], shared: Sequence[Motif]
) -> Task | None:
    """What to keep of a submission; None where its model is missing or another one than that of its records."""
    try:
        sha256, _ = hash_model(folder, limit_bytes=evaluation.challenge.limits.model_bytes)
    except SubmissionError:
        return None
    records = [record for record in results if record.submission.name == folder.name]
    records = [record for record in records if record.submission.sha256 == sha256]
    if not records:
        return None
    own = dict.fromkeys(image for record in records for image in list_extremes(record, evaluation))
    job = Job(folder.model_path, records[0].submission, evaluation)
    return Task(job, tuple(dict.fromkeys([*shared, *(Motif("pair", image) for image in own)])))


def list_extremes(record: Record, evaluation: Evaluation) -> Iterator[str]:
    """The worst and the best pairs of a record; none where it is of other images or of another challenge."""
    same_images = record.quality is not None and record.quality.dataset_sha256 == evaluation.dataset.sha256
    if same_images and record.challenge == evaluation.challenge.name:
        for names in find_extremes(record, evaluation.challenge):
            yield from names


def is_done(task: Task, showcase: Showcase) -> bool:
    """Whether the showcase has the outputs of this very model, those of these motifs and no others."""
    name, sha256 = task.model
    shown = {Motif(picture.kind, picture.image) for picture in showcase.pictures if name in picture.outputs}
    return showcase.models.get(name) == sha256 and shown == set(task.motifs)


def enhance_motifs(task: Task) -> Generator[tuple[Motif, Image], None, None]:
    """The outputs as 8 bits, from fresh processes with the threads that the evaluation has for photos and pairs."""
    threads: dict[Kind, int | None] = {"photo": None, "pair": 1}
    for kind, count in threads.items():
        if motifs := [motif for motif in task.motifs if motif.kind == kind]:
            with task.job.start(count) as process:
                for motif in motifs:
                    yield motif, quantize(task.job.enhance(process, load_source(task.job.evaluation.dataset, motif)))


def load_source(dataset: Dataset, motif: Motif) -> Image:
    """What a model is given."""
    photo = motif.kind == "photo"
    return dataset.load_photo(motif.image) if photo else dataset.load_pair(motif.image).source


def load_motif(dataset: Dataset, motif: Motif) -> tuple[Image, Image | None]:
    """Source and target in one size: a smaller source is enlarged (bicubic). A photo has no target."""
    source = load_source(dataset, motif)
    if dataset.scale > 1:
        size = dataset.scale * source.shape[1], dataset.scale * source.shape[0]
        source = np.asarray(PillowImage.fromarray(source).resize(size, PillowImage.Resampling.BICUBIC))
    return source, None if motif.kind == "photo" else dataset.load_pair(motif.image).target


def keep_picture(task: Task, motif: Motif, output: Image, reports_dir: Path) -> Picture:
    """Write the source, the target and one output of a motif."""
    name, dataset = task.job.submission.name, task.job.evaluation.dataset
    source, target = load_motif(dataset, motif)
    images = {"source": source, "target": target, f"outputs/{name}": output}
    places = {}
    for role, image in images.items():
        if image is not None:
            suffix, content = encode_image(image, motif.kind)
            places[role] = f"{motif.kind}s/{role}/{motif.image}{suffix}"
            write_bytes(locate_images(reports_dir, dataset.name) / places[role], content)
    height_px, width_px, _ = source.shape
    outputs = {name: places[f"outputs/{name}"]}
    return Picture(motif.image, motif.kind, width_px, height_px, places["source"], places.get("target"), outputs)


def encode_image(image: np.ndarray, kind: Kind) -> tuple[str, bytes]:
    """A file's suffix and content: a small image without loss, a larger one as JPEG with its colours at full size."""
    buffer = io.BytesIO()
    whole = PillowImage.fromarray(image)
    if whole.width * whole.height <= LOSSLESS_PIXELS:
        whole.save(buffer, "PNG", optimize=True)
        return ".png", buffer.getvalue()
    # without optimize, whose buffer is too small for a noisy photo
    whole.save(buffer, "JPEG", quality=JPEG_QUALITY[kind], subsampling="4:4:4")
    return ".jpg", buffer.getvalue()


def add_pictures(showcase: Showcase, task: Task, pictures: Iterable[Picture], order: Sequence[Motif]) -> Showcase:
    """The showcase with one submission's outputs, its pictures in this order."""
    merged = {Motif(picture.kind, picture.image): picture for picture in showcase.pictures}
    for picture in pictures:
        motif = Motif(picture.kind, picture.image)
        outputs = (merged[motif].outputs if motif in merged else {}) | picture.outputs
        merged[motif] = msgspec.structs.replace(picture, outputs=dict(sorted(outputs.items())))
    models = showcase.models | dict([task.model])
    ordered = [merged[motif] for motif in order if motif in merged]
    return replace_pictures(msgspec.structs.replace(showcase, models=models), ordered)


def remove_strays(folder: Path, showcase: Showcase) -> None:
    """Remove the image files that no picture names any more, and the folders that are left empty."""
    named = {folder / place for picture in showcase.pictures for place in picture.list_files()}
    for path in sorted(folder.glob("*s/**/*"), reverse=True):  # what lies in a folder comes before it
        with contextlib.suppress(OSError):  # a folder that is not empty; the next run tries again
            if path.is_dir():
                path.rmdir()
            elif path.suffix in SUFFIXES and path not in named:
                path.unlink()
