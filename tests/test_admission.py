"""Before a model runs: which split may judge it."""

import pytest

from harness.admission import choose_split
from harness.dataset import Dataset
from harness.errors import UsageError
from harness.submission import Manifest

SPLITS = {"all": ("0", "1", "2", "3"), "test": ("0",), "train": ("1", "2", "3")}


def make_dataset(name: str = "pirm2018b") -> Dataset:
    def refuse(name: str) -> object:
        raise AssertionError("no picture is needed to choose a split")

    return Dataset(name, "", "", SPLITS, (), refuse, refuse)  # type: ignore[arg-type]


def make_manifest(trained_on: str) -> Manifest:
    return Manifest(name="a", title="A", trained_on=trained_on)


@pytest.mark.parametrize(
    ("trained_on", "dataset", "split"),
    [
        ("pirm2018b/train", "pirm2018b", "test"),
        ("pirm2018b/test", "pirm2018b", "train"),
        ("pirm2018b/train", "embedded", "all"),
        ("DPED training set (160k patches)", "pirm2018b", "all"),
        ("nothing", "pirm2018b", "all"),
    ],
)
def test_the_largest_split_that_was_not_trained_on_is_taken(trained_on: str, dataset: str, split: str) -> None:
    assert choose_split(make_manifest(trained_on), make_dataset(dataset), None) == split


@pytest.mark.parametrize("requested", ["all", "train"])
def test_a_split_that_was_trained_on_is_refused(requested: str) -> None:
    with pytest.raises(UsageError, match=f"a was trained on pirm2018b/train, which shares images .* '{requested}'"):
        choose_split(make_manifest("pirm2018b/train"), make_dataset(), requested)
    assert choose_split(make_manifest("pirm2018b/train"), make_dataset(), "test") == "test"
    assert choose_split(make_manifest("nothing"), make_dataset(), requested) == requested


def test_nothing_is_left_for_what_was_trained_on_all() -> None:
    with pytest.raises(UsageError, match="no split of pirm2018b is left"):
        choose_split(make_manifest("pirm2018b/all"), make_dataset(), None)


@pytest.mark.parametrize("trained_on", ["pirm2018b", "pirm2018b/", "pirm2018b/trian"])
def test_a_split_that_is_not_there_cannot_hide_what_was_trained_on(trained_on: str) -> None:
    with pytest.raises(UsageError, match="names no split of the dataset; it has pirm2018b/all, pirm2018b/test"):
        choose_split(make_manifest(trained_on), make_dataset(), None)


def test_an_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="all, test, train"):
        choose_split(make_manifest("nothing"), make_dataset(), "tset")
