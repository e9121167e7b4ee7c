"""What published networks make of more photos: python -m reference.distill --out FILE [--student FILE ...].

300 pairs teach little of which brightness and colour a photo is to have: that error is two thirds of the whole. The
networks published with the challenge saw 160,000 pairs, so pairs of their making are mixed into the batches
(`extra_share` of reference.train): the source is a phone photo or close to one, the target the mean of what
ResNet-8-32, DPED (ResNet-12-64) and, with half their weight, SRCNN make of it. On the training pairs that mean has
22.29 dB and 0.9238, ResNet-8-32 22.09 and 0.9151, DPED 21.81 and 0.9196; without SRCNN it is 22.26 and 0.9228.

Students are networks that were trained here on the pairs alone. They err in other places, so the mean with them is
better still: on a third of the pairs, with students trained on the other two thirds, by 0.1 to 0.2 dB.

Sources, all 100x100 px:
- crops of the challenge's four HD photos, at full and at half size, half of them with another exposure;
- crops of five DIV2K photos at half size, as the phone camera of the embedded set takes them;
- parts of the training sources, enlarged, with another exposure; and the training sources as they are;
- the training targets, as that camera takes them.

With --folds, what comes from the pairs of that fold is left out, so that a validation on it stays honest; students
must have left out the same fold.
The file holds upstream photos and must not be published. It takes about 25 minutes on one core.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import nn
from tqdm import tqdm

from harness.assets import open_store
from harness.embedded import PhoneCamera, list_exposures, read_camera, simulate_phone
from harness.files import write_atomically
from reference.build import load_published, load_trained
from reference.command import run_command
from reference.data import Pairs, read_pairs, split_pairs

SEED = 2018
PATCH_PX = 100
TEACHERS = {"resnet_8_32": 2.0, "dped": 2.0, "srcnn": 1.0}
"""With their weights, found on the training pairs, which none of them was trained on."""
STUDENT_WEIGHT = 2.0
HD_PHOTOS = tuple(f"aiff22/ai-challenge/dped/HD_res/{number}.png" for number in range(4))
DIV2K_PHOTOS = tuple(f"aiff22/ai-challenge/div2k/original/{number}.png" for number in (0, 1, 4, 6, 8))
CROPS_OF_HD, CROPS_OF_HALF_HD, CROPS_OF_DIV2K, PARTS_OF_SOURCE = 450, 250, 280, 4
"""Of each photo. About half of all sources are true phone photos."""
EXPOSURE_STOPS, COLOUR_STOPS, GAMMA = 0.36, 0.09, 0.15
"""Standard deviations of another exposure: of all channels, of each, and of the logarithm of a gamma.

Wide enough to cover the phone's own mistakes, whose quartiles are 0.3 stops apart (phone_camera.toml).
"""
BATCH_SIZE = 8


def expose(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A uint8 image with another exposure, white balance and gamma."""
    gain = np.exp2(random.normal(0, EXPOSURE_STOPS) + random.normal(0, COLOUR_STOPS, 3))
    changed = (image / 255) ** np.exp(random.normal(0, GAMMA)) * gain
    return np.rint(np.clip(changed, 0, 1) * 255).astype(np.uint8)


def halve(photo: Image.Image) -> Image.Image:
    return photo.resize((photo.width // 2, photo.height // 2), Image.Resampling.LANCZOS)


def cut(image: np.ndarray, size_px: int, random: np.random.Generator) -> np.ndarray:
    """A random square."""
    top, left = (int(random.integers(0, size - size_px + 1)) for size in image.shape[:2])
    return image[top : top + size_px, left : left + size_px]


def cut_phone_photo(photo: Image.Image, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Crops of an HD photo, every other one with another exposure."""
    for image, count in ((photo, CROPS_OF_HD), (halve(photo), CROPS_OF_HALF_HD)):
        pixels = np.asarray(image)
        for index in range(count):
            patch = cut(pixels, PATCH_PX, random)
            yield expose(patch, random) if index % 2 else patch


def photograph(photo: Image.Image, camera: PhoneCamera, random: np.random.Generator) -> Iterator[np.ndarray]:
    """Crops of another camera's photo, as the phone takes them."""
    pixels = np.asarray(halve(photo))
    for exposure in list_exposures(camera, CROPS_OF_DIV2K):
        yield simulate_phone(cut(pixels, PATCH_PX, random), exposure, camera, random)


def vary_pairs(pairs: Pairs, camera: PhoneCamera, random: np.random.Generator) -> Iterator[np.ndarray]:
    """The sources, their parts with another exposure, and the targets as the phone takes them."""
    exposures = random.permutation(list_exposures(camera, len(pairs.numbers)))
    for source, target, exposure in zip(
        pairs.source.permute(0, 2, 3, 1).numpy(), pairs.target.permute(0, 2, 3, 1).numpy(), exposures, strict=True
    ):
        yield source
        yield simulate_phone(target, exposure, camera, random)
        for _ in range(PARTS_OF_SOURCE):
            part = Image.fromarray(cut(source, int(random.integers(60, PATCH_PX + 1)), random))
            yield expose(np.asarray(part.resize((PATCH_PX, PATCH_PX), Image.Resampling.BICUBIC)), random)


def collect_sources(photos: dict[str, Image.Image], pairs: Pairs) -> torch.Tensor:
    """All sources, (N, 3, 100, 100) uint8; the same for the same photos and pairs."""
    random, camera = np.random.default_rng(SEED), read_camera()
    patches = [patch for name in HD_PHOTOS for patch in cut_phone_photo(photos[name], random)]
    patches += [patch for name in DIV2K_PHOTOS for patch in photograph(photos[name], camera, random)]
    patches += vary_pairs(pairs, camera, random)
    return torch.from_numpy(np.stack(patches).transpose(0, 3, 1, 2).copy())


def enhance(sources: torch.Tensor, teachers: list[tuple[nn.Module, float]]) -> torch.Tensor:
    """The weighted mean of the teachers' outputs, each clipped to [0, 1]: (N, 3, H, W) uint8 -> the same."""
    targets, total = [], sum(weight for _, weight in teachers)
    for batch in tqdm(sources.split(BATCH_SIZE), desc="teachers", unit="batch", disable=None):
        images = batch.float() / 255
        with torch.inference_mode():
            mean = sum(weight * teacher(images).clamp(0, 1) for teacher, weight in teachers) / total
        targets.append((mean * 255).round().byte())
    return torch.cat(targets)


def parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, metavar="FILE", help="safetensors, for --extra of reference.train")
    add("--assets", type=Path, metavar="DIR", help="mirror of the upstream files: DIR/OWNER/REPO/path")
    add("--student", type=Path, nargs="+", default=[], metavar="FILE", help="safetensors of reference.train")
    add("--folds", type=int, default=0, metavar="N", help="leave out every N-th training pair, ...")
    add("--fold", type=int, default=0, metavar="K", help="... from K on")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = parse_arguments(arguments)
    return run_command(lambda: distill(options))


def distill(options: argparse.Namespace) -> None:
    """Make the pairs, and write their file."""
    store = open_store(options.assets)
    photos = {name: Image.open(store.find(name)).convert("RGB") for name in HD_PHOTOS + DIV2K_PHOTOS}
    pairs, _ = split_pairs(read_pairs(store, torch.device("cpu")), options.folds, options.fold)
    sources = collect_sources(photos, pairs)
    teachers = [(load_published(name, store), weight) for name, weight in TEACHERS.items()]
    teachers += [(load_trained(path).module.eval(), STUDENT_WEIGHT) for path in options.student]
    targets = enhance(sources, teachers)
    write_atomically(options.out, save({"source": sources, "target": targets}))
    print(f"{options.out}: {len(sources)} pairs")


if __name__ == "__main__":
    raise SystemExit(main())
