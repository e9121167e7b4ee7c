"""One image through one model: its input in the model's layout, and its output held against the rules."""

import numpy as np

from harness.errors import ModelError
from harness.isolation import ModelProcess


def prepare_source(image: np.ndarray, *, layout: str) -> np.ndarray:
    """A uint8 HxWx3 image as float32 in [0, 1] with a batch axis, NHWC or NCHW."""
    source = image[np.newaxis].astype(np.float32) / np.float32(255)
    return source.transpose(0, 3, 1, 2) if layout == "NCHW" else source


def enhance(process: ModelProcess, image: np.ndarray, *, layout: str, deadline_s: float) -> np.ndarray:
    """The model's output for a uint8 HxWx3 image: float32 HxWx3 of the same size, finite, not clipped.

    Raises ModelError when the model fails or its output breaks a rule.
    """
    source = prepare_source(image, layout=layout)
    process.put(source)
    ran = process.run(deadline_s=deadline_s)
    if ran.shape != source.shape:
        raise ModelError(
            f"its output has shape {ran.shape} for an input of {source.shape}; both must be the same.",
            stage="output",
            kind="wrong_shape",
        )
    output: np.ndarray = process.fetch(ran)[0]
    output = output.transpose(1, 2, 0) if layout == "NCHW" else output
    if not np.isfinite(output).all():
        count = int(output.size - np.isfinite(output).sum())
        raise ModelError(
            f"its output holds {count} values that are NaN or infinite.", stage="output", kind="not_finite"
        )
    return output
