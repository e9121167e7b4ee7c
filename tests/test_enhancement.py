"""One image through one model: into its layout, and back out of it."""

from pathlib import Path

import models
import numpy as np
import onnx
import pytest

from harness.enhancement import enhance, prepare_source
from harness.isolation import ModelProcess


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_an_image_goes_in_as_float32_from_0_to_1(layout: str) -> None:
    image = np.random.default_rng(1).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    source = prepare_source(image, layout=layout)
    assert source.dtype == np.float32
    assert source.shape == ((1, 6, 4, 3) if layout == "NHWC" else (1, 3, 6, 4))
    channels_last = source[0] if layout == "NHWC" else source[0].transpose(1, 2, 0)
    np.testing.assert_array_equal(channels_last, image.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(
    ("model", "layout", "order"),
    [(models.identity(), "NHWC", [0, 1, 2]), (models.identity_nchw(), "NCHW", [2, 1, 0])],
)
def test_the_output_comes_back_as_rows_columns_channels(
    tmp_path: Path, model: onnx.ModelProto, layout: str, order: list[int]
) -> None:
    image = np.random.default_rng(1).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    with ModelProcess(memory_limit_bytes=500_000_000) as process:
        path = models.save(model, tmp_path / "model.onnx")
        process.load(path, runtime="onnx", threads=1, deadline_s=60)
        output = enhance(process, image, layout=layout, deadline_s=60)
    np.testing.assert_array_equal(output, image[:, :, order].astype(np.float32) / np.float32(255))
