"""The losses that a generator is trained with, each a mean over the batch; images are (N, 3, H, W) in [0, 1].

`compute_losses` gives the terms that `LossWeights` asks for; their weighted sum is the objective (equation 10).
A new term is a function, a field of `LossWeights` and a line in `compute_losses`.
"DPED" is the training code of github.com/aiff22/DPED, which the paper builds on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn import functional

from reference.contextual import compute_contextual_loss

Network = Callable[[torch.Tensor], torch.Tensor]

LUMA = (0.299, 0.587, 0.114)
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
MS_SSIM_WINDOW_PX = 11
# A power of a negative contrast term is NaN; training starts there, the official value never does.
CONTRAST_FLOOR = 1e-4
# White pairs could have an infinite PSNR: beyond 40 dB its gradient fades.
MSE_FLOOR = 1e-4


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term; 0 leaves it out. The paper's are PAPER_WEIGHTS."""

    l1: float = 1.0
    ms_ssim: float = 1.0
    """Of 1 - MS-SSIM, the challenge's."""
    psnr: float = 0.04
    """Of -PSNR in dB: beside a weight of 1 for MS-SSIM this is the exchange rate of Score A (4 to 100)."""
    color: float = 0.0
    total_variation: float = 0.0
    adversarial: float = 0.0
    """Of a discriminator, which has to be trained beside the generator."""
    perceptual: float = 0.0
    """Like the contextual loss of the features of a network (features.py)."""
    contextual: float = 0.0

    def __post_init__(self) -> None:
        for name, weight in vars(self).items():
            if not weight >= 0:
                raise ValueError(f"the weight of the loss {name} must be at least 0, got {weight}")


PAPER_WEIGHTS = LossWeights(
    l1=5000.0,
    ms_ssim=0.0,
    psnr=0.0,
    color=0.5,
    total_variation=2000.0,
    adversarial=1.0,
    perceptual=10.0,
    contextual=10.0,
)
"""Table 1, and 1 for the adversarial loss (equation 10).

The paper does not give the scales of its losses. The weights of the adversarial, perceptual, colour and total variation
losses are DPED's defaults, so they are probably meant for DPED's losses, of images in [0, 1] as here. These are: the
same total variation; half of equation 8's colour loss; an adversarial loss summed over a batch of 50, where it is a
mean here; a perceptual loss that is a mean as here, but over relu5_4 of the first VGG-19 release, whose features
have another scale than any that features.py loads. L1 must be a mean over pixels, as here: a sum over 100x100 of them
would leave nothing of the other terms. The contextual loss has no scale to choose.

Measured with efficientnet_lite0 on 40 phone patches, the norms of the weighted gradients on the images are 5 for L1,
89 for the perceptual loss, 10 contextual, 4 colour: there a perceptual weight of 0.6 is what balances L1.
"""


def compute_weighted_l1(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of each channel, weighted as luma (equation 2, as a mean over pixels)."""
    red, green, blue = (output - target).abs().mean((0, 2, 3))
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def compute_psnr(output: torch.Tensor, target: torch.Tensor, *, mse_floor: float = 0.0) -> torch.Tensor:
    """PSNR in dB of each image, shape (N,); not clipped; `mse_floor` is added to the mean squared error."""
    return -10 * torch.log10((output - target).square().mean((1, 2, 3)) + mse_floor)


def compute_total_variation(output: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of neighbours, down plus across, as in DPED (`train_model.py`, `loss_tv`).

    Equation 9 as printed adds the two differences before the norm, where opposite signs would cancel.
    """
    down = (output[:, :, 1:] - output[:, :, :-1]).square().mean()
    return down + (output[:, :, :, 1:] - output[:, :, :, :-1]).square().mean()


def compute_color_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Sum of squared differences of the blurred images (equation 8); DPED's code takes half of it.

    The blur is DPED's: 21 px, zeros beyond the border (`utils.py`, `gauss_kernel(21, 3, 3)`).
    """
    difference = output - target
    rows, columns = (make_blur_matrix(size, difference.device).to(difference.dtype) for size in difference.shape[2:])
    return (rows @ difference @ columns.T).square().sum((1, 2, 3)).mean()


def compute_perceptual_loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean squared difference of feature maps (N, C, h, w) (equation 3)."""
    return (output - target).square().mean()


def compute_adversarial_loss(fake_logits: torch.Tensor) -> torch.Tensor:
    """Mean of -log D over a discriminator's logits of outputs (equation 1).

    log 2 when it cannot tell. DPED minimises log(1 - D) instead, whose gradient fades where the discriminator wins.
    """
    return functional.softplus(-fake_logits).mean()


def compute_discriminator_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor) -> torch.Tensor:
    """The discriminator's own objective: its mean cross entropy, targets and outputs counting half each."""
    return (functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()) / 2


@lru_cache(maxsize=8)
def make_blur_matrix(size_px: int, device: torch.device) -> torch.Tensor:
    """DPED's Gaussian along one axis as a (size, size) matrix, float64, zeros beyond the border."""
    edges = torch.linspace(-3 - 1 / 6, 3 + 1 / 6, 22, dtype=torch.float64)
    kernel = torch.special.ndtr(edges).diff().sqrt()
    return make_band(kernel / kernel.sum(), size_px + 20, device)[:, 10:-10]


def make_band(kernel: torch.Tensor, size_px: int, device: torch.device) -> torch.Tensor:
    """The 'valid' correlation with `kernel` along one axis as a matrix (size - len(kernel) + 1, size).

    Two products with a band replace a convolution with few channels, which a GPU runs badly.
    """
    rows = size_px - len(kernel) + 1
    band = torch.zeros(rows, size_px, dtype=kernel.dtype)
    for offset, value in enumerate(kernel):
        band.diagonal(offset).copy_(value.expand(rows))
    return band.to(device)


@lru_cache(maxsize=32)
def make_window_matrix(size_px: int, window_px: int, device: torch.device) -> torch.Tensor:
    """The challenge's Gaussian window (sigma 1.5 * window / 11) along one axis as a band matrix, float64."""
    positions = torch.arange(window_px, dtype=torch.float64) - (window_px - 1) / 2
    kernel = torch.exp(-positions.square() / (2 * (1.5 * window_px / 11) ** 2))
    return make_band(kernel / kernel.sum(), size_px, device)


def compare_scale(output: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Means over height, width and channel of SSIM and of its contrast term at one scale, each of shape (N,)."""
    h, w = output.shape[2:]
    window = min(MS_SSIM_WINDOW_PX, h, w)
    rows, columns = (make_window_matrix(size, window, output.device).to(output.dtype) for size in (h, w))
    moments = torch.stack([output, target, output * output, target * target, output * target])
    mean_x, mean_y, xx, yy, xy = rows @ moments @ columns.T
    product, squares = mean_x * mean_y, mean_x.square() + mean_y.square()
    contrast = (2 * (xy - product) + 0.03**2) / (xx + yy - squares + 0.03**2)
    similarity = contrast * (2 * product + 0.01**2) / (squares + 0.01**2)
    return similarity.mean((1, 2, 3)), contrast.mean((1, 2, 3))


def compute_ms_ssim(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The challenge's MS-SSIM of each image, shape (N,).

    Five scales; per scale the mean is over height, width and channel; between scales the mean of every 2x2 pixels,
    an odd last row or column repeated (which `ceil_mode` amounts to).
    Source: `ssim.py` of github.com/aiff22/ai-challenge.
    """
    value = torch.ones(len(output), dtype=output.dtype, device=output.device)
    for weight in MS_SSIM_WEIGHTS[:-1]:
        _, contrast = compare_scale(output, target)
        value = value * contrast.clamp_min(CONTRAST_FLOOR) ** weight
        output, target = (functional.avg_pool2d(image, 2, ceil_mode=True) for image in (output, target))
    similarity, _ = compare_scale(output, target)
    return value * similarity.clamp_min(CONTRAST_FLOOR) ** MS_SSIM_WEIGHTS[-1]


def compute_losses(
    output: torch.Tensor,
    target: torch.Tensor,
    weights: LossWeights,
    *,
    features: Network | None = None,
    discriminator: Network | None = None,
) -> dict[str, torch.Tensor]:
    """The terms whose weight is not 0, by name, before their weights.

    `features` maps images to feature maps (N, C, h, w), `discriminator` to logits, the higher the more like a target.
    ValueError when a term lacks its network.
    """
    check_networks(weights, features, discriminator)
    if weights.perceptual or weights.contextual:
        output_features, target_features = map_features(features, output, target)
    terms = {
        "l1": lambda: compute_weighted_l1(output, target),
        "ms_ssim": lambda: 1 - compute_ms_ssim(output, target).mean(),
        "psnr": lambda: -compute_psnr(output, target, mse_floor=MSE_FLOOR).mean(),
        "color": lambda: compute_color_loss(output, target),
        "total_variation": lambda: compute_total_variation(output),
        "adversarial": lambda: compute_adversarial_loss(discriminator(output)),
        "perceptual": lambda: compute_perceptual_loss(output_features, target_features),
        "contextual": lambda: compute_contextual_loss(output_features, target_features),
    }
    return {name: compute() for name, compute in terms.items() if getattr(weights, name)}


def check_networks(weights: LossWeights, features: Network | None, discriminator: Network | None) -> None:
    """ValueError when a weighted term lacks its network."""
    needs = {"adversarial": "discriminator", "perceptual": "features", "contextual": "features"}
    given = {"discriminator": discriminator, "features": features}
    for name, argument in needs.items():
        if getattr(weights, name) and given[argument] is None:
            raise ValueError(
                f"the {name} loss has the weight {getattr(weights, name)} and no network: "
                f"give compute_losses {argument}=, or set the weight to 0"
            )


def map_features(features: Network, output: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The feature maps of both, the target's without a gradient."""
    with torch.no_grad():
        target_features = features(target)
    return features(output), target_features


def sum_losses(losses: dict[str, torch.Tensor], weights: LossWeights) -> torch.Tensor:
    """The objective: the weighted sum of `losses`."""
    return torch.stack([getattr(weights, name) * loss for name, loss in losses.items()]).sum()
