"""The networks that can be trained here, by name."""

from collections.abc import Callable

from torch import nn

from reference.baselines import SRCNN, ResNet
from reference.generators import Generator, GeneratorConfig
from reference.johnson import JohnsonNet

NETWORKS: dict[str, Callable[[GeneratorConfig], nn.Module]] = {
    "generator": Generator,
    "srcnn": lambda _: SRCNN(),
    "resnet_8_32": lambda _: ResNet(blocks=2, channels=32),
    "resnet_12_64": lambda _: ResNet(blocks=4, channels=64),
    "johnson": lambda _: JohnsonNet(),
}


def make_network(name: str, generator: GeneratorConfig) -> nn.Module:
    """A network to be trained, with fresh weights from torch's random state; only "generator" has a configuration.

    It enhances RGB images in [0, 1]: (N, 3, H, W) float -> the same shape, not clipped. ValueError for an unknown name.
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}; known are {', '.join(NETWORKS)}")
    return NETWORKS[name](generator)


def describe_network(name: str, generator: GeneratorConfig) -> str:
    """A network in words: its name, and of a generator its kind."""
    return f"{generator.kind} generator" if name == "generator" else name
