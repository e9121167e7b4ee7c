"""The table of metrics, and the input checks that all of them share."""

import numpy as np
import pytest

from harness.errors import UsageError
from harness.metrics import METRICS, Metric, get_metric

PAIR_METRICS = [metric for metric in METRICS if metric.needs_target]
IMAGE = np.linspace(0, 1, 16 * 16 * 3).reshape(16, 16, 3)

for_each_pair_metric = pytest.mark.parametrize("metric", PAIR_METRICS, ids=lambda metric: metric.name)


def test_table_is_complete_and_in_order():
    assert [metric.name for metric in METRICS] == ["psnr", "ssim", "ms_ssim", "niqe"]
    assert [metric.higher_is_better for metric in METRICS] == [True, True, True, False]
    assert [metric.needs_target for metric in METRICS] == [True, True, True, False]
    assert [metric.unit for metric in METRICS] == ["dB", "", "", ""]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_get_metric_finds_each_by_name(metric: Metric):
    assert get_metric(metric.name) is metric
    assert metric.source_url.startswith("https://")


def test_get_metric_lists_the_known_names():
    with pytest.raises(UsageError, match=r"'pnsr'.*psnr, ssim, ms_ssim, niqe"):
        get_metric("pnsr")


@for_each_pair_metric
@pytest.mark.parametrize("data_range", [0, -1, float("nan"), float("inf"), True, "255", None, 1j])
def test_data_range_must_be_a_number_above_zero(metric: Metric, data_range: object):
    with pytest.raises(ValueError, match=rf"data_range .*{data_range!r}"):
        metric.compute(IMAGE, IMAGE, data_range=data_range)


@for_each_pair_metric
def test_data_range_has_no_default(metric: Metric):
    with pytest.raises(TypeError, match="data_range"):
        metric.compute(IMAGE, IMAGE)


@for_each_pair_metric
@pytest.mark.parametrize("dtype", [bool, complex, object, "datetime64[s]"])
@pytest.mark.parametrize("name", ["output", "target"])
def test_dtype_must_be_a_number(metric: Metric, dtype: object, name: str):
    wrong = np.zeros(IMAGE.shape, dtype=dtype)
    images = {"output": IMAGE, "target": IMAGE, name: wrong}
    with pytest.raises(ValueError, match=rf"{name} .*got dtype {wrong.dtype.name.split('[')[0]}"):
        metric.compute(**images, data_range=1)


@for_each_pair_metric
@pytest.mark.parametrize("shape", [(16,), (16, 16, 1), (16, 16, 4), (1, 16, 16, 3), (0, 16, 3), (0, 0)])
def test_shape_must_be_an_image(metric: Metric, shape: tuple[int, ...]):
    wrong = np.zeros(shape)
    with pytest.raises(ValueError, match="output .*got shape " + str(shape).replace("(", r"\(").replace(")", r"\)")):
        metric.compute(wrong, wrong, data_range=1)


@for_each_pair_metric
@pytest.mark.parametrize(("dtype", "value"), [(np.float64, 1e300), (np.float64, -1e200)])
def test_squares_must_be_finite(metric: Metric, dtype: type, value: float):
    large = np.full((16, 16, 3), value, dtype)
    with pytest.raises(ValueError, match=r"finite squares, got 1e\+\d00"):
        metric.compute(large, np.zeros_like(large), data_range=255)


@for_each_pair_metric
@pytest.mark.parametrize("data_range", [1e300, 10**400, 1e-300])
def test_square_of_the_range_must_be_finite(metric: Metric, data_range: float):
    with pytest.raises(ValueError, match="data_range must be a finite number above 0"):
        metric.compute(IMAGE, IMAGE, data_range=data_range)


@for_each_pair_metric
def test_images_must_be_arrays(metric: Metric):
    with pytest.raises(ValueError, match="target must be a numpy array, got list"):
        metric.compute(IMAGE, IMAGE.tolist(), data_range=1)


@for_each_pair_metric
def test_shapes_must_match(metric: Metric):
    with pytest.raises(ValueError, match=r"\(16, 16, 3\) and \(16, 16\)"):
        metric.compute(IMAGE, IMAGE[..., 0], data_range=1)


@for_each_pair_metric
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["output", "target"])
def test_values_must_be_finite(metric: Metric, value: float, name: str):
    wrong = IMAGE.copy()
    wrong[3, 5, 1] = value
    images = {"output": IMAGE, "target": IMAGE, name: wrong}
    with pytest.raises(ValueError, match=rf"{name} must be finite, got {value} at \(3, 5, 1\)"):
        metric.compute(**images, data_range=1)


@for_each_pair_metric
def test_inputs_are_left_alone_and_a_float_comes_back(metric: Metric):
    output, target = IMAGE.copy(), IMAGE[::-1].copy()
    value = metric.compute(output, target, data_range=1)
    assert type(value) is float
    np.testing.assert_array_equal(output, IMAGE)
    np.testing.assert_array_equal(target, IMAGE[::-1])


@for_each_pair_metric
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_dtype_does_not_change_the_value(metric: Metric, dtype: type):
    output, target = np.round(IMAGE * 255), np.round(IMAGE[:, ::-1] * 255) // 2
    expected = metric.compute(output, target, data_range=255)
    assert metric.compute(output.astype(dtype), target.astype(dtype), data_range=255) == expected
