"""The rows of the paper's Table 5, and what each changes in reference/configs/ablation.toml."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Condition:
    """A row: a name for its folder, the paper's title, the change as `reference.train` takes it, published values."""

    name: str
    title: str
    change: str
    psnr_db: float | None = None
    ssim: float | None = None
    niqe: float | None = None


BASE = Condition("full", "full losses and noise", "", 22.98, 0.9235, 6.00)
OTHER_SEED = Condition("other_seed", f"{BASE.title}, another seed", "seed=2")
"""Not the paper's: its difference from BASE is the scatter between trainings."""
PUBLISHED = (
    Condition("no_contextual", "no contextual loss", "loss.contextual=0", 22.44, 0.9114, 6.43),
    Condition("no_adversarial", "no adversarial loss", "loss.adversarial=0", 22.64, 0.9173, 5.64),
    Condition("no_l1", "no L1 loss", "loss.l1=0", 21.79, 0.9121, 5.08),
    Condition("no_color", "no color loss", "loss.color=0", 22.17, 0.9166, 6.07),
    Condition("no_perceptual", "no perceptual loss", "loss.perceptual=0", 22.72, 0.9158, 5.32),
    Condition("no_total_variation", "no total variation loss", "loss.total_variation=0", 22.53, 0.9171, 6.13),
    BASE,
    Condition("no_noise", "no noise", "generator.noise_channels=0", 22.84, 0.9207, 6.87),
)
"""In the paper's order."""
CONDITIONS = (*PUBLISHED, OTHER_SEED)
