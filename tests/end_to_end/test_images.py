"""Pictures that a run keeps: with the reports, only where they are wanted, and without harm to anything else."""

from collections.abc import Sequence

import models
import numpy as np
import pytest
from faults import kill_after, list_temporaries
from place import TINY, Place

from harness.showcase import read_showcase

RUN = ("run", *TINY, "--no-timing")


def list_pictures(place: Place) -> list[str]:
    return sorted(name for name in place.read_reports() if name.startswith(("images/", "figures/contact_sheet")))


def test_a_run_keeps_pictures_and_draws_their_sheets(place: Place) -> None:
    records = {path: path.read_bytes() for path in place.records.glob("*.json")}
    place.succeed(*RUN)
    reports = place.folder / "reports"
    assert {path: path.read_bytes() for path in records} == records
    assert [(p.kind, p.image) for p in read_showcase(reports, "pictures").pictures] == [
        *(("photo", "0"), ("pair", "0"), ("pair", "1"), ("pair", "2"))
    ]
    assert [p.image for p in read_showcase(reports, "embedded").pictures] == ["astronaut", "coffee", "motorcycle_left"]
    sheets = {f"figures/contact_sheet_{name}.{kind}" for name in ("pictures", "embedded") for kind in ("png", "svg")}
    assert sheets < set(list_pictures(place))
    before = place.read_reports()
    place.succeed(*RUN)
    assert place.read_reports() == before
    (reports / "figures" / "contact_sheet_pictures.png").unlink()
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    assert place.read_reports() == before


def test_no_images_keeps_none(place: Place, tiny_options: Sequence[str]) -> None:
    assert "--no-images" in tiny_options
    place.succeed("run", *tiny_options, "--again")
    assert list_pictures(place) == []


def test_pictures_of_the_embedded_set_itself(place: Place) -> None:
    place.succeed("run", "--challenge", "challenge/tiny.toml", "--dataset", "embedded", "--no-timing")
    names = [p.image for p in read_showcase(place.folder / "reports", "embedded").pictures]
    assert names[:3] == ["astronaut", "coffee", "motorcycle_left"]
    assert len(names) == 3 + 6
    place.succeed(*RUN)  # of another dataset, whose records keep these
    assert [p.image for p in read_showcase(place.folder / "reports", "embedded").pictures] == names


def test_a_damaged_list_is_made_anew(place: Place) -> None:
    place.succeed(*RUN)
    before = place.read_reports()
    (place.folder / "reports" / "images" / "pictures" / "showcase.json").write_text("{")
    place.succeed("leaderboard", "--challenge", "challenge/tiny.toml")
    place.succeed(*RUN)
    assert place.read_reports() == before


def test_a_folder_of_pictures_that_cannot_be_written_is_one_sentence(place: Place) -> None:
    (place.folder / "reports" / "images").write_text("a file")
    done = place.succeed(*RUN)
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("Pictures")]
    assert sentence.startswith("Pictures are not up to date: reports/images/pictures/showcase.json cannot be written")
    assert "good" in done.stdout


def test_a_failed_submission_has_no_pictures_and_the_others_have(place: Place) -> None:
    place.submit("bad", models.all_nan())
    place.refuse(3, *RUN)
    assert list(read_showcase(place.folder / "reports", "pictures").models) == ["good"]


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["parent", "child"])
def test_a_kill_leaves_pictures_that_the_next_run_completes(place: Place, victim: str) -> None:
    place.submit("late", models.brighten(0.06))
    place.succeed(*RUN)
    before = place.read_reports()
    random = np.random.default_rng(3)
    for delay_s in random.uniform(0.5, 5, 4):
        for path in (place.folder / "reports" / "images").rglob("showcase.json"):
            path.unlink()
        code, errors, _ = kill_after(place, delay_s, victim, *RUN)
        if victim == "child" and code == 0:
            assert errors.count("no pictures of ") <= 2
    place.succeed(*RUN)
    assert place.read_reports() == before
    assert list_temporaries(place) == []
