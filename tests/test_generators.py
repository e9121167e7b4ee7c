"""Both generators: any size, the same output for the same image, the layout that the paper states."""

import pytest
import torch

from reference.generators import ConvNorm, Generator, GeneratorConfig, Noise

KINDS = ["normal", "high_performance"]


def make_generator(kind: str, **changes) -> Generator:
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(kind=kind, **changes)).eval()
    torch.nn.init.normal_(generator.body.up.close.weight, std=0.05)  # away from the identity it starts from
    return generator


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (37, 53), (64, 64), (100, 100), (66, 130)])
def test_output_has_the_size_of_the_input(kind, size):
    x = torch.rand(2, 3, *size)
    with torch.no_grad():
        y = make_generator(kind)(x)
    assert y.shape == x.shape
    assert y.isfinite().all()
    assert (y - x).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_training_starts_from_the_identity(kind):
    x = torch.rand(1, 3, 37, 53)
    assert torch.equal(Generator(GeneratorConfig(kind=kind))(x), x)


@pytest.mark.parametrize("kind", KINDS)
def test_output_does_not_depend_on_earlier_images_or_the_seed(kind):
    generator = make_generator(kind)
    images = [torch.rand(1, 3, 40, 52) for _ in range(3)]
    with torch.no_grad():
        forwards = [generator(image) for image in images]
        torch.manual_seed(99)
        backwards = [generator(image) for image in reversed(images)][::-1]
    for first, second in zip(forwards, backwards, strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_images_of_a_batch_do_not_see_each_other(kind):
    generator, x = make_generator(kind), torch.rand(3, 3, 32, 36)
    with torch.no_grad():
        torch.testing.assert_close(generator(x)[1:2], generator(x[1:2]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_sum_over_parts_equals_the_convolution_of_all(kind, monkeypatch):
    generator, x = make_generator(kind), torch.rand(1, 3, 32, 36)
    fixed = Noise.forward
    with torch.no_grad():
        used = generator(x)
        generator.train()
        monkeypatch.setattr(Noise, "forward", lambda self, y: fixed(self.eval(), y))
        torch.testing.assert_close(generator(x), used, rtol=0, atol=1e-5)


def test_noise_is_a_tile_in_use_and_fresh_in_training():
    noise, x = Noise(4, seed=1).eval(), torch.zeros(1, 2, 70, 65)
    y = noise(x)
    assert y.shape == (1, 6, 70, 65)
    assert torch.equal(y[:, 2:, 64:, :64], y[:, 2:, :6, :64])
    noise.train()
    assert not torch.equal(noise(x), noise(x))


@pytest.mark.parametrize("kind", KINDS)
def test_every_3x3_convolution_is_normalised(kind):
    generator = make_generator(kind)
    large = [m for m in generator.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)]
    normalised = [m.conv for m in generator.modules() if isinstance(m, ConvNorm)]
    assert large
    assert {id(m) for m in large} == {id(m) for m in normalised}


def test_normalised_layer_has_zero_mean_before_the_activation():
    layer = ConvNorm(3, 16, GeneratorConfig(negative_slope=1.0, norm_epsilon=0.0))
    y = layer([torch.rand(2, 3, 20, 24)])
    torch.testing.assert_close(y.mean((2, 3)), torch.zeros(2, 16), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.var((2, 3), unbiased=False), torch.ones(2, 16), rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_weight(kind):
    generator = make_generator(kind).train()
    (generator(torch.rand(2, 3, 32, 32)) - 0.5).square().mean().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
