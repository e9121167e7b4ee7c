"""Fits the phone camera of the embedded set to the real training pairs of PIRM 2018 (the 300 of `train` alone).

    python -m reference.fit_camera --assets DIR            prints the parameters and what they leave over
    python -m reference.fit_camera --assets DIR --write    writes harness/phone_camera.toml

The direction is the inverse of enhancement: from the DSLR's picture (target) to the phone's (source). The pairs are
aligned roughly, so colours are fitted on blurred pairs, and blur and noise on spectra, which a shift does not change.
Vignetting cannot be seen in 100x100 patches from unknown places (it is part of the exposures fitted here), nor can the
phone's own JPEG after the alignment: the one is chosen, the other is what the stored patches show (quality 100, 4:2:0).
"""

import argparse
from pathlib import Path

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import curve_fit

from harness import embedded
from harness.assets import open_store
from harness.datasets import open_dataset
from harness.embedded import PhoneCamera, apply_colour, simulate_phone
from harness.files import write_atomically

Array = NDArray[np.float64]

TONE_KNOTS = np.linspace(0, 2, 17)  # above 1: the phone's picture of what is white in the target and exposed long
BLURRED_PX = 4.0  # wider than the shifts within a pair
DARK, BRIGHT = 0.01, 0.97  # clipped values say nothing about a curve
EXPOSURE_SPREAD = 0.5  # prior of the log gains, wide: it only holds patches that are clipped all over
CORNER_LIGHT_LOSS = 0.3  # chosen: half a stop, as phones leave it
JPEG_QUALITY = 100
QUANTILES = 21
BANDS = np.arange(0.02, 0.50, 0.02)  # cycles per pixel
OUTPUT = Path(embedded.__file__).with_name("phone_camera.toml")


def read_training_pairs(assets: Path | None) -> tuple[Array, Array]:
    """Sources and targets, both N x H x W x 3 in [0, 1]."""
    dataset = open_dataset("pirm2018b", open_store(assets))
    pairs = [dataset.load_pair(name) for name in dataset.splits["train"]]
    return np.stack([pair.source / 255 for pair in pairs]), np.stack([pair.target / 255 for pair in pairs])


def sample_blurred(images: Array) -> torch.Tensor:
    """N x points x 3: colours that a shift of a few pixels does not change."""
    blurred = np.stack([gaussian_filter(image, (BLURRED_PX, BLURRED_PX, 0)) for image in images])
    return torch.from_numpy(blurred[:, 6::8, 6::8].reshape(len(images), -1, 3))


class ColourModel(torch.nn.Module):
    """source = curve(matrix @ (gain * target)), a gain for each pair with mean log 0."""

    def __init__(self, pair_count: int) -> None:
        super().__init__()
        self.mix = torch.nn.Parameter(torch.zeros(3, 3, dtype=torch.float64))
        self.log_gain = torch.nn.Parameter(torch.zeros(pair_count, 1, 1, dtype=torch.float64))
        self.floor = torch.nn.Parameter(torch.zeros(3, 1, dtype=torch.float64))
        steps = torch.full((3, len(TONE_KNOTS) - 1), 0.8 * float(TONE_KNOTS[1]), dtype=torch.float64)
        self.log_steps = torch.nn.Parameter(steps.log())

    def matrix(self) -> torch.Tensor:
        return torch.eye(3, dtype=torch.float64) + self.mix - self.mix.mean(1, keepdim=True)

    def curve(self) -> torch.Tensor:
        rising = torch.cumsum(self.log_steps.exp(), 1)
        return self.floor + torch.cat([torch.zeros_like(self.floor), rising], 1)

    def log_gains(self) -> torch.Tensor:
        return self.log_gain - self.log_gain.mean()

    def forward(self, target: torch.Tensor) -> torch.Tensor:
        mixed = (target * self.log_gains().exp()) @ self.matrix().T
        position = (mixed / float(TONE_KNOTS[1])).clamp(0, len(TONE_KNOTS) - 1.001)
        left = position.floor().long()
        rest = position - left
        curve = self.curve()
        below = torch.stack([curve[k][left[..., k]] for k in range(3)], -1)
        above = torch.stack([curve[k][left[..., k] + 1] for k in range(3)], -1)
        return below + rest * (above - below)


def fit_colour(sources: Array, targets: Array) -> tuple[ColourModel, float]:
    """The colour model by least squares with bounded outliers, and its RMS error in [0, 1] units."""
    source, target = sample_blurred(sources), sample_blurred(targets)
    usable = torch.cat([source, target], -1)
    weight = ((usable > DARK) & (usable < BRIGHT)).all(-1, keepdim=True).double()
    model = ColourModel(len(source))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    for _ in range(1500):
        residual = (model(target) - source) * weight
        loss = torch.nn.functional.huber_loss(residual, torch.zeros_like(residual), delta=0.1)
        loss = loss + 1e-5 * (model.log_gains() / EXPOSURE_SPREAD).square().mean()
        loss = loss + 1e-5 * model.log_steps.diff().square().mean()  # no point decides knots that no pair reaches
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model, float((residual.detach().square().sum() / (3 * weight.sum())).sqrt())


def measure_spectra(images: Array) -> Array:
    """Mean power of the luma in each frequency band, N x bands."""
    luma = images @ np.array([0.299, 0.587, 0.114])
    window = np.outer(np.hanning(luma.shape[1]), np.hanning(luma.shape[2]))
    power = np.abs(np.fft.fft2((luma - luma.mean((1, 2), keepdims=True)) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(luma.shape[1])[:, None], np.fft.fftfreq(luma.shape[2])[None, :])
    return np.stack([power[:, (frequency >= f) & (frequency < f + 0.02)].mean(1) for f in BANDS], axis=1)


def fit_noise(source_power: Array, target_power: Array) -> tuple[float, float]:
    """Sigma before the noise's own blur, and that blur, from pairs with nothing in them above 0.1 cycles per pixel."""
    detail = target_power[:, BANDS > 0.1].mean(1)
    flat = np.argsort(detail)[: len(detail) // 5]
    fine = BANDS > 0.1
    power = np.median(source_power[flat][:, fine] - target_power[flat][:, fine], axis=0)
    frequency = BANDS[fine] + 0.01

    def predict(f: Array, log_sigma: float, blur: float) -> Array:
        return 2 * log_sigma - (2 * np.pi * blur * f) ** 2

    (log_sigma, blur), _ = curve_fit(predict, frequency, np.log(power), p0=(-4.0, 0.5))
    return float(np.exp(log_sigma)), float(abs(blur))


def fit_blur(source_power: Array, mapped_power: Array, noise_power: Array) -> float:
    """Sigma of the blur that brings the colour-mapped target's spectrum down to the source's, less its noise."""
    detailed = np.argsort(mapped_power[:, BANDS > 0.1].mean(1))[-len(mapped_power) // 3 :]
    middle = (BANDS > 0.03) & (BANDS < 0.25)  # below: exposure; above: noise
    ratio = np.median((source_power - noise_power)[detailed] / mapped_power[detailed], axis=0)[middle]
    frequency = BANDS[middle] + 0.01
    # the gain at frequency 0 is 1, because the colour map was fitted to what is left of a pair there
    (sigma,), _ = curve_fit(lambda f, s: -((2 * np.pi * s * f) ** 2), frequency, np.log(ratio), p0=(1.0,))
    return float(abs(sigma))


def fit_camera(sources: Array, targets: Array) -> tuple[PhoneCamera, dict[str, float]]:
    """The camera, and what the fit leaves over."""
    model, rms = fit_colour(sources, targets)
    log_gains = model.log_gains().detach().numpy().ravel()
    quantiles = np.exp(np.quantile(log_gains, (np.arange(QUANTILES)) / (QUANTILES - 1)))
    camera = PhoneCamera(
        colour_matrix=tuple(tuple(row) for row in model.matrix().tolist()),
        tone_knots=tuple(TONE_KNOTS.tolist()),
        tone_curve=tuple(tuple(row) for row in model.curve().tolist()),
        exposure_quantiles=tuple(quantiles.tolist()),
        blur_sigma_px=0.0,
        noise_sigma=0.0,
        noise_blur_px=0.0,
        corner_light_loss=CORNER_LIGHT_LOSS,
        jpeg_quality=JPEG_QUALITY,
    )
    gains = np.exp(log_gains)
    mapped = np.stack([apply_colour(target * gain, camera) for target, gain in zip(targets, gains, strict=True)])
    source_power, target_power = measure_spectra(sources), measure_spectra(targets)
    sigma, noise_blur = fit_noise(source_power, target_power)
    noise_power = sigma**2 * np.exp(-((2 * np.pi * noise_blur * (BANDS + 0.01)) ** 2))
    blur = fit_blur(source_power, measure_spectra(np.clip(mapped, 0, 1)), noise_power)
    camera = msgspec.structs.replace(camera, blur_sigma_px=blur, noise_sigma=sigma, noise_blur_px=noise_blur)
    return camera, {"colour_rms": rms, **compare_psnr(sources, targets, gains, camera)}


def compare_psnr(sources: Array, targets: Array, gains: Array, camera: PhoneCamera) -> dict[str, float]:
    """Mean PSNR of source against target, real and simulated on the same targets (pairs without error left out)."""
    rng = np.random.default_rng(embedded.SEED)
    shuffled = rng.permutation(gains)
    simulated = [
        simulate_phone(np.rint(target * 255).astype(np.uint8), gain, camera, rng) / 255
        for target, gain in zip(targets, shuffled, strict=True)
    ]
    return {
        "source_psnr_real_db": measure_mean_psnr(sources, targets),
        "source_psnr_simulated_db": measure_mean_psnr(np.stack(simulated), targets),
    }


def measure_mean_psnr(sources: Array, targets: Array) -> float:
    error = np.square(sources - targets).mean((1, 2, 3))
    return float(-10 * np.log10(error[error > 0]).mean())


def format_camera(camera: PhoneCamera, residuals: dict[str, float], *, pair_count: int) -> str:
    """The content of phone_camera.toml."""
    lines = [
        "# The phone camera of the embedded set. Written by `python -m reference.fit_camera --write`; do not edit.",
        "[provenance]",
        'method = "our own fit, target to source; corner_light_loss is chosen, jpeg_quality is that of the patches"',
        'fitted_to = "pirm2018b, split train (github.com/aiff22/ai-challenge at 6dc52ac, dped/patches)"',
        f"pairs = {pair_count}",
        "",
        "[residuals]",
        *(f"{name} = {value:.4f}" for name, value in residuals.items()),
        "",
        "[camera]",
        *(f"{name} = {format_value(value)}" for name, value in msgspec.structs.asdict(camera).items()),
    ]
    return "\n".join(lines) + "\n"


def format_value(value: object) -> str:
    """A TOML value, numbers with four decimals."""
    if isinstance(value, tuple):
        return f"[{', '.join(format_value(item) for item in value)}]"
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, help="mirror of the upstream files")
    parser.add_argument("--write", action="store_true", help=f"write {OUTPUT.name}")
    arguments = parser.parse_args()
    sources, targets = read_training_pairs(arguments.assets)
    camera, residuals = fit_camera(sources, targets)
    text = format_camera(camera, residuals, pair_count=len(sources))
    if arguments.write:
        write_atomically(OUTPUT, text.encode())
    print(text, end="")


if __name__ == "__main__":
    main()
