"""A worker's own side: what it refuses to compute with, and how it sets up what the client has."""

import dataclasses
import socket
from collections.abc import Callable
from pathlib import Path

import models
import pytest

from harness import worksite
from harness.cluster import locate_dataset, merge_layers, write_orders
from harness.errors import DataError, DisturbedError, UsageError
from harness.job import Evaluation, Parcel
from harness.submission import SubmissionFolder
from harness.tasks import Checked, check_model

HOST = socket.gethostname()


@pytest.fixture
def orders(evaluation: Evaluation, tmp_path: Path) -> worksite.Orders:
    return write_orders(evaluation, str(tmp_path / "pictures"))


def test_a_worker_sets_up_what_the_client_has(orders: worksite.Orders, evaluation: Evaluation) -> None:
    there = worksite.set_up(orders)
    assert there.dataset.sha256 == evaluation.dataset.sha256
    assert [metric.chosen for metric in there.metrics] == [metric.chosen for metric in evaluation.metrics]
    assert (there.threads, there.challenge, there.plan) == (1, evaluation.challenge, None)


def test_the_same_orders_have_the_same_key(orders: worksite.Orders, evaluation: Evaluation, tmp_path: Path) -> None:
    assert write_orders(evaluation, str(tmp_path / "pictures")).key == orders.key
    assert write_orders(dataclasses.replace(evaluation, threads=2), str(tmp_path / "pictures")).key != orders.key


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"dataset_sha256": "0"}, DataError, f"the dataset pictures on the worker {HOST} holds other images than here"),
        ({"dataset": "/not/there"}, DataError, f"on the worker {HOST}: unknown dataset '/not/there'"),
        ({"metrics": ("psnr",)}, DataError, f"on the worker {HOST} the metrics are others than here"),
    ],
)
def test_what_is_not_the_clients_is_refused(
    orders: worksite.Orders, changes: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        worksite.set_up(dataclasses.replace(orders, **changes))
    assert str(caught.value).startswith(words)


def test_other_code_is_refused(orders: worksite.Orders) -> None:
    worksite.check_code(orders)
    other = dataclasses.replace(orders, code=orders.code | {"numpy": "1.0"})
    with pytest.raises(UsageError, match=rf"the worker on {HOST} has numpy \S+, not 1\.0; install there"):
        worksite.check_code(other)
    assert worksite.find_other_code({"a": "1"}, {"a": "1", "b": "2"}) == "b missing, not 2"
    assert worksite.find_other_code({"a": "1", "b": "2"}, {"a": "1"}) == "b 2, not missing"


def test_a_task_gets_its_model_and_leaves_nothing(
    orders: worksite.Orders, submit: Callable[..., SubmissionFolder], scratch: Path
) -> None:
    folder = submit(models.brighten())
    cargo = worksite.Cargo(orders, folder.manifest)
    try:
        checked = worksite.run_task(cargo, {"model.onnx": folder.model_path.read_bytes()}, check_model)
        assert isinstance(checked, Checked)
        assert checked.submission.name == "a"
        own = Path(worksite.open_scratch().name)
        assert list(scratch.iterdir()) == [own]
        assert own.is_dir()
    finally:
        worksite.open_scratch().cleanup()
        worksite.open_scratch.cache_clear()
        worksite._opened.clear()


def test_whatever_goes_wrong_can_travel(
    orders: worksite.Orders, submit: Callable[..., SubmissionFolder], scratch: Path
) -> None:
    class Local(Exception):
        """Cannot be unpickled elsewhere."""

    def fail(parcel: Parcel) -> None:
        raise Local("oh")

    folder = submit(models.brighten())
    try:
        with pytest.raises(DisturbedError, match=rf"a task failed on the worker {HOST} \(Local: oh\); see its log\."):
            worksite.run_task(worksite.Cargo(orders, folder.manifest), {}, fail)
    finally:
        worksite.open_scratch().cleanup()
        worksite.open_scratch.cache_clear()
        worksite._opened.clear()


def test_a_layer_is_on_where_it_is_on_everywhere() -> None:
    answers = [{"a": "on", "b": "on"}, {"a": "off: old", "b": "on"}, {"a": "on", "b": "on"}]
    assert merge_layers(answers) == {"a": "off: old", "b": "on"}


def test_a_folder_is_found_by_its_whole_path(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate_dataset("pictures", evaluation.dataset) == str(tmp_path / "pictures")
    assert locate_dataset("s3://bucket/pictures", evaluation.dataset) == "s3://bucket/pictures"
    assert locate_dataset(None, evaluation.dataset) == "pictures"
