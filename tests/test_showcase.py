"""The showcase's list: what is there is read, what leads elsewhere or is damaged is not."""

from pathlib import Path

import msgspec
import pytest
from stored import ALL, make_failure, make_pairs, make_record, replace_values

from harness.archive import locate_record, write_record
from harness.challenge import Challenge, read_challenge
from harness.errors import RecordError
from harness.showcase import (
    Picture,
    Showcase,
    find_extremes,
    identify_models,
    locate_images,
    read_results,
    read_showcase,
    select_outputs,
    write_showcase,
)

PAIR = Picture("7", "pair", 100, 100, "pairs/source/7.png", "pairs/target/7.png", {"a": "a/7.png", "b": "b/7.png"})
PHOTO = Picture("7", "photo", 1280, 720, "photos/source/7.jpg", None, {"a": "a/7.jpg"})
WHOLE = Showcase("pictures", "d" * 64, (PAIR, PHOTO), {"a": "1" * 64, "b": "2" * 64})
EMPTY = Showcase("pictures", "", (), {})


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder of reports with a showcase of two pictures, all files there."""
    write(tmp_path, WHOLE)
    return tmp_path


def write(reports_dir: Path, showcase: Showcase) -> None:
    for place in (place for picture in (PAIR, PHOTO) for place in picture.list_files()):
        path = locate_images(reports_dir, "pictures") / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_showcase(reports_dir, showcase)


def test_what_was_written_is_read(reports: Path) -> None:
    assert read_showcase(reports, "pictures") == WHOLE
    assert read_showcase(reports, "pictures", "d" * 64) == WHOLE


def test_none_is_an_empty_one(tmp_path: Path) -> None:
    assert read_showcase(tmp_path, "pictures") == EMPTY


def test_one_of_other_images_counts_as_none(reports: Path) -> None:
    assert read_showcase(reports, "pictures", "e" * 64) == msgspec.structs.replace(EMPTY, dataset_sha256="e" * 64)
    locate_images(reports, "pictures").rename(locate_images(reports, "others"))
    assert read_showcase(reports, "others").pictures == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        msgspec.json.encode(WHOLE)[:-20],
        msgspec.json.encode(WHOLE).replace(b'"width_px":100', b'"width_px":0'),
        msgspec.json.encode(WHOLE).replace(b'"kind":"pair"', b'"kind":"film"'),
        msgspec.json.encode(WHOLE).replace(b'"models"', b'"model"'),
    ],
)
def test_a_damaged_one_counts_as_none(reports: Path, content: bytes) -> None:
    (locate_images(reports, "pictures") / "showcase.json").write_bytes(content)
    assert read_showcase(reports, "pictures") == EMPTY


def test_a_folder_in_its_place_counts_as_none(tmp_path: Path) -> None:
    (locate_images(tmp_path, "pictures") / "showcase.json").mkdir(parents=True)
    assert read_showcase(tmp_path, "pictures") == EMPTY


@pytest.mark.parametrize("place", [PAIR.source, PAIR.target, PHOTO.source])
def test_a_picture_without_its_source_or_target_is_left_out(reports: Path, place: str) -> None:
    (locate_images(reports, "pictures") / place).unlink()
    left = PAIR if place == PHOTO.source else PHOTO
    assert read_showcase(reports, "pictures").pictures == (left,)


def test_an_output_whose_file_is_missing_is_left_out(reports: Path) -> None:
    (locate_images(reports, "pictures") / "b" / "7.png").unlink()
    showcase = read_showcase(reports, "pictures")
    assert showcase.pictures == (msgspec.structs.replace(PAIR, outputs={"a": "a/7.png"}), PHOTO)
    assert list(showcase.models) == ["a"]


@pytest.mark.parametrize("place", ["../../secret.png", "a/../../../secret.png", "", ".", "link.png", "a\0b", "x" * 999])
def test_a_path_that_leads_elsewhere_names_no_file(reports: Path, place: str) -> None:
    (reports / "secret.png").touch()
    (locate_images(reports, "pictures") / "link.png").symlink_to(reports / "secret.png")
    for picture in (
        msgspec.structs.replace(PAIR, source=place),
        msgspec.structs.replace(PAIR, target=place),
        msgspec.structs.replace(PAIR, outputs={"a": place}),
    ):
        write(reports, msgspec.structs.replace(WHOLE, pictures=(picture,)))
        assert read_showcase(reports, "pictures").pictures == ()


def test_an_absolute_path_is_refused_even_within_the_folder(reports: Path) -> None:
    inside = str((locate_images(reports, "pictures") / PAIR.source).resolve())
    write(reports, msgspec.structs.replace(WHOLE, pictures=(msgspec.structs.replace(PAIR, source=inside),)))
    assert read_showcase(reports, "pictures").pictures == ()


def test_outputs_of_known_models_alone() -> None:
    known = {("a", "1" * 64), ("b", "9" * 64)}
    selected = select_outputs(WHOLE, known)
    assert selected.models == {"a": "1" * 64}
    assert selected.pictures == (msgspec.structs.replace(PAIR, outputs={"a": "a/7.png"}), PHOTO)
    assert select_outputs(WHOLE, {("b", "2" * 64)}).pictures == (
        msgspec.structs.replace(PAIR, outputs={"b": "b/7.png"}),
    )
    assert select_outputs(WHOLE, set()) == msgspec.structs.replace(WHOLE, pictures=(), models={})


def test_the_free_dataset_shows_models_with_a_record_of_any_dataset(tmp_path: Path) -> None:
    records = {"pictures": [make_record("a"), make_failure("c", "it crashed")], "embedded": [make_record("b")]}
    for dataset, stored in records.items():
        for record in stored:
            write_record(locate_record(tmp_path, dataset=dataset, name=record.submission.name), record)
    names = {
        dataset: {name for name, _ in identify_models(read_results(tmp_path, dataset))}
        for dataset in ("pictures", "embedded", "none")
    }
    assert names == {"pictures": {"a"}, "embedded": {"a", "b"}, "none": set()}
    (tmp_path / "pictures" / "d.json").write_text("{")
    with pytest.raises(RecordError, match=r"d\.json is no whole record"):
        read_results(tmp_path, "embedded")


# --- the worst and the best


@pytest.fixture
def challenge() -> Challenge:
    return read_challenge("pirm2018b")


def test_extremes_are_the_three_worst_and_best_by_psnr(challenge: Challenge) -> None:
    worst, best = find_extremes(make_record(), challenge)
    psnr_db = {pair.image: pair.values["psnr"] for pair in make_pairs(ALL)}
    assert [psnr_db[image] for image in worst] == sorted(psnr_db.values())[:3]
    assert [psnr_db[image] for image in best] == sorted(psnr_db.values())[:-4:-1]


def test_an_infinite_value_is_the_best(challenge: Challenge) -> None:
    _, best = find_extremes(replace_values(make_record(), {"4": {"psnr": None}}), challenge)
    assert best[0] == "4"


def test_where_less_is_better_the_largest_is_the_worst(challenge: Challenge) -> None:
    metric = msgspec.structs.replace(challenge.metrics[2], images="pairs")
    pairs = [msgspec.structs.replace(pair, values={"niqe": pair.values["psnr"]}) for pair in make_pairs(ALL)]
    worst, best = find_extremes(make_record(pairs=pairs), msgspec.structs.replace(challenge, metrics=(metric,)))
    assert (best, worst) == find_extremes(make_record(), challenge)


def test_no_metric_of_pairs_and_no_result_have_none(challenge: Challenge) -> None:
    photos_alone = msgspec.structs.replace(challenge, metrics=challenge.metrics[2:])
    assert find_extremes(make_record(), photos_alone) == ((), ())
    assert find_extremes(make_failure("a", "it crashed"), challenge) == ((), ())
    unmeasured = [msgspec.structs.replace(pair, values={"ms_ssim": 0.9}) for pair in make_pairs(ALL)]
    assert find_extremes(make_record(pairs=unmeasured), challenge) == ((), ())
