"""The generators once more in TensorFlow, with channels last, as TensorFlow Lite wants them; the weights are PyTorch's.

Each function does what the layer of its name does in `reference.layers` or `reference.generators`.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf
import torch
from torch import nn

from reference.generators import (
    NOISE_TILE_PX,
    STRIDE_PX,
    ConvNorm,
    DenseBlock,
    Generator,
    HighPerformanceBody,
    Noise,
    NormalBody,
)

Enhance = Callable[[tf.Tensor], tf.Tensor]


def make_function(generator: Generator) -> Enhance:
    """A tf.function with free height and width, (1, H, W, 3) float32 -> the same, that does what `generator` does."""
    generator = generator.cpu().eval()

    @tf.function(input_signature=[tf.TensorSpec((1, None, None, 3), tf.float32, name="input")])
    def enhance(x: tf.Tensor) -> tf.Tensor:
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        padded = pad(pad(x, height, axis=1), width, axis=2)
        return (padded + run_body(generator.body, padded))[:, :height, :width]

    return enhance


def pad(x: tf.Tensor, length: tf.Tensor, *, axis: int) -> tf.Tensor:
    """Repeat the last row or column up to a multiple of four."""
    places = tf.range(length + -length % STRIDE_PX)
    return tf.gather(x, tf.minimum(places, length - 1), axis=axis)


def run_body(body: nn.Module, x: tf.Tensor) -> tf.Tensor:
    """(1, H, W, 3) -> (1, H, W, 3), H and W multiples of four."""
    if isinstance(body, NormalBody):
        half = run_block(body.down, [add_noise(body.noise_half, demux(x))])
        quarter = run_block(body.quarter, [add_noise(body.noise_quarter, demux(half))])
        return mux(run_block(body.up, [half, mux(quarter)]))
    if isinstance(body, HighPerformanceBody):
        half = add_noise(body.noise_half, demux(x))
        quarter = run_block(body.quarter, [add_noise(body.noise_quarter, demux(half))])
        return mux(run_block(body.up, [mux(quarter)]))
    raise ValueError(f"no generator's body: {type(body).__name__}")


def run_block(block: DenseBlock, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Every layer sees all that was there before it."""
    parts = list(inputs)
    for layer in block.layers:
        parts.append(run_layer(layer, tf.concat(parts, axis=3)))
    closed = convolve(block.close, tf.concat(parts, axis=3))
    return closed if block.slope == 1 else tf.nn.leaky_relu(closed, block.slope)


def run_layer(layer: ConvNorm, x: tf.Tensor) -> tf.Tensor:
    """Convolution, instance normalisation, LeakyReLU."""
    y = convolve(layer.conv, x)
    mean, variance = tf.nn.moments(y, axes=[1, 2], keepdims=True)
    scaled = (y - mean) * tf.math.rsqrt(variance + layer.config.norm_epsilon)
    return tf.nn.leaky_relu(scaled * to_constant(layer.scale) + to_constant(layer.shift), layer.config.negative_slope)


def convolve(conv: nn.Conv2d, x: tf.Tensor) -> tf.Tensor:
    """(1, H, W, C) -> (1, H, W, outputs), padded with zeros to the same size."""
    y = tf.nn.conv2d(x, to_constant(conv.weight.permute(2, 3, 1, 0)), strides=1, padding="SAME")
    return y if conv.bias is None else y + to_constant(conv.bias)


def add_noise(noise: nn.Module, x: tf.Tensor) -> tf.Tensor:
    """Append the stored tile, repeated over the image."""
    if not isinstance(noise, Noise):
        return x
    height, width = tf.shape(x)[1], tf.shape(x)[2]
    tile = to_constant(noise.tile.permute(0, 2, 3, 1))
    tiled = tf.tile(tile, [1, height // NOISE_TILE_PX + 1, width // NOISE_TILE_PX + 1, 1])
    return tf.concat([x, tiled[:, :height, :width]], axis=3)


def demux(x: tf.Tensor) -> tf.Tensor:
    """(1, H, W, C) -> (1, H/2, W/2, 4C), with PyTorch's order of channels: TensorFlow puts the four places first."""
    channels = x.shape[3]
    order = [place * channels + channel for channel in range(channels) for place in range(4)]
    return tf.gather(tf.nn.space_to_depth(x, 2), order, axis=3)


def mux(x: tf.Tensor) -> tf.Tensor:
    """(1, H, W, 4C) -> (1, 2H, 2W, C), the inverse of `demux`."""
    order = [4 * channel + place for place in range(4) for channel in range(x.shape[3] // 4)]
    return tf.nn.depth_to_space(tf.gather(x, order, axis=3), 2)


def to_constant(tensor: torch.Tensor) -> tf.Tensor:
    """A weight."""
    return tf.constant(tensor.detach().numpy())
