"""Neural-network layers: modules that own their parameters. Names, shapes and initial distributions are PyTorch's."""

from minigrad.nn import init
from minigrad.nn.activations import LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from minigrad.nn.conv import Conv2d, ConvTranspose2d
from minigrad.nn.images import AvgPool2d, MaxPool2d, ReflectionPad2d, Upsample, ZeroPad2d
from minigrad.nn.layers import Dropout, Embedding, Flatten, Linear, Reshape, Sequential
from minigrad.nn.module import Buffer, Module, Parameter
from minigrad.nn.norm import BatchNorm1d, BatchNorm2d, Dropout2d, InstanceNorm2d, LayerNorm, spectral_norm

__all__ = [
    "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Buffer", "Conv2d", "ConvTranspose2d", "Dropout", "Dropout2d", "Embedding",
    "Flatten", "InstanceNorm2d", "LayerNorm", "LeakyReLU", "Linear", "MaxPool2d", "Module", "Parameter", "ReLU",
    "ReflectionPad2d", "Reshape", "Sequential", "Sigmoid", "Softplus", "Tanh", "Upsample", "ZeroPad2d", "init", "spectral_norm",
]  # fmt: skip
