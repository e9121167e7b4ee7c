"""What a record may hold: whatever JSON cannot, or what contradicts itself, is refused when it is made."""

import math

import msgspec
import pytest
from stored import PROFILES, TEST, make_failure, make_pairs, make_record, make_timing

from harness.records import Failure, ImageScore, Quality, Record

replace = msgspec.structs.replace


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"psnr of image 7 is -?(nan|inf), it must be finite"):
        ImageScore("7", {"psnr": value})


def test_only_psnr_may_be_infinite() -> None:
    assert ImageScore("7", {"psnr": None}).values == {"psnr": None}
    with pytest.raises(ValueError, match="niqe of image 7 is null, only psnr can be infinite"):
        ImageScore("7", {"niqe": None})


def test_why_nan_has_to_be_refused() -> None:
    """msgspec writes it as null, which would come back as an infinite PSNR."""
    assert msgspec.json.encode(math.nan) == b"null"


def test_image_listed_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="an image is listed twice"):
        Quality("d", "", "", "all", PROFILES, tuple(make_pairs(["1", "1"])), ())


def test_metric_that_some_images_lack_is_refused() -> None:
    pairs = (ImageScore("1", {"psnr": 20.0, "ms_ssim": 0.9}), ImageScore("2", {"psnr": 20.0}))
    with pytest.raises(ValueError, match="a metric is missing for some of the images"):
        Quality("d", "", "", "all", PROFILES, pairs, ())


def test_a_value_without_a_profile_is_refused() -> None:
    with pytest.raises(ValueError, match="ms_ssim has no profile"):
        Quality("d", "", "", "all", {"psnr": "pirm-b"}, tuple(make_pairs(["1", "2"])), ())


def test_time_needs_the_baseline_of_every_block() -> None:
    timing = make_timing(100.0)
    with pytest.raises(ValueError, match="as many rows"):
        replace(timing, baseline_samples_ns=timing.baseline_samples_ns[1:])


def test_record_holds_a_result_or_a_failure() -> None:
    record, failed = make_record(), make_failure("beta", "it crashed")
    failure = Failure("run", "crash", "it crashed")
    contradictions: list[tuple[Record, dict[str, object]]] = [
        (record, {"status": "failed"}),
        (record, {"failure": failure}),
        (record, {"quality": None}),
        (record, {"status": "failed", "failure": failure}),
        (failed, {"status": "ok"}),
        (failed, {"failure": None}),
    ]
    for start, change in contradictions:
        with pytest.raises(ValueError, match="does not fit: 'ok' goes with quality, any other with failure"):
            replace(start, **change)


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        make_record(images=TEST).status = "failed"  # type: ignore[misc]
