"""The table of networks: what each name makes, and that a fresh one can be trained."""

import pytest
import torch

from reference.baselines import SRCNN, ResNet
from reference.generators import Generator, GeneratorConfig
from reference.johnson import JohnsonNet
from reference.networks import NETWORKS, describe_network, make_network

CONFIG = GeneratorConfig(kind="high_performance", half_layers=1)


def test_names_make_their_networks():
    assert {name: type(make_network(name, CONFIG)) for name in NETWORKS} == {
        "generator": Generator,
        "srcnn": SRCNN,
        "resnet_8_32": ResNet,
        "resnet_12_64": ResNet,
        "johnson": JohnsonNet,
    }
    assert make_network("generator", CONFIG).config is CONFIG
    for name, convolutions, channels in (("resnet_8_32", 8, 32), ("resnet_12_64", 12, 64)):
        convs = make_network(name, CONFIG).get_convs()
        assert (len(convs), convs[0].out_channels) == (convolutions, channels)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"^unknown network 'resnet'; known are generator, srcnn, .*, johnson$"):
        make_network("resnet", CONFIG)


def test_generators_are_told_apart_by_kind():
    assert describe_network("generator", CONFIG) == "high_performance generator"
    assert describe_network("srcnn", CONFIG) == "srcnn"


@pytest.mark.parametrize("name", NETWORKS)
def test_fresh_weights_depend_on_the_seed_alone(name):
    def make(seed):
        torch.manual_seed(seed)
        return torch.cat([parameter.flatten() for parameter in make_network(name, CONFIG).parameters()])

    assert torch.equal(make(1), make(1))
    assert not torch.equal(make(1), make(2))


@pytest.mark.parametrize("name", NETWORKS)
def test_fresh_network_learns(name):
    torch.manual_seed(0)
    network = make_network(name, CONFIG).train()
    source = torch.nn.functional.interpolate(torch.rand(2, 3, 4, 4), size=(24, 24), mode="bicubic").clamp(0, 1)
    target = (0.8 * source + 0.1).square()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    errors = []
    for _ in range(12):
        error = (network(source) - target).square().mean()
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.5 * errors[0], errors
