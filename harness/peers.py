"""What other libraries make of the same images: PSNR, SSIM, MS-SSIM and NIQE of every one that is installed.

Each is called as its documentation says, with images in the form that it wants. What is known to set its values apart
from this package's stands beside it. To add one: a function, and a line of LIBRARIES.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io

from harness.metrics.bridge import import_pyiqa
from harness.metrics.niqe import load_pristine_model
from harness.metrics.profiles import quantize

Image = np.ndarray
Compute = Callable[[], float]

BEYOND = "windows reach beyond the border"
RELU = "a ReLU: no contrast term below 0, of any pixel"
MEANS = "a ReLU: no mean below 0"
ODD = "odd sizes are padded otherwise"
EPSILON = "a small number is added to the error"


@dataclass(frozen=True)
class Images:
    """Float32 HxWx3 in [0, 1]; no target for metrics that take none; pristine: NIQE's model file."""

    output: Image
    target: Image | None = None
    pristine: Path | None = None

    @property
    def pair(self) -> tuple[Image, Image] | None:
        """Both, where there are two."""
        return None if self.target is None else (self.output, self.target)

    def note_odd(self, *others: str) -> str:
        """Notes, with one on sizes of which MS-SSIM halves an odd one."""
        odd = any(size % 16 for size in self.output.shape[:2])
        return "; ".join([*others, *([ODD] if odd else [])])


@dataclass(frozen=True)
class Implementation:
    """One metric of one library on given images, which it has in its own form already.

    convention: which of this package's ways to compute that metric comes nearest (`agreement.CONVENTIONS`); note: what
    sets it apart from that one, in a few words.
    """

    metric: str
    name: str
    compute: Compute
    convention: str = "RGB"
    note: str = ""


Implementations = Iterator[Implementation]


@dataclass(frozen=True)
class Library:
    """A package by its name on the package index, and the module to be imported."""

    name: str
    module: str
    bind: Callable[[Images], Implementations]

    @property
    def is_installed(self) -> bool:
        """Whether it can be found; nothing is imported."""
        return importlib.util.find_spec(self.module) is not None


def bind_scikit_image(images: Images) -> Implementations:
    """In float64: what is float32 stays so there."""
    from skimage import metrics

    if images.pair is None:
        return
    x, y = (image.astype(np.float64) for image in images.pair)
    yield Implementation("psnr", "scikit-image", lambda: float(metrics.peak_signal_noise_ratio(y, x, data_range=1)))
    yield Implementation("ssim", "scikit-image", lambda: compute_scikit_ssim(x, y))


def compute_scikit_ssim(output: Image, target: Image) -> float:
    """With the window and the variances of the paper, which are not its defaults."""
    from skimage import metrics

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(metrics.structural_similarity(target, output, data_range=1, channel_axis=2, **options))


def bind_cv2(images: Images) -> Implementations:
    """PSNR takes 8 bits only; for SSIM it has the filters."""
    cv2 = importlib.import_module("cv2")

    if images.pair is None:
        return
    x8, y8 = (quantize(image) for image in images.pair)
    x, y = (image.astype(np.float64) for image in images.pair)
    yield Implementation("psnr", "cv2", lambda: float(cv2.PSNR(x8, y8)))
    yield Implementation("ssim", "cv2 (its filters)", lambda: compute_cv2_ssim(x, y), note=BEYOND)


def compute_cv2_ssim(x: Image, y: Image) -> float:
    """The formula over its Gaussian filter."""
    cv2 = importlib.import_module("cv2")
    c1, c2 = 0.01**2, 0.03**2

    def blur(image: Image) -> Any:
        return cv2.GaussianBlur(image, (11, 11), 1.5)

    mu_x, mu_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mu_x * mu_x, blur(y * y) - mu_y * mu_y
    above = (2 * mu_x * mu_y + c1) * (2 * (blur(x * y) - mu_x * mu_y) + c2)
    return float(np.mean(above / ((mu_x * mu_x + mu_y * mu_y + c1) * (var_x + var_y + c2))))


def to_tensors(pair: tuple[Image, ...]) -> tuple[Any, ...]:
    """NCHW tensors of torch."""
    import torch

    return tuple(torch.from_numpy(image.transpose(2, 0, 1)[np.newaxis].copy()) for image in pair)


def bind_pyiqa(images: Images) -> Implementations:
    """First of those that need torchvision, which it makes importable."""
    pyiqa = import_pyiqa()
    if images.pair is not None:
        x, y = to_tensors(images.pair)
        notes = {
            "psnr": ("RGB", EPSILON),
            "ssim": ("grey", RELU),
            "ms_ssim": ("grey", images.note_odd(RELU)),
        }
        for name, (convention, note) in notes.items():
            model = pyiqa.create_metric(name, device="cpu")
            yield Implementation(name, "pyiqa", partial(call_model, model, x, y), convention, note)
    if images.pristine is not None:
        known = load_pristine_model(images.pristine)
        with tempfile.TemporaryDirectory() as folder:  # it reads LIVE's format alone
            path = Path(folder) / "pristine.mat"
            io.savemat(path, {"mu_prisparam": known.mean[np.newaxis], "cov_prisparam": known.covariance})
            model = pyiqa.create_metric("niqe", device="cpu", pretrained_model_path=str(path))
            compute = partial(call_model, model, *to_tensors((images.output,)))
            yield Implementation("niqe", "pyiqa", compute, "8 bits", "float32, whose noise counts in flat regions")


def call_model(model: Any, *images: Any) -> float:
    """A model's value."""
    return float(model(*images))


def bind_piq(images: Images) -> Implementations:
    """Of its SSIM without the scaling that it does beforehand."""
    piq = import_beside_torchvision("piq")
    if images.pair is None:
        return
    x, y = to_tensors(images.pair)
    yield Implementation("psnr", "piq", lambda: float(piq.psnr(x, y)), note=EPSILON)
    yield Implementation("ssim", "piq", lambda: float(piq.ssim(x, y, downsample=False)))
    multiscale = partial(call_model, piq.multi_scale_ssim, x, y)
    yield Implementation("ms_ssim", "piq", multiscale, "a channel each", images.note_odd(MEANS))


def bind_torchmetrics(images: Images) -> Implementations:
    """Its functional forms."""
    image = import_beside_torchvision("torchmetrics.functional.image")
    if images.pair is None:
        return
    x, y = to_tensors(images.pair)
    compute_ssim = image.structural_similarity_index_measure
    compute_multiscale = image.multiscale_structural_similarity_index_measure
    yield Implementation("psnr", "torchmetrics", lambda: float(image.peak_signal_noise_ratio(x, y, data_range=1.0)))
    yield Implementation("ssim", "torchmetrics", lambda: float(compute_ssim(x, y, data_range=1.0)), note=BEYOND)
    yield Implementation(
        "ms_ssim",
        "torchmetrics",
        lambda: float(compute_multiscale(x, y, data_range=1.0)),
        "a channel each",
        BEYOND,
    )


def bind_pytorch_msssim(images: Images) -> Implementations:
    """Both that it has."""
    library = import_beside_torchvision("pytorch_msssim")
    if images.pair is None:
        return
    x, y = to_tensors(images.pair)
    yield Implementation("ssim", "pytorch-msssim", lambda: float(library.ssim(x, y, data_range=1.0)))
    yield Implementation(
        "ms_ssim",
        "pytorch-msssim",
        lambda: float(library.ms_ssim(x, y, data_range=1.0)),
        "a channel each",
        images.note_odd(MEANS),
    )


def bind_kornia(images: Images) -> Implementations:
    """SSIM where the window lies inside."""
    metrics = import_beside_torchvision("kornia.metrics")
    if images.pair is None:
        return
    x, y = to_tensors(images.pair)
    yield Implementation("psnr", "kornia", lambda: float(metrics.psnr(x, y, 1.0)))
    yield Implementation("ssim", "kornia", lambda: float(metrics.ssim(x, y, 11, padding="valid").mean()))


def bind_basicsr(images: Images) -> Implementations:
    """Takes 8 bits, BGR. Needs a module that torchvision has moved; NIQE is by a model file of its own."""
    from torchvision.transforms import functional

    moved = types.ModuleType("torchvision.transforms.functional_tensor")
    moved.rgb_to_grayscale = functional.rgb_to_grayscale  # type: ignore[attr-defined]
    sys.modules.setdefault(moved.__name__, moved)
    if images.pair is not None:
        x, y = (np.ascontiguousarray(quantize(image)[:, :, ::-1]) for image in images.pair)
        library = importlib.import_module("basicsr.metrics.psnr_ssim")
        yield Implementation("psnr", "basicsr", lambda: float(library.calculate_psnr(x, y, 0)))
        yield Implementation("ssim", "basicsr", lambda: float(library.calculate_ssim(x, y, 0)))
    natural = importlib.import_module("basicsr.metrics.niqe").calculate_niqe
    image = np.ascontiguousarray(quantize(images.output)[:, :, ::-1])
    note = "grey is Y, 16 to 235"
    yield Implementation("niqe", "basicsr", lambda: float(np.squeeze(natural(image, 0))), "8 bits", note)


def bind_scikit_video(images: Images) -> Implementations:
    """Takes grey. Needs names that NumPy and SciPy have given up."""
    import scipy.misc
    from PIL import Image as PillowImage

    for kind in (float, int, bool):
        setattr(np, kind.__name__, kind)
    scipy.misc.imresize = lambda image, scale, mode, **_: np.asarray(  # type: ignore[attr-defined]
        PillowImage.fromarray(image, mode).resize(
            [int(scale * n) for n in reversed(image.shape)], PillowImage.Resampling.BICUBIC
        )
    )
    measure = importlib.import_module("skvideo.measure").niqe
    grey = np.rint(quantize(images.output) @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)
    yield Implementation("niqe", "scikit-video", lambda: float(measure(grey)[0]), "8 bits", "another algorithm")


def bind_tensorflow(images: Images) -> Implementations:
    """After torch and torchvision, which crash when they are loaded after it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # which it would announce at any level
    tf = import_beside_torchvision("tensorflow")
    if images.pair is None:
        return
    x, y = (tf.constant(image[np.newaxis]) for image in images.pair)
    yield Implementation("psnr", "TensorFlow", lambda: float(tf.image.psnr(x, y, 1.0)[0]))
    yield Implementation("ssim", "TensorFlow", lambda: float(tf.image.ssim(x, y, 1.0)[0]))
    multiscale = Implementation(
        "ms_ssim", "TensorFlow", lambda: float(tf.image.ssim_multiscale(x, y, 1.0)[0]), "a channel each", MEANS
    )
    yield multiscale


def import_beside_torchvision(module: str) -> Any:
    """A module that imports torchvision, also where only pyiqa's bridge can make that importable."""
    with contextlib.suppress(Exception):  # where pyiqa is missing, torchvision may do without
        import_pyiqa()
    return importlib.import_module(module)


LIBRARIES = (
    Library("scikit-image", "skimage", bind_scikit_image),
    Library("opencv-python", "cv2", bind_cv2),
    Library("pyiqa", "pyiqa", bind_pyiqa),
    Library("piq", "piq", bind_piq),
    Library("torchmetrics", "torchmetrics", bind_torchmetrics),
    Library("pytorch-msssim", "pytorch_msssim", bind_pytorch_msssim),
    Library("kornia", "kornia", bind_kornia),
    Library("basicsr", "basicsr", bind_basicsr),
    Library("scikit-video", "skvideo", bind_scikit_video),
    Library("tensorflow", "tensorflow", bind_tensorflow),
)
"""In the order in which they can be imported."""
