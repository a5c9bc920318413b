"""Neural-network layers: modules that own their parameters. Names, shapes and initial distributions are PyTorch's."""

from minigrad.nn import init
from minigrad.nn.activations import LeakyReLU, ReLU, Sigmoid, Softplus, Tanh
from minigrad.nn.layers import Dropout, Embedding, Flatten, Linear, Reshape, Sequential
from minigrad.nn.module import Buffer, Module, Parameter

__all__ = [
    "Buffer", "Dropout", "Embedding", "Flatten", "LeakyReLU", "Linear", "Module", "Parameter", "ReLU", "Reshape", "Sequential",
    "Sigmoid", "Softplus", "Tanh", "init",
]  # fmt: skip
