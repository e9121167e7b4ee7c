"""One image pair by every library: what stands in the table, and why a value differs."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from tiny import save_picture

from harness import agreement
from harness.agreement import Agreement, Row, compare_files, compare_images, explain
from harness.assets import AssetStore, open_store
from harness.commands.images import read_arguments, show_agreement
from harness.errors import DataError, UsageError
from harness.peers import Images, Implementation, Library
from harness.render.agreement import describe_missing, render_agreement

CALIBRATION = Path("chaofengc/IQA-PyTorch/ResultsCalibra")
RANDOM = np.random.default_rng(3)
TARGET = RANDOM.integers(0, 256, (200, 208, 3), dtype=np.uint8)
OUTPUT = np.clip(TARGET + RANDOM.integers(-9, 10, TARGET.shape), 0, 255).astype(np.uint8)


def find(rows: tuple[Row, ...], metric: str, name: str) -> Row:
    return next(row for row in rows if (row.metric, row.name) == (metric, name))


def has_explained(row: Row) -> bool:
    return row.value is None or row.name.startswith("harness") or row.reason not in ("", "not explained")


@pytest.mark.assets
@pytest.mark.slow
@pytest.mark.parametrize("name", ["I04", "I08"])
def test_every_difference_on_the_calibration_images_is_explained(assets_dir: Path, name: str) -> None:
    store, folder = AssetStore(mirror=assets_dir), assets_dir / CALIBRATION
    image, target = (folder / side / f"{name}.bmp" for side in ("dist_dir", "ref_dir"))
    pair, alone = compare_files(image, target, store).rows, compare_files(image, None, store).rows
    assert {row.metric for row in pair} == {"psnr", "ssim", "ms_ssim"}
    assert {row.metric for row in alone} == {"niqe"}
    assert [row for row in (*pair, *alone) if not has_explained(row)] == []
    scikit = find(pair, "ssim", "scikit-image")
    assert scikit.value == pytest.approx(find(pair, "ssim", "harness, RGB").value, abs=1e-8)
    assert abs(find(pair, "psnr", "cv2").difference or 0) < 1e-9
    if name == "I08":  # where a contrast term is negative: pyiqa takes it as 0
        assert find(pair, "ssim", "pyiqa").difference == pytest.approx(1.92e-4, abs=1e-5)
        assert "ReLU" in find(pair, "ssim", "pyiqa").reason
        assert find(pair, "ssim", "piq").reason == "float32 rounds"


def test_images_that_are_too_small_for_a_metric_have_no_value_but_a_reason() -> None:
    rows = compare_images(OUTPUT[:120, :120], TARGET[:120, :120], pristine=None).rows
    assert find(rows, "ms_ssim", "harness, pirm-b").value is not None  # its window shrinks
    row = find(rows, "ms_ssim", "harness, grey")
    assert row.value is None
    assert "176" in row.reason
    assert find(rows, "psnr", "scikit-image").difference == pytest.approx(0, abs=1e-6)


def test_identical_images_do_not_differ() -> None:
    rows = compare_images(TARGET, TARGET, pristine=None).rows
    assert find(rows, "psnr", "harness, RGB").value == np.inf
    assert find(rows, "psnr", "scikit-image").reason == "the same"


def test_pyiqa_reads_a_pristine_model_of_either_format(tmp_path: Path) -> None:
    pytest.importorskip("pyiqa")
    random = np.random.default_rng(0)
    values = {"mu_pris_param": random.normal(size=(1, 36)), "cov_pris_param": np.eye(36)}
    np.savez(tmp_path / "niqe_pris_params.npz", **values)
    rows = compare_images(TARGET, None, pristine=tmp_path / "niqe_pris_params.npz").rows
    ours = find(rows, "niqe", "harness, 8 bits").value
    assert find(rows, "niqe", "pyiqa").value == pytest.approx(ours, rel=1e-3)


def test_where_no_library_has_a_value_it_is_said(tmp_path: Path) -> None:
    path = save_picture(tmp_path / "small.png", TARGET[:60, :60])
    with pytest.raises(DataError, match=r"no library has a value for .*small\.png; the table says why"):
        show_agreement(path, None, None)


def test_what_a_library_stumbles_over_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> float:
        raise RuntimeError("no such thing")

    def bind(images: Images) -> Iterator[Implementation]:
        yield Implementation("psnr", "odd", lambda: 7.0)
        yield Implementation("ssim", "odd", refuse)
        raise ImportError("libodd.so is missing")

    odd, absent = Library("odd", "json", bind), Library("absent", "no_such_module", bind)
    monkeypatch.setattr(agreement, "LIBRARIES", (odd, absent))
    found = compare_images(OUTPUT, TARGET, pristine=None)
    assert find(found.rows, "psnr", "odd").reason == "not explained"
    assert find(found.rows, "ssim", "odd").reason == "no such thing"
    assert [row.reason for row in found.rows if "libodd" in row.reason] == ["libodd.so is missing"]
    assert found.missing == ("absent",)
    assert describe_missing(found) == "Not installed: absent."


def test_an_explanation_is_as_small_as_the_difference() -> None:
    assert explain("ssim", 1e-12, "windows") == "the same"
    assert explain("ssim", 1e-6, "windows") == "float32 rounds"
    assert explain("ssim", 1e-3, "windows") == "windows"
    assert explain("ssim", 1e-3, "") == "not explained"


def test_the_table_has_what_was_compared() -> None:
    rows = (
        Row("ssim", "harness, RGB", 0.9),
        Row("ssim", "odd[red]", 0.91, "RGB", 0.01, "windows"),
        Row("niqe", "harness, 8 bits", None, reason="too small"),
    )
    console = Console(width=100)
    with console.capture() as capture:
        console.print(render_agreement(Agreement(rows, ())))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert "metric by value less ours held against why" in lines
    assert "SSIM harness, RGB 0.900000" in lines
    assert "odd[red] 0.910000 +1.0e-02 RGB windows" in lines
    assert "NIQE ↓ harness, 8 bits - too small" in lines
    assert describe_missing(Agreement(rows, ())) == ""


def test_files_of_two_sizes_are_one_sentence(tmp_path: Path) -> None:
    image, target = save_picture(tmp_path / "a.png", OUTPUT), save_picture(tmp_path / "b.png", TARGET[:100])
    with pytest.raises(DataError, match=r"a\.png and .*b\.png differ in size \(208x200 and 208x100\)"):
        compare_files(image, target, open_store())
    with pytest.raises(DataError, match=r"cannot read the image .*missing\.png"):
        compare_files(tmp_path / "missing.png", None, open_store())


def test_arguments_are_a_name_and_images() -> None:
    assert read_arguments(["niqe", "a.png"], compare=False) == ("niqe", Path("a.png"), None)
    assert read_arguments(["a.png", "b.png"], compare=True) == ("", Path("a.png"), Path("b.png"))
    for files, compare in ((["psnr"], False), (["a", "b", "c"], True), (["psnr", ""], False)):
        with pytest.raises(UsageError, match=r"takes one image or two"):
            read_arguments(files, compare=compare)


@pytest.mark.slow
def test_command_prints_the_table(tmp_path: Path) -> None:
    files = [str(save_picture(tmp_path / f"{name}.png", image)) for name, image in (("a", OUTPUT), ("b", TARGET))]
    command = [sys.executable, "-m", "harness", "metric", "--compare", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "scikit-image" in done.stdout
    assert "harness, pirm-b" in done.stdout
    assert done.stderr == ""
    refused = subprocess.run([*command, "--profile", "wang"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
