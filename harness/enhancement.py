"""One image through one model: its input in the model's layout, and its output held against the rules."""

import numpy as np

from harness.errors import ModelError
from harness.isolation import ModelProcess
from harness.protocol import Ran

AGREEMENT = 1e-3
"""How far two outputs for one image may differ, of 1: a quarter of a level of 255. On a CPU they are equal."""


def prepare_source(image: np.ndarray, *, layout: str) -> np.ndarray:
    """A uint8 HxWx3 image as float32 in [0, 1] with a batch axis, NHWC or NCHW."""
    source = image[np.newaxis].astype(np.float32) / np.float32(255)
    return source.transpose(0, 3, 1, 2) if layout == "NCHW" else source


def enhance(process: ModelProcess, image: np.ndarray, *, layout: str, deadline_s: float, scale: int = 1) -> np.ndarray:
    """The model's output for a uint8 HxWx3 image: float32 of `scale` times its height and width, finite, not clipped.

    Raises ModelError when the model fails or its output breaks a rule.
    """
    process.put(prepare_source(image, layout=layout))
    return fetch_output(process, process.run(deadline_s=deadline_s), image.shape, layout=layout, scale=scale)


def fetch_output(process: ModelProcess, ran: Ran, shape: tuple[int, ...], *, layout: str, scale: int = 1) -> np.ndarray:
    """The output of the last run, on an image HxWx3, as float32 sHxsWx3; ModelError where it breaks a rule."""
    expected = arrange_shape((scale * shape[0], scale * shape[1], shape[2]), layout)
    if ran.shape != expected:
        rule = "both must be the same" if scale == 1 else f"it must be {expected}, {scale} times as high and wide"
        raise ModelError(
            f"its output has shape {ran.shape} for an input of {arrange_shape(shape, layout)}; {rule}.",
            stage="output",
            kind="wrong_shape",
        )
    output: np.ndarray = process.fetch(ran)[0]
    output = output.transpose(1, 2, 0) if layout == "NCHW" else output
    if not np.isfinite(output).all():
        count = int(output.size - np.isfinite(output).sum())
        raise ModelError(
            f"its output holds {count} values that are NaN or infinite; mend the model.",
            stage="output",
            kind="not_finite",
        )
    return output


def arrange_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape of a batch of one image HxWx3 in a layout."""
    height_px, width_px, channels = shape
    return (1, channels, height_px, width_px) if layout == "NCHW" else (1, height_px, width_px, channels)


def check_agreement(output: np.ndarray, other: np.ndarray, what: str) -> None:
    """Raise ModelError when two outputs for one image differ by more than AGREEMENT anywhere."""
    difference = float(np.abs(output - other).max())
    if difference > AGREEMENT:
        raise ModelError(
            f"the output of {what} is up to {difference:.3g} off that of an independent run on the same image; "
            "a model that draws random numbers has to declare its seed or draws.",
            stage="output",
            kind="not_repeatable",
        )
