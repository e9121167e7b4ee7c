"""pirm2018b: the validation pack of PIRM 2018, track B: 400 pairs of 100x100 and four photos of 1280x720."""

from collections.abc import Mapping

from harness.assets import AssetStore, Progress
from harness.dataset import Dataset, open_files

PATCHES = "aiff22/ai-challenge/dped/patches"
PHOTOS = "aiff22/ai-challenge/dped/HD_res"
SPLITS: Mapping[str, tuple[str, ...]] = {
    "all": tuple(str(number) for number in range(400)),
    "test": tuple(str(number) for number in range(0, 400, 4)),
    "train": tuple(str(number) for number in range(400) if number % 4),
}
"""Ours: the challenge's pack has no splits. `test` is each fourth pair, `train` the other 300."""


def open_dataset(store: AssetStore, on_progress: Progress | None = None) -> Dataset:
    """The pairs and photos, fetched where they are missing."""
    store.fetch("pirm2018b", on_progress)
    names = SPLITS["all"]
    return open_files(
        "pirm2018b",
        "The 400 validation pairs of PIRM 2018 (DPED, iPhone to Canon) and its four photos.",
        SPLITS,
        {n: (store.find(f"{PATCHES}/iphone/{n}.jpg"), store.find(f"{PATCHES}/canon/{n}.jpg")) for n in names},
        {str(number): store.find(f"{PHOTOS}/{number}.png") for number in range(4)},
    )
