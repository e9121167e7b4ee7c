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
def test_noise_after_each_demux_reaches_the_output(kind):
    generator, x = make_generator(kind), torch.rand(1, 3, 32, 36)
    noises = [module for module in generator.modules() if isinstance(module, Noise)]
    assert len(noises) == 2
    with torch.no_grad():
        before = generator(x)
        for noise in noises:
            noise.tile.neg_()
            after = generator(x)
            assert not torch.equal(after, before)
            before = after


@pytest.mark.parametrize("kind", KINDS)
def test_each_noise_stands_behind_a_demux(kind):
    generator, seen = make_generator(kind), []
    for module in generator.modules():
        if isinstance(module, Noise):
            module.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    x = torch.rand(1, 3, 8, 12)
    with torch.no_grad():
        generator(x)
    assert [(tuple(i.shape[2:]), o.shape[1] - i.shape[1]) for i, o in seen] == [((4, 6), 4), ((2, 3), 4)]
    assert torch.equal(seen[0][0], torch.nn.functional.pixel_unshuffle(x, 2))
    if kind == "high_performance":
        assert torch.equal(seen[1][0], torch.nn.functional.pixel_unshuffle(seen[0][1], 2))


@pytest.mark.parametrize("kind", KINDS)
def test_no_noise_channels_switch_noise_off(kind):
    generator, x = make_generator(kind, noise_channels=0).train(), torch.rand(2, 3, 32, 36)
    assert not list(generator.buffers())
    assert not [module for module in generator.modules() if isinstance(module, Noise)]
    state = torch.get_rng_state()
    with torch.no_grad():
        trained = generator(x)
        torch.testing.assert_close(generator.eval()(x), trained, rtol=0, atol=1e-5)
    assert torch.equal(state, torch.get_rng_state())
    quarter = generator.body.quarter.layers[0].conv
    assert quarter.in_channels == (64 if kind == "normal" else 48)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "fast"}, "kind of generator 'fast' is unknown; known are normal, high_performance"),
        ({"noise_channels": -1}, "noise_channels of a generator must be at least 0, got -1"),
        ({"half_width": 0}, "half_width of a generator must be at least 1, got 0"),
        ({"quarter_growth": 0}, "quarter_growth of a generator must be at least 1, got 0"),
        ({"norm_epsilon": float("nan")}, "norm_epsilon of a generator must be at least 0, got nan"),
    ],
)
def test_configuration_that_makes_no_generator_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        GeneratorConfig(**changes)


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


@pytest.mark.parametrize("activated", [False, True])
def test_only_activated_blocks_bend_the_tone_curve(activated):
    changes = {
        "noise_channels": 0,
        "half_layers": 0,
        "quarter_layers": 1,
        "norm_epsilon": 1e-12,
        "activate_blocks": activated,
    }
    generator = make_generator("high_performance", **changes)
    with torch.no_grad():
        dark, middle, bright = (generator(torch.full((1, 3, 32, 36), level)) for level in (0.4, 0.6, 0.8))
    bend = (dark + bright - 2 * middle).abs().max().item()
    assert bend > 1e-3 if activated else bend < 1e-5
