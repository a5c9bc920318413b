"""Networks that get a label beside their input, made of networks that do not. Labels are integers (n,)."""

from __future__ import annotations

import numpy as np

import minigrad as mg
import minigrad.functional as F
from minigrad import nn


class OneHot(nn.Module):
    """Labels (n,) to vectors (n, classes): 1 in the place of the label, 0 elsewhere."""

    def __init__(self, classes: int) -> None:
        self.rows = nn.Buffer(np.eye(classes, dtype=np.float32))

    def forward(self, labels: mg.Tensor) -> mg.Tensor:
        return F.embedding(labels, self.rows)


class ConditionalGenerator(nn.Module):
    """Latent vectors and labels to images: the network gets each vector with its label as a one-hot vector, side by side.

    With a learned vector, at first from N(0, I), `gans.cgan` drew one image a class and ignored the noise.

    Parameters
    ----------
    network : from vectors (n, latent_size + classes) to images
    classes : number of classes
    """

    def __init__(self, network: nn.Module, classes: int) -> None:
        self.label = OneHot(classes)
        self.network = network

    def forward(self, z: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
        return self.network(F.concatenate([z, self.label(labels)], axis=1))


class ConcatDiscriminator(nn.Module):
    """Images and labels to logits: the network gets each image with a learned image of its label as one more channel.

    Parameters
    ----------
    network : from images (n, channels + 1, height, width) to logits (n, 1)
    classes : number of classes
    image_size : height and width
    """

    def __init__(self, network: nn.Module, classes: int, image_size: int) -> None:
        self.label = nn.Embedding(classes, image_size**2)
        self.network = network

    def forward(self, x: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
        n, _, height, width = x.shape
        return self.network(F.concatenate([x, self.label(labels).reshape(n, 1, height, width)], axis=1))


class ProjectionDiscriminator(nn.Module):
    """Images and labels to logits: the network's logit, plus the inner product of its features and a vector of the label.

    Parameters
    ----------
    network : from images to logits (n, 1); its features are the input of its last layer with weights
    classes : number of classes
    """

    def __init__(self, network: nn.Sequential, classes: int) -> None:
        layers = list(network)
        last = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.Linear | nn.Conv2d))
        features = layers[last].weight[0].size
        self.features, self.logit = nn.Sequential(*layers[:last]), nn.Sequential(*layers[last:])
        self.label = nn.Embedding(classes, features)
        self.label.weight.assign(nn.init.fan_in_uniform((classes, features), features))  # as the weights beside it

    def forward(self, x: mg.Tensor, labels: mg.Tensor) -> mg.Tensor:
        h = self.features(x)
        return self.logit(h) + (F.flatten(h, 1) * self.label(labels)).sum(axis=1, keepdims=True)
