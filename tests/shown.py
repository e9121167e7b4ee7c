"""A reports folder with a page: records of a few submissions, one failed, and small pictures of their outputs."""

from pathlib import Path

import msgspec
import numpy as np
from PIL import Image
from stored import ALL, TEST, make_audit, make_failure, make_record

from harness.archive import locate_record, write_record
from harness.challenge import read_challenge
from harness.records import Record
from harness.reporting import write_leaderboard
from harness.showcase import Picture, Showcase, write_showcase

HOSTILE = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'> {{ 7 * 7 }} </script> **b**"


def make_records() -> list[Record]:
    """Three with results (one of a smaller split, one slow and flagged, one untimed), one that failed."""
    flagged = msgspec.structs.replace(
        make_record("slow_net", psnr=24.0, ms=900.0, seed=2), audit=make_audit(photo_difference=0.0)
    )
    return [
        make_record("fast_net", psnr=21.0, ms=50.0, title=HOSTILE, trained_on="elsewhere"),
        flagged,
        make_record("test_net", psnr=22.0, split="test", images=TEST, seed=3),
        make_record("untimed_net", psnr=23.0, ms=None),
        make_failure("broken_net", f"it crashed: {HOSTILE}", title=HOSTILE),
    ]


def make_reports(folder: Path) -> Path:
    """Records, pictures, and all that is made of them."""
    for record in make_records():
        write_record(locate_record(folder / "records", dataset="pirm2018b", name=record.submission.name), record)
    names = ["fast_net", "slow_net", "test_net"]
    pictures = [
        make_picture(folder, "street #1", "photo", (640, 360), names),
        *(make_picture(folder, image, "pair", (100, 100), names if image in TEST else names[:2]) for image in ALL),
    ]
    models = {record.submission.name: record.submission.sha256 for record in make_records()}
    shown = Showcase("pirm2018b", "d" * 64, tuple(pictures), {name: models[name] for name in names})
    write_showcase(folder, shown)
    write_leaderboard(folder, "pirm2018b", read_challenge("pirm2018b"))
    return folder


def make_picture(folder: Path, image: str, kind: str, size_px: tuple[int, int], names: list[str]) -> Picture:
    """Files of one colour each: source red, target green, outputs in greys."""
    places = {side: f"{kind}s/{side}/{image}.png" for side in ("source", "target", *names)}
    colours = {"source": (200, 0, 0), "target": (0, 200, 0)}
    for number, (side, place) in enumerate(places.items()):
        path = folder / "images" / "pirm2018b" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((size_px[1], size_px[0], 3), colours.get(side, (40 * number,) * 3), np.uint8)
        Image.fromarray(pixels).save(path)
    target = places["target"] if kind == "pair" else None
    return Picture(image, kind, *size_px, places["source"], target, {name: places[name] for name in names})  # type: ignore[arg-type]
