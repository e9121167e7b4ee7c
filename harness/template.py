"""Commented files to start from: a submission's manifest, a challenge."""

import os
from dataclasses import dataclass
from pathlib import Path
from string import Template

import tomli_w

from harness.challenge import list_challenges
from harness.dataset import open_folder
from harness.datasets import KNOWN
from harness.errors import SubmissionError, UsageError
from harness.files import write_new
from harness.formats import CODE, FORMATS
from harness.scoring import suggest_name
from harness.submission import MANIFEST, Manifest, SubmissionFolder, check_names, decode_manifest, read_submission

FOLDER = Path(__file__).parent / "templates"

CHALLENGE = "challenge.toml"
PHOTO_SIZE = (1280, 720)
"""Of the photos of the datasets that have a name, and where there are none yet."""
BASELINES = {1: ("SRCNN", "srcnn.onnx"), 4: ("SPAN", "span.onnx")}
"""Label and file of the package's models that time is compared with, by scale."""
UNTIMED = "# The dataset has no photos/ yet: there is no time, and no score by a formula that names it.\n"
TIMED_SCORE = 'A = "4*(psnr - 21) + 100*(ms_ssim - 0.9) + 2*min(baseline_time/time, 4)"\n'
UNTIMED_SCORE = 'A = "4*(psnr - 21) + 100*(ms_ssim - 0.9)"\n'
OTHER_SCORES = """\
# B = "2**(2*psnr) / (1e16*time)"         # as Mobile AI: a decibel is worth four times the speed
# C = "psnr - 10*max(time/33 - 1, 0)"     # quality, with a price on what is slower than 30 images a second"""


def write_submission(name: str, folder: Path, *, runtime: str, challenge: str = "pirm2018b") -> SubmissionFolder:
    """Write the manifest of a new submission into folder/name, which comes back; the model is all that it lacks.

    challenge: the name of the one that it is made for.
    Raises UsageError for a name or runtime that cannot be, and where a manifest is there already.
    """
    path = folder / name / MANIFEST
    check_name(name, path)
    write_template(path, render_submission(name, runtime, challenge))
    return read_submission(path.parent)


def render_submission(name: str, runtime: str, challenge: str) -> str:
    """The text of a manifest: it holds, with what the entrant alone knows left to be said."""
    known = {row.runtime: row.model_file for row in FORMATS}
    if runtime not in known:
        raise UsageError(f"unknown runtime '{runtime}'{suggest_name(runtime, known)}; known are {', '.join(known)}.")
    text = fill_template(
        MANIFEST,
        name=name,
        runtime=runtime,
        runtimes=", ".join(known),
        programs=", ".join(CODE),
        challenge=quote_toml(challenge),
        model_file=known[runtime],
    )
    decode_manifest(text, Path(MANIFEST))
    return text


@dataclass(frozen=True)
class Pictures:
    """What a new challenge has to know of its dataset: how to name it, its scale, the size of its photos, if any."""

    dataset: str
    scale: int
    photo_size: tuple[int, int] | None


def write_challenge(name: str, folder: Path, *, dataset: str, scale: int) -> tuple[Path, Pictures]:
    """Write folder/name.toml, a challenge on a dataset; its path, and what was found of the dataset.

    Raises UsageError for a name that cannot be, where a file is there already, and for a scale that `embedded`
    does not have; DataError for a folder that is no dataset of this scale.
    """
    path = folder / f"{name}.toml"
    check_name(name, path)
    if name in list_challenges():
        raise UsageError(f"the package has a challenge named {name}, and their records would mix; choose another name.")
    pictures = look_at_dataset(dataset, scale, folder)
    write_template(path, render_challenge(name, pictures))
    return path, pictures


def look_at_dataset(dataset: str, scale: int, folder: Path) -> Pictures:
    """Read the first pair and the first photo of a folder; its path becomes one from `folder`."""
    if dataset == "embedded" and scale != 1:
        raise UsageError(f"the targets of {dataset} are no {scale} times as large; name a folder with --dataset.")
    if dataset in KNOWN:  # whether it has this scale is seen as it is opened, which may fetch files
        return Pictures(dataset, scale, PHOTO_SIZE)
    if not Path(dataset).is_dir():
        raise UsageError(f"{dataset} is no folder; name one with source/ and target/, or {' or '.join(KNOWN)}.")
    opened = open_folder(Path(dataset), scale=scale)
    opened.load_pair(next(iter(opened.splits["all"])))
    size = None
    if opened.photos:
        height_px, width_px = opened.load_photo(opened.photos[0]).shape[:2]
        size = (width_px, height_px)
    return Pictures(Path(os.path.relpath(dataset, folder)).as_posix(), scale, size)


def render_challenge(name: str, pictures: Pictures) -> str:
    """The text of a challenge's file, in which every key has its comment."""
    width_px, height_px = pictures.photo_size or PHOTO_SIZE
    scores = TIMED_SCORE if pictures.photo_size else UNTIMED + UNTIMED_SCORE
    label, model = BASELINES.get(pictures.scale, BASELINES[1])
    return fill_template(
        CHALLENGE,
        name=name,
        known=", ".join(KNOWN),
        dataset=quote_toml(pictures.dataset),
        scale=str(pictures.scale),
        label=label,
        model=model,
        width_px=str(width_px),
        height_px=str(height_px),
        scores=scores + OTHER_SCORES,
    )


def quote_toml(text: str) -> str:
    """A text as TOML writes it."""
    return tomli_w.dumps({"key": text}).partition(" = ")[2].rstrip("\n")


def check_name(name: str, path: Path) -> None:
    """Raise UsageError for a name that neither a submission nor a challenge can have."""
    try:
        check_names(Manifest(name=name, title=name, trained_on=""), path)
    except SubmissionError as error:
        raise UsageError(str(error)) from None


def fill_template(file: str, **words: str) -> str:
    """The packaged template of that name with its words in place."""
    return Template((FOLDER / file).read_text(encoding="utf-8")).substitute(words)


def write_template(path: Path, text: str) -> None:
    """Write a file to start from, never over one that is there. Raises UsageError."""
    try:
        write_new(path, text.encode())
    except FileExistsError as error:  # the file, or one in the place of its folder
        raise UsageError(f"{error.filename} is there already, and stays as it is; choose another name.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); choose another folder.") from None
