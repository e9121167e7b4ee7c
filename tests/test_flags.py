"""Which behaviour is flagged, which is not, and which submissions are copies."""

import msgspec
import pytest
from stored import make_audit, make_failure, make_record

from harness.flags import find_flags, find_twins
from harness.records import SizedRuns

replace = msgspec.structs.replace


def test_honest_behaviour_is_not_flagged() -> None:
    assert find_flags(replace(make_record(), audit=make_audit())) == ()


def test_what_was_not_audited_is_not_flagged() -> None:
    assert find_flags(make_record()) == ()
    assert find_flags(replace(make_record(ms=None), audit=make_audit(photo_difference=0.0))) == ()
    assert find_flags(make_failure("a", "It failed.")) == ()


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        ({"repeated_ns": (50_000_000, 100_000_000)}, "is 2.0 times as fast on a photo that it has just seen"),
        (
            {"beside": SizedRuns(1264, 704, (300_000_000, 200_000_000))},
            "takes 2.1 times as long for each pixel at 1264x704 as at 1280x720",
        ),
        (
            {"half": SizedRuns(640, 360, (100_000_000, 50_000_000))},
            "takes 2.0 times as long for each pixel at 640x360 as at 1280x720",
        ),
        ({"beside_difference": 0.02}, "gives another picture at 1264x704 than at 1280x720 (0.020 of 1 apart)"),
        ({"tiled_psnr_db": 18.0}, "loses 4.0 dB of PSNR where the pairs are shown side by side at 1280x720"),
        ({"photo_difference": 0.001}, "gives nearly the same output for different photos"),
        ({"control_flow": ("If", "Loop")}, "holds If, Loop, so that what it computes may depend on its input"),
    ],
)
def test_each_oddity_is_flagged(change: dict[str, object], phrase: str) -> None:
    assert find_flags(replace(make_record(), audit=make_audit(**change))) == (phrase,)


@pytest.mark.parametrize(
    "change",
    [
        {"fresh_ns": (500_000_000, 100_000_000)},  # the first run of all is slower
        {"repeated_ns": (85_000_000, 85_000_000)},
        {"half": SizedRuns(640, 360, (35_000_000,))},
        {"tiled_psnr_db": 20.0},  # normalisation over a whole image: up to 2.1 dB in the reference submissions
        {"tiled_psnr_db": 25.0},
        {"alone_psnr_db": None, "tiled_psnr_db": None},
        {  # one multiplication: most of its time is that of the call, at any size, and of a picture not in the cache
            "fresh_ns": (900_000, 800_000),
            "repeated_ns": (300_000, 300_000),
            "beside": SizedRuns(1264, 704, (2_500_000, 2_100_000)),
            "half": SizedRuns(640, 360, (500_000, 450_000)),
        },
    ],
)
def test_what_honest_models_do_is_not(change: dict[str, object]) -> None:
    assert find_flags(replace(make_record(), audit=make_audit(**change))) == ()


def test_copies_are_named() -> None:
    one, two = (make_record(name, seed=1, sha256="f" * 64) for name in ("one", "two"))
    other = make_record("other", seed=2)
    assert find_twins([one, two, other]) == ("one and two are the same file.",)
    renamed = replace(two, submission=replace(two.submission, sha256="d" * 64))
    assert find_twins([one, renamed, other]) == ("one and two give the same values on every image.",)
    assert find_twins([one, other]) == ()
    assert find_twins([make_failure("a", "It failed."), make_failure("b", "It failed.")]) == ()
