"""What `harness check` lets a record differ by, from [tool.harness.check] in the project's pyproject.toml."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.errors import UsageError, quote
from harness.metrics import METRICS
from harness.metrics.bridge import PREFIX

MEAN: Mapping[str, float] = {"psnr": 0.01, "ssim": 0.0005, "ms_ssim": 0.0005, "niqe": 0.02}
"""What a mean may get worse by (dB for PSNR): other processors round differently, and saturated pixels amplify it."""

IMAGE: Mapping[str, float] = {"psnr": 0.05, "ssim": 0.002, "ms_ssim": 0.002, "niqe": 0.05}
"""What the value of one image may differ by. Between an Intel Xeon and an AMD EPYC none differed by more than 2e-13."""

SCORE = 0.05
"""What a score may get worse by, through quality alone: as closely do the formulas give published scores back. Means
that are each just allowed can be worse together."""

OTHER_MEAN = 0.005
OTHER_IMAGE = 0.02
"""The same of a metric that is not named, whatever its scale: parts of its mean on record. Of PSNR and MS-SSIM a mean
may get worse by 0.05 %, of NIQE, which is as touchy as another metric may be, by 0.4 %."""

SPEED = 0.1
"""The part of the speed-up that may be lost, since machines favour different networks: that of one file was 10 % less
on an Intel Xeon than on an AMD EPYC."""

LEAST = 1e-6
"""A mean below counts as this: what is 0 on record may be rounding noise here."""

SETTINGS = Path("pyproject.toml")

Allowed = Annotated[float, msgspec.Meta(ge=0)]


class Tolerances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may differ: of a mean where it gets worse, of one image's value in either direction, both by metric, for one
    that is not named as a part of its mean; of any score, and of the speed-up (a part of it), where they get worse."""

    mean: Mapping[str, Allowed] = msgspec.field(default_factory=lambda: MEAN)
    image: Mapping[str, Allowed] = msgspec.field(default_factory=lambda: IMAGE)
    other_mean: Allowed = OTHER_MEAN
    other_image: Allowed = OTHER_IMAGE
    score: Allowed = SCORE
    speed: Annotated[float, msgspec.Meta(ge=0, lt=1)] = SPEED

    def complete(self, means: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """What the mean and what an image's value may differ by, by metric; means: those on record, by metric."""
        others = {name: max(abs(value), LEAST) for name, value in means.items()}
        mean = {name: self.other_mean * value for name, value in others.items()}
        image = {name: self.other_image * value for name, value in others.items()}
        return {**mean, **self.mean}, {**image, **self.image}


def read_tolerances(path: Path = SETTINGS) -> Tolerances:
    """The project's own from [tool.harness.check] of its pyproject.toml; what it does not name is as above.

    Raises UsageError for a file that is no TOML, an unknown key or metric, and a tolerance that is no number from 0 on.
    """
    try:
        settings: Any = msgspec.toml.decode(path.read_bytes())
    except FileNotFoundError:
        return Tolerances()
    except (OSError, msgspec.DecodeError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {quote(error)}; correct it there.") from None
    for name in ("tool", "harness", "check"):
        settings = settings.get(name, {}) if isinstance(settings, dict) else {}
    try:
        own = msgspec.convert(settings, Tolerances)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: [tool.harness.check]: {quote(error)}; correct it there.") from None
    known = [metric.name for metric in METRICS]
    named = (name for name in (*own.mean, *own.image) if not name.startswith(PREFIX))
    if unknown := sorted(set(named).difference(known)):
        raise UsageError(
            f"{path}: [tool.harness.check]: unknown metric {unknown[0]}; known are {', '.join(known)}, {PREFIX}NAME."
        )
    return msgspec.structs.replace(own, mean={**MEAN, **own.mean}, image={**IMAGE, **own.image})
