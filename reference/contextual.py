"""The contextual loss (equations 4 to 7): do the features of the output occur in the target, wherever they are?

Mechrez, Talmi, Zelnik-Manor, "The Contextual Loss for Image Transformation with Non-Aligned Data", and the code of
these authors (github.com/roimehrez/contextualLoss, `CX/CSFlow.py`).
"""

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

EPSILON = 1e-5
BANDWIDTH = 0.5
"""h of equation 5, which the paper does not give: the value in the configuration of the loss's authors."""
SHORTEST = 1e-3
"""Features are tens of units long; shorter than this, a direction is rounding noise and the gradient of it explodes."""
CHUNK_ELEMENTS = 1 << 24
"""Distances held at once, about ten such arrays in the backward pass: 64 MiB each in float32. Of blocks under 32 MiB
glibc keeps unusable pieces: maps of 128x128 took 2.5 GiB in chunks of 16 MiB, and take 0.6 GiB in these."""


def compute_contextual_loss(
    output: torch.Tensor, target: torch.Tensor, *, bandwidth: float = BANDWIDTH, chunk: int = CHUNK_ELEMENTS
) -> torch.Tensor:
    """-log CX of feature maps (N, C, h, w) and (N, C, h', w'), the mean over the batch.

    Feature i of the output and feature j of the target differ by 1 minus their cosine, both seen from the mean feature
    of the target: so the loss's authors define it, and features after a ReLU, all positive, would else be nearly
    parallel. Here the mean is each image's own, so that an image's loss does not depend on its batch.

    There is a distance for each pair of positions. More than `chunk` of them are worked off in rows that the backward
    pass computes again: the same value and gradient, in the memory of a chunk and of one value for each chunk and
    feature j (64 MB for maps of 256x256, 4 GB for 512x512), where it would be ten for each pair.
    ValueError for other shapes.
    """
    if output.ndim != 4 or target.ndim != 4 or output.shape[:2] != target.shape[:2]:
        raise ValueError(
            f"the contextual loss compares feature maps (N, C, h, w) of equal N and C, "
            f"got {tuple(output.shape)} and {tuple(target.shape)}"
        )
    center = target.mean((2, 3), keepdim=True)
    x, y = (point_from(center, features) for features in (output, target))  # (N, h w, C)
    rows = max(1, chunk // (len(y) * y.shape[1]))
    if rows >= x.shape[1]:
        largest = find_largest_similarity(x, y, bandwidth)
    else:
        parts = [
            checkpoint(find_largest_similarity, part, y, bandwidth, use_reentrant=False, preserve_rng_state=False)
            for part in x.split(rows, 1)
        ]
        largest = torch.stack(parts).amax(0)
    return -largest.mean(1).log().mean()


def point_from(center: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """Unit vectors (N, h w, C) from `center` (N, C, 1, 1) to each feature of (N, C, h, w)."""
    return functional.normalize(features - center, dim=1, eps=SHORTEST).flatten(2).mT


def find_largest_similarity(x: torch.Tensor, y: torch.Tensor, bandwidth: float) -> torch.Tensor:
    """The largest CX_ij over i, for each j: unit vectors (N, P, C) and (N, Q, C) -> (N, Q).

    Equation 6 divides exponentials by their sum over the target, so the 1 of equation 5 cancels: a softmax.
    """
    distances = (1 - x @ y.mT).clamp_min(0)  # (N, P, Q); rounding makes some negative
    relative = distances / (distances.amin(2, keepdim=True) + EPSILON)
    return torch.softmax(-relative / bandwidth, 2).amax(1)
