"""The networks of CycleGAN: generators from images to images, and a discriminator of image patches.

A generator keeps the size of its input, (n, 3, height, width) in (-1, 1). Most convolutions are
followed by a normalisation, over the pixels of each single image ("instance") or over the batch
("batch").

Sources: Zhu et al., "Unpaired image-to-image translation using cycle-consistent adversarial
networks", ICCV 2017, section 7.2, with the padding and initial weights of its published code.
U-Net: Isola et al., "Image-to-image translation with conditional adversarial networks", CVPR 2017,
section 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import minigrad as mg
import minigrad.functional as F
from gans.networks.dcgan import from_narrow_normal
from gans.networks.palette import Palette
from minigrad import nn

Norm = Callable[[int], nn.Module]  # number of channels -> normalisation layer
NORMS: dict[str, Norm] = {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}

DEPTH = 8  # a U-Net halves its images at most this often
MOST_WIDER = 8  # a U-Net's layers have at most this many times the channels of its first convolution
CLOSEST = 0.98  # colours are scaled by this before artanh, as artanh 1 is infinite


class ColourWaves(nn.Module):
    """Fourier features of the colours: x, sin and cos of pi x, 2 pi x, 4 pi x, ...; (n, c, h, w) to (n, c (1 + 2 count), h, w).

    From the colours alone, a network takes long to treat close ones differently, such as a plain area and a slightly shaded
    one. Source: Tancik et al., "Fourier features let networks learn high frequency functions in low dimensional domains",
    NeurIPS 2020.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def channels(self, colours: int) -> int:
        """How many channels the output has, for so many of the input."""
        return colours * (1 + 2 * self.count)

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        angles = [(math.pi * 2**i) * x for i in range(self.count)]
        return F.concatenate([x, *[wave(angle) for angle in angles for wave in (F.sin, F.cos)]], axis=1)


def _first_layers(colour_waves: int) -> tuple[list[nn.Module], int]:
    """The layers that a network begins with, and the number of channels after them."""
    waves = ColourWaves(colour_waves)
    return [waves] if colour_waves else [], waves.channels(3)


class ResidualBlock(nn.Module):
    """x + body(x), where body has two convolutions that keep the size."""

    def __init__(self, channels: int, norm: Norm) -> None:
        self.body = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels), nn.ReLU(),
            nn.ReflectionPad2d(1), nn.Conv2d(channels, channels, 3), norm(channels),
        )  # fmt: skip

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return x + self.body(x)


def resnet_generator(blocks: int, width: int, norm: Norm, upsample: str, colour_waves: int = 0) -> nn.Sequential:
    """Two convolutions that halve height and width, residual blocks, and two layers that double them again.

    Height and width must be multiples of 4, and at least 8.
    """
    layers, inputs = _first_layers(colour_waves)
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7), norm(width), nn.ReLU()]
    for channels in (width, 2 * width):
        layers += [nn.Conv2d(channels, 2 * channels, 3, 2, 1), norm(2 * channels), nn.ReLU()]
    layers += [ResidualBlock(4 * width, norm) for _ in range(blocks)]
    for channels in (4 * width, 2 * width):
        layers += [*_twice_as_large(channels, channels // 2, 3, upsample), norm(channels // 2), nn.ReLU()]
    return from_narrow_normal(nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()))


class UNetLevel(nn.Module):
    """x (n, c, h, w), concatenated with the output of a smaller U-Net for x at half its size: (n, 2c, h, w)."""

    def __init__(self, down: nn.Sequential, inside: nn.Module, up: nn.Sequential) -> None:
        self.down, self.inside, self.up = down, inside, up

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return F.concatenate([x, self.up(self.inside(self.down(x)))], axis=1)


def unet_generator(halvings: int, width: int, norm: Norm, upsample: str, colour_waves: int = 0) -> nn.Sequential:
    """A U-Net to three channels, and tanh."""
    return nn.Sequential(*unet(3, halvings, width, norm, upsample, colour_waves), nn.Tanh())


def unet(outputs: int, halvings: int, width: int, norm: Norm, upsample: str, colour_waves: int) -> nn.Sequential:
    """Convolutions that halve the image repeatedly, layers that double it again, and skip connections.

    Each layer on the way up also gets the features of the same size from the way down. Height and
    width must be multiples of 2 ** halvings.
    """
    channels = [width * min(2**i, MOST_WIDER) for i in range(halvings)]
    level: nn.Module = nn.Sequential()  # the identity, inside the innermost level
    for i in reversed(range(1, halvings)):
        outer, inner = channels[i - 1], channels[i]
        innermost = i == halvings - 1  # may have a single pixel, which cannot be normalised
        down = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(outer, inner, 4, 2, 1), *([] if innermost else [norm(inner)]))
        up = nn.Sequential(nn.ReLU(), *_twice_as_large(inner if innermost else 2 * inner, outer, 4, upsample), norm(outer))
        level = UNetLevel(down, level, up)
    before, inputs = _first_layers(colour_waves)
    first, last = nn.Conv2d(inputs, width, 4, 2, 1), _twice_as_large(2 * width, outputs, 4, upsample)
    return from_narrow_normal(nn.Sequential(*before, first, level, nn.ReLU(), *last))


class Retouching(nn.Module):
    """tanh((1 + gain) artanh(0.98 x) + offset): a generator that predicts a change of its input, not a whole new image.

    `change` maps images to the offsets and the gains, (n, 6, height, width). With small initial weights the generator is
    close to the identity, so the cycles lead back from the first step on, and only the differences between the domains must
    be learned. This saves most of the training if the domains differ in colours and details, but not in shapes. A gain of -1
    replaces a colour, and removes its shading. With a palette, `change` has a seventh channel, the logits of its pull, which
    starts at 1/2: half way to the palette's colours.
    """

    def __init__(self, change: nn.Module, palette: Palette | None = None) -> None:
        self.change, self.palette = change, palette

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        z, change = CLOSEST * x, self.change(x)
        offset, gain = change[:, :3], change[:, 3:6]
        y = F.tanh((1 + gain) * 0.5 * (F.log(1 + z) - F.log(1 - z)) + offset)
        return self.palette(y, F.sigmoid(change[:, 6:])) if self.palette else y


def retouching_generator(
    halvings: int, width: int, norm: Norm, upsample: str, colour_waves: int = 0, palette: int = 0
) -> Retouching:
    """A `Retouching` generator whose change is a U-Net, with a palette of so many colours; 0: none."""
    change = unet(7 if palette else 6, halvings, width, norm, upsample, colour_waves)
    return Retouching(change, Palette(palette) if palette else None)


def patch_discriminator(width: int, norm: Norm, colour_waves: int = 0) -> nn.Sequential:
    """Images to a map of logits, (n, 1, rows, columns), each with a receptive field of 70 x 70 pixels."""
    layers, inputs = _first_layers(colour_waves)
    layers += [nn.Conv2d(inputs, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for channels, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(channels, 2 * channels, 4, stride, 1), norm(2 * channels), nn.LeakyReLU(0.2)]
    return from_narrow_normal(nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1)))


class MeanOfPatches(nn.Module):
    """A map of scores to its mean per image, (n, 1)."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return F.flatten(x, 1).mean(axis=1, keepdims=True)


def unet_halvings(image_size: int) -> int:
    """How often a U-Net halves an image of this size: down to one pixel if the size is a power of 2 up to 256."""
    return min(DEPTH, int(math.log2(image_size & -image_size)))


def _twice_as_large(before: int, after: int, kernel: int, upsample: str) -> list[nn.Module]:
    """A transposed convolution; or nearest-neighbour upsampling and a convolution, which avoids checkerboard artifacts."""
    if upsample == "resize":
        return [nn.Upsample(scale_factor=2), nn.ReflectionPad2d(1), nn.Conv2d(before, after, 3)]
    return [nn.ConvTranspose2d(before, after, kernel, 2, 1, output_padding=kernel % 2)]
