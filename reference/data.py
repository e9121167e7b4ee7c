"""The pairs that a network is trained on, and the batches drawn from them.

`read_pairs` gives the training pairs of PIRM 2018, track B, as the harness splits it: the others are held out for the
evaluation and never read here. `open_dped` gives a folder in DPED's layout, whose 160,000 pairs stay on disk.
`read_extra` gives pairs of one's own making, such as photos and what a larger network makes of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

from harness.assets import AssetStore, compute_sha256
from harness.datasets.pirm2018b import SPLITS as PIRM2018B_SPLITS
from reference.augmentation import Augmentation, augment, crop

PATCHES = "aiff22/ai-challenge/dped/patches"
DPED_PATCHES = Path("iphone/training_data")
CAMERAS = ("iphone", "canon")
"""Folders of the sources and of the targets."""


@dataclass(frozen=True)
class Pairs:
    """Pairs in memory: sources and targets, each (N, 3, H, W), uint8 or floating point in [0, 1]."""

    source: torch.Tensor
    target: torch.Tensor
    numbers: tuple[int, ...]

    @property
    def size_px(self) -> tuple[int, ...]:
        """Height and width."""
        return tuple(self.source.shape[2:])

    @property
    def device(self) -> torch.device:
        """Where the pairs lie."""
        return self.source.device

    def select(self, positions: list[int]) -> "Pairs":
        """The pairs at `positions`."""
        numbers = tuple(self.numbers[i] for i in positions)
        return Pairs(self.source[positions], self.target[positions], numbers)

    def take(self, positions: list[int] | torch.Tensor) -> torch.Tensor:
        """Source and target of each as (N, 6, H, W) float32 in [0, 1]."""
        return torch.cat([convert_to_float(images[positions]) for images in (self.source, self.target)], 1)


@dataclass(frozen=True)
class PairFolder:
    """Pairs on disk, decoded when they are taken: FOLDER/iphone/N.jpg and FOLDER/canon/N.jpg."""

    folder: Path
    numbers: tuple[int, ...]
    size_px: tuple[int, ...]
    device: torch.device

    def select(self, positions: list[int]) -> "PairFolder":
        """The pairs at `positions`."""
        return PairFolder(self.folder, tuple(self.numbers[i] for i in positions), self.size_px, self.device)

    def take(self, positions: list[int] | torch.Tensor) -> torch.Tensor:
        """Source and target of each as (N, 6, H, W) float32 in [0, 1], on `device`."""
        numbers = [self.numbers[int(i)] for i in positions]
        pairs = [np.concatenate([self.read(camera, number) for camera in CAMERAS]) for number in numbers]
        return convert_to_float(torch.from_numpy(np.stack(pairs)).to(self.device))

    def read(self, camera: str, number: int) -> np.ndarray:
        """One photo, (3, H, W) uint8; ValueError for another size than the first one's."""
        path = self.folder / camera / f"{number}.jpg"
        photo = read_photo(path)
        if photo.shape[1:] != self.size_px:
            raise ValueError(f"{path} is {format_size(photo.shape[1:])} px, others are {format_size(self.size_px)} px")
        return photo


P = TypeVar("P", Pairs, PairFolder)


@dataclass(frozen=True)
class TrainingData:
    """What a run reads: its pairs with a name for them, and pairs to mix in, with their file's sha256."""

    pairs: Pairs | PairFolder
    name: str
    extra: Pairs | None = None
    extra_sha256: str = "none"

    def describe(self) -> str:
        return f"{self.name}, {len(self.pairs.numbers)} pairs of {format_size(self.pairs.size_px)} px"


def format_size(size_px: tuple[int, ...]) -> str:
    """Width x height, of (height, width)."""
    return f"{size_px[1]}x{size_px[0]}"


def convert_to_float(images: torch.Tensor) -> torch.Tensor:
    """Float32 in [0, 1], of 8 bits or of a floating-point type."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def read_photo(path: Path) -> np.ndarray:
    """A photo as (3, H, W) uint8; ValueError when it is not an RGB image that can be read."""
    try:
        with Image.open(path) as photo:
            array = np.asarray(photo)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"cannot read the training photo {path} ({error}); fetch the dataset again") from error
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"{path} is not an RGB photo but has the shape {array.shape}")
    return array.transpose(2, 0, 1)


def read_pairs(store: AssetStore, device: torch.device) -> Pairs:
    """The 300 training pairs, from the mirror, the cache or the network; DataError where they cannot be had."""
    numbers = tuple(map(int, PIRM2018B_SPLITS["train"]))
    store.fetch("pirm2018b")  # what is missing, many at a time
    source, target = (
        torch.from_numpy(np.stack([read_photo(store.find(f"{PATCHES}/{camera}/{number}.jpg")) for number in numbers]))
        for camera in CAMERAS
    )
    return Pairs(source.to(device), target.to(device), numbers)


def open_dped(dped: Path, device: torch.device, *, limit: int | None = None) -> PairFolder:
    """The pairs of `dped`/iphone/training_data; with `limit` that many, spread evenly over the numbers.

    ValueError for a folder that is missing or empty, or a photo without its counterpart. The photos themselves are
    read when they are drawn, and one that is damaged or of another size than the first is an error then.
    """
    source, target = (list_numbers(dped / DPED_PATCHES / camera) for camera in CAMERAS)
    if source != target:
        number = min(source ^ target)
        there, missing = CAMERAS if number in source else CAMERAS[::-1]
        raise ValueError(f"{dped / DPED_PATCHES}: {there}/{number}.jpg is there, {missing}/{number}.jpg is missing")
    numbers = sorted(source)
    if limit is not None and not 1 <= limit <= len(numbers):
        raise ValueError(f"--limit must be from 1 to the number of pairs, {len(numbers)}; got {limit}")
    first = read_photo(dped / DPED_PATCHES / CAMERAS[0] / f"{numbers[0]}.jpg")
    return thin_out(PairFolder(dped / DPED_PATCHES, tuple(numbers), first.shape[1:], device), limit or len(numbers))


def thin_out(pairs: P, most: int) -> P:
    """At most that many of the pairs, spread evenly."""
    count = len(pairs.numbers)
    return pairs if count <= most else pairs.select([i * count // most for i in range(most)])


def list_numbers(folder: Path) -> set[int]:
    """N of each N.jpg; ValueError where there is none."""
    try:
        numbers = {int(path.stem) for path in folder.iterdir() if path.suffix == ".jpg" and path.stem.isdecimal()}
    except OSError as error:
        raise ValueError(f"cannot list {folder} ({error.strerror}): give DPED's folder with --dped") from error
    if not numbers:
        raise ValueError(f"{folder} holds no photos named N.jpg: unpack DPED's training data there")
    return numbers


def read_extra(path: Path, device: torch.device) -> tuple[Pairs, str]:
    """The pairs of a safetensors file and its sha256: tensors `source` and `target`, (N, 3, H, W).

    `source` is uint8, `target` uint8, or float16 in [0, 1]. ValueError for another content.
    """
    try:
        tensors, sha256 = load_file(path), compute_sha256(path)
        source, target = tensors["source"], tensors["target"]
    except (OSError, SafetensorError, KeyError) as error:
        raise ValueError(f"{path} cannot be read as extra pairs, tensors source and target ({error})") from error
    shape = tuple(source.shape)
    if len(shape) != 4 or shape[0] == 0 or shape[1] != 3 or target.shape != source.shape:
        raise ValueError(f"{path}: source and target must both be (N, 3, H, W), got {shape} and {tuple(target.shape)}")
    if source.dtype != torch.uint8 or target.dtype not in (torch.uint8, torch.float16):
        raise ValueError(
            f"{path}: source must be uint8 and target uint8 or float16, got {source.dtype}, {target.dtype}"
        )
    return Pairs(source.to(device), target.to(device), tuple(range(len(source)))), sha256


def split_pairs(pairs: P, folds: int, fold: int) -> tuple[P, P]:
    """Training and validation pairs: every `folds`-th pair from `fold` on validates; with folds = 0 none does.

    ValueError where that leaves no pair on one side.
    """
    if folds == 0:
        return pairs, pairs.select([])
    if folds < 2 or not 0 <= fold < folds:
        raise ValueError(f"folds must be 0 or at least 2, and fold from 0 to folds - 1; got folds {folds}, fold {fold}")
    positions = range(len(pairs.numbers))
    training, validation = ([i for i in positions if (i % folds == fold) == held] for held in (False, True))
    if not training or not validation:
        raise ValueError(f"fold {fold} of {folds} leaves no pairs on one side of {len(positions)}: set other folds")
    return pairs.select(training), pairs.select(validation)


def check_data(data: TrainingData, augmentation: Augmentation, *, batch_size: int, extra_share: float) -> None:
    """ValueError, in one sentence, for pairs that give no batch."""
    if (data.extra is None) != (extra_share == 0):
        raise ValueError(f"extra_share is {extra_share}: pairs to mix in need both --extra FILE and a share above 0")
    count_extra(batch_size, extra_share)
    sizes = [pairs.size_px for pairs in (data.pairs, data.extra) if pairs]
    if augmentation.crop_px:
        if augmentation.crop_px > min(map(min, sizes)):
            raise ValueError(f"crop_px {augmentation.crop_px} is more than the pairs have: {format_size(sizes[0])} px")
        return
    if sizes[0] != sizes[-1]:
        raise ValueError(
            f"the pairs are {format_size(sizes[0])} px, those of --extra {format_size(sizes[-1])} px: set crop_px"
        )
    if augmentation.dihedral and sizes[0][0] != sizes[0][1]:
        raise ValueError(f"pairs of {format_size(sizes[0])} px cannot be turned: set crop_px, or dihedral to false")


def count_extra(batch_size: int, extra_share: float) -> int:
    """How many of a batch are extra pairs; ValueError unless that leaves some of either kind."""
    count = round(batch_size * extra_share)
    if extra_share and not 0 < count < batch_size:
        raise ValueError(f"extra_share {extra_share} of a batch of {batch_size} is {count}: it must leave both kinds")
    return count


def draw_batch(
    pairs: Pairs | PairFolder,
    batch_size: int,
    augmentation: Augmentation,
    *,
    extra: Pairs | None = None,
    extra_share: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of sources and targets, (N, 3, H, W) each, without repetition, augmented.

    `extra_share` of it comes from `extra`, which may be of another size where the augmentation crops. As there are
    enough of these, they are only turned and flipped.
    """
    extra_count = count_extra(batch_size, extra_share) if extra else 0
    images = augment(draw(pairs, batch_size - extra_count, augmentation), augmentation)
    if extra and extra_count:
        views = Augmentation(dihedral=augmentation.dihedral)
        images = torch.cat([images, augment(draw(extra, extra_count, augmentation), views)])
    return images[:, :3], images[:, 3:]


def draw(pairs: Pairs | PairFolder, count: int, augmentation: Augmentation) -> torch.Tensor:
    """Pairs without repetition, cropped if need be: (N, 6, H, W), all of them where there are fewer than `count`."""
    images = pairs.take(torch.randperm(len(pairs.numbers), device=pairs.device)[:count])
    return crop(images, augmentation.crop_px) if augmentation.crop_px else images
