"""Convolutions on the CPU by im2col and a matrix product, for layers whose channels do not fill a tile.

im2col copies what the window sees at each of P positions into a row of K = kernel height x kernel
width x channels numbers; col2im, its transpose, adds such rows back onto the image
(`reference/conv.py` has both in a few lines). With O the channels of g:

    conv_transpose    images = bias + col2im of (P, K) = g (P, O)  weights (O, K)
    conv_weight       weights' gradient (O, K) = g^T (O, P)  im2col(x) (P, K)

An image of one or three channels fills a small part of a tile of `gemm`, but its K numbers a
position fill it well. The whole (P, K) matrix would be many times larger than the image, so it
never exists: each thread makes a block of it that fits its cache, and uses it at once. One row of
the kernel, kernel width x channels numbers, is contiguous in a channels-last image. Images are
padded with zeros first, so that the same runs are copied at every position.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from minigrad.kernels.cpu.gemm import CACHE, pack_rows
from minigrad.kernels.cpu.sizes import ConvSizes
from minigrad.kernels.cpu.tile import BLOCK, cut, multiply_tile
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES, VECTOR_BYTES, VECTORS, add_vectors, copy_vectors, take

Array = Any

SHARES = 16  # partial sums of the weights' gradient over the positions, at most
LARGEST = 1 << 19  # numbers in all of them together
SHARE = 512  # positions in one of them, at least


@numba.njit(parallel=True, cache=True)
def conv_transpose(g: Array, w: Array, bias: Array, x: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """x = bias + col2im(g weights). Threads take groups of images until none is left."""
    width = TILE_BYTES // x.itemsize
    positions, padded_size = sizes.rows * sizes.columns, _padded_size(sizes)
    groups = min(n, max(1, n * positions // (8 * ROWS)))  # of images, so that a block has several strips of positions
    k = sizes.kernel_h * sizes.kernel_w * sizes.channels
    panels = (k + width - 1) // width
    packed = np.empty(panels * out * width, g.dtype)
    pack_rows(w, 0, k, out, 0, k, width, panels, packed, 0)
    block_panels = min(panels, BLOCK // width)
    block_positions = ROWS * max(1, min(16, CACHE // (block_panels * width * ROWS)))
    taken = np.zeros(1, np.int64)
    for _ in numba.prange(threads):
        block = np.empty(block_positions * block_panels * width, g.dtype)
        # one tile's width more: `add_vectors` writes beyond its last number
        padded = np.empty(((n + groups - 1) // groups) * padded_size + width, g.dtype)
        group = take(taken)
        while group < groups:
            first, last = n * group // groups, n * (group + 1) // groups
            padded[:] = 0
            for p in range(0, (last - first) * positions, block_positions):
                count = min(block_positions, (last - first) * positions - p)
                for left in range(0, panels, block_panels):
                    wide = min(block_panels, panels - left) * width
                    _product(g, first * positions + p, packed, left, block, wide, out, count)
                    runs = _runs(sizes, left * width, min(left * width + wide, k), wide, block_positions, width)
                    _col2im(block, sizes, p, count, runs, wide, padded)
            for image in range(first, last):
                _crop(padded[(image - first) * padded_size :], bias, x, image, sizes)
            group = take(taken)


@numba.njit(cache=True)
def _product(g: Array, first: int, packed: Array, left: int, block: Array, wide: int, out: int, count: int) -> None:
    """block (count, wide) = g (count, out), from row `first` on, times panels (out, width), from number `left` on."""
    width = TILE_BYTES // g.itemsize
    zeros, one_run = np.zeros(width, g.dtype), np.zeros(2, np.int64)
    g_rows, rows = np.arange(ROWS) * out, np.arange(ROWS) * wide
    for panel in range(wide // width):
        for i in range(0, count, ROWS):
            for o in range(0, out, BLOCK):
                multiply_tile(
                    g, (first + i) * out + o, g_rows, 1, packed, ((left + panel) * out + o) * width, width,
                    one_run, 0, 1, min(BLOCK, out - o), zeros, 0, o == 0,
                    block, i * wide + panel * width, rows, 0, count - i, width,
                )  # fmt: skip


@numba.njit(parallel=True, cache=True)
def conv_weight(x: Array, g: Array, w: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """w (O, K) = g^T im2col(x). Each thread takes some of the K columns or, if K is small, shares of the positions.

    The sums of the shares are added in a fixed order. If there are few shares, each is cut further
    into strips of g^T.
    """
    k, positions = sizes.kernel_h * sizes.kernel_w * sizes.channels, n * sizes.rows * sizes.columns
    width = TILE_BYTES // x.itemsize
    panels, strips = (k + width - 1) // width, (out + ROWS - 1) // ROWS
    padded = pad(x, n, sizes.channels, sizes.image_h, sizes.image_w, sizes.padding_h, sizes.padding_w)
    if panels >= SHARES:
        for t in numba.prange(threads):
            left, right = panels * t // threads, panels * (t + 1) // threads
            if left < right:
                _weight_part(padded, g, w, out, sizes, 0, positions, left, right, 0, strips)
        return
    shares = max(1, min(SHARES, positions // SHARE))
    pieces = min(strips, (SHARES // 2 + shares - 1) // shares)  # of the strips
    sums = np.empty((shares, out * k), x.dtype) if shares > 1 else w.reshape(1, out * k)
    for piece in numba.prange(shares * pieces):
        share, part = piece // pieces, piece % pieces
        first, last = positions * share // shares, positions * (share + 1) // shares
        top, bottom = strips * part // pieces, strips * (part + 1) // pieces
        _weight_part(padded, g, sums[share], out, sizes, first, last, 0, panels, top, bottom)
    if shares > 1:
        w[:] = sums[0]
        for share in range(1, shares):
            w += sums[share]


@numba.njit(cache=True)
def _weight_part(
    padded: Array, g: Array, w: Array, out: int, sizes: ConvSizes,
    first: int, last: int, left_panel: int, right_panel: int, top: int, bottom: int,
) -> None:  # fmt: skip
    """Strips and panels of w = g^T im2col(x), summed over positions first .. last - 1."""
    k, width, strips = sizes.kernel_h * sizes.kernel_w * sizes.channels, TILE_BYTES // g.itemsize, bottom - top
    block_panels = min(right_panel - left_panel, max(1, BLOCK // width))
    block_positions = min(last - first, CACHE // (block_panels * width))
    block = np.zeros(block_panels * width * block_positions, g.dtype)  # zeros: no NaN or denormal slows the unused columns
    packed = np.empty(strips * block_positions * ROWS, g.dtype)
    zeros, one_run = np.zeros(width, g.dtype), np.zeros(2, np.int64)
    g_rows, w_rows = np.arange(ROWS), np.arange(ROWS) * k
    for left in range(left_panel, right_panel, block_panels):
        right = min(left + block_panels, right_panel)
        runs = _runs(sizes, left * width, min(right * width, k), width, block_positions, width)
        for p in range(first, last, block_positions):
            count = min(block_positions, last - p)
            _im2col(padded, sizes, p, count, runs, width, block)
            pack_rows(g, p * out, out, count, top * ROWS, out, ROWS, strips, packed, 0)
            for i in range(strips):
                for panel in range(left, right):
                    multiply_tile(
                        packed, i * count * ROWS, g_rows, ROWS, block, (panel - left) * block_positions * width, width,
                        one_run, 0, 1, count, zeros, 0, p == first,
                        w, (top + i) * ROWS * k + panel * width, w_rows, 0, out - (top + i) * ROWS, k - panel * width,
                    )  # fmt: skip


@numba.njit(parallel=True, cache=True)
def conv_weight_by_taps(x: Array, g: Array, w: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """w^T (K, O) = im2col(x)^T (K, P) g (P, O), without im2col, for O that fill the tiles.

    Each of the K numbers that the window sees is a row of the left matrix. It is read in place: in
    `_planes` of x, its values at one row of positions are contiguous. Shares of the rows of
    positions are summed one by one, in blocks, and the sums are added in a fixed order.
    """
    width, columns = TILE_BYTES // x.itemsize, sizes.columns
    k, lines, panels = sizes.kernel_h * sizes.kernel_w * sizes.channels, n * sizes.rows, out // width
    strips = (k + ROWS - 1) // ROWS
    planes, line_size = _planes(x, n, sizes)
    x_rows, w_rows = _tap_offsets(sizes, line_size, strips * ROWS), np.arange(strips * ROWS) * out
    runs = np.empty(2 * lines, np.int64)
    padded_h = sizes.image_h + 2 * sizes.padding_h
    for line in range(lines):
        runs[2 * line] = (line // sizes.rows * padded_h + line % sizes.rows * sizes.stride_h) * line_size
        runs[2 * line + 1] = line * columns * out
    runs, k_run = cut(runs, columns, 1, out)
    of_a_line = columns // k_run  # runs
    shares = max(1, min(SHARES, lines * columns // SHARE, LARGEST // (k * out)))
    pieces = min(strips, (SHARES + shares - 1) // shares)  # of the strips
    block = max(1, BLOCK // columns)  # lines
    sums, zeros = np.empty(shares * k * out, x.dtype), np.zeros(width, x.dtype)
    taken = np.zeros(1, np.int64)
    for _ in numba.prange(threads):
        piece = take(taken)
        while piece < shares * pieces:
            share, part = piece // pieces, piece % pieces
            first, last = lines * share // shares, lines * (share + 1) // shares
            for line in range(first, last, block):
                for panel in range(panels):
                    for strip in range(strips * part // pieces, strips * (part + 1) // pieces):
                        multiply_tile(
                            planes, 0, x_rows, 1, g, panel * width, out,
                            runs, line * of_a_line, min(block, last - line) * of_a_line, k_run,
                            zeros, 0, line == first, sums, share * k * out + panel * width, w_rows, strip * ROWS,
                            k - strip * ROWS, width,
                        )  # fmt: skip
            piece = take(taken)
    for share in range(1, shares):
        sums[: k * out] += sums[share * k * out : (share + 1) * k * out]
    w.reshape(out, k)[:] = sums[: k * out].reshape(k, out).T


@numba.njit(cache=True)
def _tap_offsets(sizes: ConvSizes, line_size: int, count: int) -> Array:
    """Where each of the K numbers of the window is in `_planes`, from the first number of a row of positions on."""
    offsets = np.zeros(count, np.int64)
    plane = line_size // (sizes.stride_w * sizes.channels)
    for a in range(sizes.kernel_h):
        for b in range(sizes.kernel_w):
            pixel = b * sizes.dilation_w
            for c in range(sizes.channels):
                tap = (a * sizes.kernel_w + b) * sizes.channels + c
                within = (pixel % sizes.stride_w * sizes.channels + c) * plane + pixel // sizes.stride_w
                offsets[tap] = a * sizes.dilation_h * line_size + within
    return offsets


@numba.njit(parallel=True, cache=True)
def _planes(x: Array, n: int, sizes: ConvSizes) -> tuple[Array, int]:
    """Padded images with the numbers of a line sorted: by remainder of the column modulo the stride, then by channel.

    So every stride-th number of one channel is contiguous. Returns the size of a line, too.
    """
    channels, stride, padding = sizes.channels, sizes.stride_w, sizes.padding_w
    height, plane = sizes.image_h + 2 * sizes.padding_h, (sizes.image_w + 2 * padding + stride - 1) // stride
    line_size = stride * channels * plane
    planes = np.zeros(n * height * line_size + 8, x.dtype)
    for line in numba.prange(n * height):
        image, y = line // height, line % height - sizes.padding_h
        if not 0 <= y < sizes.image_h:
            continue
        for first in range(stride * channels):
            column, c = first // channels, first % channels  # column of the padded line
            skipped = max(0, (padding - column + stride - 1) // stride)
            target = line * line_size + first * plane
            source = (image * sizes.image_h + y) * sizes.image_w
            for i in range(skipped, (sizes.image_w + padding - column + stride - 1) // stride):
                planes[target + i] = x[(source + i * stride + column - padding) * channels + c]
    return planes, line_size


@numba.njit(parallel=True, cache=True)
def pad(x: Array, n: int, channels: int, height: int, width: int, padding_h: int, padding_w: int) -> Array:
    """Images with padding_h rows and padding_w columns of zeros on each side; x itself if both are 0."""
    if padding_h == 0 and padding_w == 0:
        return x
    line, padded_line = width * channels, (width + 2 * padding_w) * channels
    padded = np.empty(n * (height + 2 * padding_h) * padded_line, x.dtype)
    for row in numba.prange(n * (height + 2 * padding_h)):
        image, y = row // (height + 2 * padding_h), row % (height + 2 * padding_h) - padding_h
        target = padded[row * padded_line : (row + 1) * padded_line]
        target[:] = 0
        if 0 <= y < height:
            source = x[(image * height + y) * line : (image * height + y + 1) * line]
            target[padding_w * channels : padding_w * channels + line] = source
    return padded


@numba.njit(cache=True)
def _padded_size(sizes: ConvSizes) -> int:
    """Numbers in one padded image."""
    return (sizes.image_h + 2 * sizes.padding_h) * (sizes.image_w + 2 * sizes.padding_w) * sizes.channels


@numba.njit(cache=True)
def _crop(padded: Array, bias: Array, x: Array, image: int, sizes: ConvSizes) -> None:
    """Write the inside of one padded image, plus the bias, to an image of x."""
    for y in range(sizes.image_h):
        for z in range(sizes.image_w):
            pixel = (y + sizes.padding_h) * (sizes.image_w + 2 * sizes.padding_w) + z + sizes.padding_w
            source = pixel * sizes.channels
            target = ((image * sizes.image_h + y) * sizes.image_w + z) * sizes.channels
            for c in range(sizes.channels):
                x[target + c] = padded[source + c] + bias[c]


@numba.njit(cache=True)
def _runs(sizes: ConvSizes, left: int, right: int, width: int, rows: int, longest: int) -> Array:
    """How to copy columns left .. right - 1 of im2col: (offset in the padded image, place in the block, count) each.

    The block has panels of `width` columns for `rows` positions. No run is longer than `longest`.
    """
    channels = sizes.channels
    span = sizes.kernel_w if sizes.dilation_w == 1 else 1  # taps whose pixels are neighbours in memory
    stretch, stretches = span * channels, sizes.kernel_w // span
    runs = np.empty((right - left, 3), np.int64)
    count, column = 0, left
    while column < right:
        q, panel, within = column // stretch, (column - left) // width, (column - left) % width
        end = min(right, (q + 1) * stretch, column + width - within, column + longest)
        tap_row, tap_column = q // stretches * sizes.dilation_h, q % stretches * sizes.dilation_w
        pixel = tap_row * (sizes.image_w + 2 * sizes.padding_w) + tap_column
        runs[count, 0] = pixel * channels + column - q * stretch
        runs[count, 1] = panel * rows * width + within
        runs[count, 2] = end - column
        count, column = count + 1, end
    return runs[:count]


@numba.njit(cache=True)
def _im2col(x: Array, sizes: ConvSizes, first: int, count: int, runs: Array, width: int, block: Array) -> None:
    """Copy what the window sees at positions first .. first + count - 1 to the rows of a block.

    Whole vectors are copied where what they write beyond a run is written again later: by the next
    run, or by the next row.
    """
    reach = VECTORS * VECTOR_BYTES // x.itemsize
    for row in range(count):
        start = _corner(sizes, first + row)
        for r in range(len(runs)):
            source, place, length = start + runs[r, 0], row * width + runs[r, 1], runs[r, 2]
            if row < count - 1 and source + reach <= len(x):
                copy_vectors(x, source, block, place, length)
            else:
                block[place : place + length] = x[source : source + length]


@numba.njit(cache=True)
def _col2im(block: Array, sizes: ConvSizes, first: int, count: int, runs: Array, width: int, x: Array) -> None:
    """Add the rows of a block back to the padded images: the transpose of `_im2col`."""
    for row in range(count):
        start = _corner(sizes, first + row)
        for r in range(len(runs)):
            add_vectors(block, row * width + runs[r, 1], x, start + runs[r, 0], runs[r, 2])


@numba.njit(cache=True)
def _corner(sizes: ConvSizes, position: int) -> int:
    """The offset in the padded images of the window's first number at a position."""
    image, place = position // (sizes.rows * sizes.columns), position % (sizes.rows * sizes.columns)
    i, j = place // sizes.columns, place % sizes.columns
    line = image * (sizes.image_h + 2 * sizes.padding_h) + i * sizes.stride_h
    return (line * (sizes.image_w + 2 * sizes.padding_w) + j * sizes.stride_w) * sizes.channels
