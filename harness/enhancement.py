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


def enhance(process: ModelProcess, image: np.ndarray, *, layout: str, deadline_s: float) -> np.ndarray:
    """The model's output for a uint8 HxWx3 image: float32 HxWx3 of the same size, finite, not clipped.

    Raises ModelError when the model fails or its output breaks a rule.
    """
    process.put(prepare_source(image, layout=layout))
    return fetch_output(process, process.run(deadline_s=deadline_s), image.shape, layout=layout)


def fetch_output(process: ModelProcess, ran: Ran, shape: tuple[int, ...], *, layout: str) -> np.ndarray:
    """The output of the last run as float32 HxWx3 of this shape; ModelError where it breaks a rule."""
    height_px, width_px, channels = shape
    expected = (1, channels, height_px, width_px) if layout == "NCHW" else (1, *shape)
    if ran.shape != expected:
        raise ModelError(
            f"its output has shape {ran.shape} for an input of {expected}; both must be the same.",
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
