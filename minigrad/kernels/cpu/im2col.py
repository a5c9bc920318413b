"""Convolutions by im2col and a matrix product: the weights' gradient, and layers whose channels do not fill a tile.

im2col copies what the window sees at each of P positions into a row of K = kernel height x kernel
width x channels numbers; col2im, its transpose, adds such rows back onto the image
(`reference/conv.py` has both in a few lines). With O the channels of g:

    conv_transpose    images = bias + col2im of (P, K) = g (P, O)  weights (O, K)
    conv_weight       weights' gradient (O, K) = g^T (O, P)  im2col(x) (P, K)

An image of one or three channels fills a small part of a tile of `gemm`, but its K numbers a
position fill it well. In the weights' gradient each number of im2col is used O times, which pays for
a copy that the micro-kernel reads from front to back. The whole (P, K) matrix would be many times
larger than the image, so it never exists: each thread makes a block of it that fits its cache, and
uses it at once. One row of the kernel, kernel width x channels numbers, is contiguous in a
channels-last image. Images are padded with zeros first, so that the same runs are copied at every
position.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.cpu.gemm import CACHE, SHARES_PER_THREAD, pack_rows
from minigrad.kernels.cpu.sizes import ConvSizes
from minigrad.kernels.cpu.threads import share
from minigrad.kernels.cpu.tile import BLOCK, aligned, cut, multiples, multiply_tile
from minigrad.kernels.cpu.units import call, compiled, inner, unit
from minigrad.kernels.cpu.vectors import ROWS, TILE_BYTES, add_vectors, clear, copy, copy_vectors

Array = Any

SHARES = 16  # partial sums of the weights' gradient over the positions, at most
LARGEST = 1 << 19  # numbers in all of them together
SHARE = 512  # positions in one of them, at least


@compiled
def conv_transpose(g: Array, w: Array, bias: Array, x: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """x = bias + col2im(g weights). Threads take groups of images until none is left."""
    width = TILE_BYTES // x.itemsize
    positions = sizes.rows * sizes.columns
    groups = min(n, max(1, n * positions // (8 * ROWS)))  # of images, so that a block has several strips of positions
    k = sizes.kernel_h * sizes.kernel_w * sizes.channels
    panels = (k + width - 1) // width
    packed = aligned(panels * out * width, g.dtype)
    call(pack_rows, (w, 0, k, out, 0, k, width, panels, packed, 0, out * width))
    block_panels = min(panels, BLOCK // width)
    block_positions = ROWS * max(1, min(16, CACHE // (block_panels * width * ROWS)))
    given = g, packed, bias, x, n, out, sizes, groups, panels, block_panels, block_positions
    share(threads, groups, groups, _group, given)


@unit
def _group(
    group: int, _: int, g: Array, packed: Array, bias: Array, x: Array, n: int, out: int, sizes: ConvSizes,
    groups: int, panels: int, block_panels: int, block_positions: int,
) -> None:  # fmt: skip
    """The transposed convolution of one group of images."""
    width, k = TILE_BYTES // x.itemsize, sizes.kernel_h * sizes.kernel_w * sizes.channels
    positions, padded_size = sizes.rows * sizes.columns, _padded_size(sizes)
    first, last = n * group // groups, n * (group + 1) // groups
    block = aligned(block_positions * block_panels * width, g.dtype)
    # one tile's width more: `add_vectors` writes beyond its last number
    padded = np.zeros((last - first) * padded_size + width, g.dtype)
    for p in range(0, (last - first) * positions, block_positions):
        count = min(block_positions, (last - first) * positions - p)
        for left in range(0, panels, block_panels):
            wide = min(block_panels, panels - left) * width
            _product(g, first * positions + p, packed, left, block, wide, out, count)
            runs = _runs(sizes, left * width, min(left * width + wide, k), wide, block_positions, width)
            _col2im(block, sizes, p, count, runs, wide, padded)
    for image in range(first, last):
        _crop(padded[(image - first) * padded_size :], bias, x, image, sizes)


@inner
def _product(g: Array, first: int, packed: Array, left: int, block: Array, wide: int, out: int, count: int) -> None:
    """block (count, wide) = g (count, out), from row `first` on, times panels (out, width), from number `left` on."""
    width = TILE_BYTES // g.itemsize
    zeros, one_run = np.zeros(width, g.dtype), multiples(0, 2)
    g_rows, rows = multiples(out, ROWS), multiples(wide, ROWS)
    for panel in range(wide // width):
        for i in range(0, count, ROWS):
            for o in range(0, out, BLOCK):
                multiply_tile(
                    g, (first + i) * out + o, g_rows, 1, packed, ((left + panel) * out + o) * width, width,
                    one_run, 0, 1, min(BLOCK, out - o), zeros, 0, o == 0,
                    block, i * wide + panel * width, rows, 0, count - i, width,
                )  # fmt: skip


@compiled
def conv_weight(x: Array, g: Array, w: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """w (O, K) = g^T im2col(x). Each thread takes some of the K columns or, if K is small, shares of the positions.

    The sums of the shares are added in a fixed order. If there are few shares, each is cut further
    into strips of g^T.
    """
    k, positions = sizes.kernel_h * sizes.kernel_w * sizes.channels, n * sizes.rows * sizes.columns
    width = TILE_BYTES // x.itemsize
    panels, strips = (k + width - 1) // width, (out + ROWS - 1) // ROWS
    padded = pad(x, n, sizes.channels, sizes.image_h, sizes.image_w, sizes.padding_h, sizes.padding_w, threads)
    wide = panels >= SHARES
    shares = 1 if wide else max(1, min(SHARES, positions // SHARE))
    columns = min(panels, threads) if wide else 1
    pieces = 1 if wide else min(strips, (SHARES // 2 + shares - 1) // shares)  # of the strips
    sums = np.empty((shares, out * k), x.dtype) if shares > 1 else w.reshape(1, out * k)
    given = padded, g, sums, out, sizes, positions, panels, strips, shares, columns, pieces
    share(threads, shares * columns * pieces, shares * columns * pieces, _weight_part, given)
    if shares > 1:
        _add_shares(sums, w)


@inner
def _add_shares(sums: Array, total: Array) -> None:
    """total = the sum of the rows, in their order."""
    for i in range(len(total)):
        total[i] = sums[0, i]
    for number in range(1, len(sums)):
        for i in range(len(total)):
            total[i] += sums[number, i]


@unit
def _weight_part(
    part: int, _: int, padded: Array, g: Array, sums: Array, out: int, sizes: ConvSizes,
    positions: int, panels: int, all_strips: int, shares: int, columns: int, pieces: int,
) -> None:  # fmt: skip
    """Strips and panels of w = g^T im2col(x), summed over a share of the positions."""
    number, piece, column = part // (columns * pieces), part // columns % pieces, part % columns
    w, first, last = sums[number], positions * number // shares, positions * (number + 1) // shares
    left_panel, right_panel = panels * column // columns, panels * (column + 1) // columns
    top, bottom = all_strips * piece // pieces, all_strips * (piece + 1) // pieces
    k, width, strips = sizes.kernel_h * sizes.kernel_w * sizes.channels, TILE_BYTES // g.itemsize, bottom - top
    block_panels = min(right_panel - left_panel, max(1, BLOCK // width))
    block_positions = min(last - first, CACHE // (block_panels * width))
    block = aligned(block_panels * width * block_positions, g.dtype)
    block[:] = 0  # no NaN or denormal slows the unused columns
    packed = aligned(strips * block_positions * ROWS, g.dtype)
    zeros, one_run = np.zeros(width, g.dtype), multiples(0, 2)
    g_rows, w_rows = multiples(1, ROWS), multiples(k, ROWS)
    for p in range(first, last, block_positions):
        count = min(block_positions, last - p)
        call(pack_rows, (g, p * out, out, count, top * ROWS, out, ROWS, strips, packed, 0, count * ROWS))
        for left in range(left_panel, right_panel, block_panels):
            right = min(left + block_panels, right_panel)
            runs = _runs(sizes, left * width, min(right * width, k), width, block_positions, width)
            _im2col(padded, sizes, p, count, runs, width, block)
            for i in range(strips):
                for panel in range(left, right):
                    multiply_tile(
                        packed, i * count * ROWS, g_rows, ROWS, block, (panel - left) * block_positions * width, width,
                        one_run, 0, 1, count, zeros, 0, p == first,
                        w, (top + i) * ROWS * k + panel * width, w_rows, 0, out - (top + i) * ROWS, k - panel * width,
                    )  # fmt: skip


@compiled
def conv_weight_by_taps(x: Array, g: Array, w: Array, n: int, out: int, sizes: ConvSizes, threads: int) -> None:
    """w^T (K, O) = im2col(x)^T (K, P) g (P, O), without im2col, for O that fill the tiles.

    Each of the K numbers that the window sees is a row of the left matrix. It is read in place: in
    `_planes` of x, its values at one row of positions are contiguous. Shares of the rows of
    positions are summed one by one, in blocks, and the sums are added in a fixed order.
    """
    columns = sizes.columns
    k, lines = sizes.kernel_h * sizes.kernel_w * sizes.channels, n * sizes.rows
    strips = (k + ROWS - 1) // ROWS
    planes, line_size = _planes(x, n, sizes, threads)
    x_rows, w_rows = _tap_offsets(sizes, line_size, strips * ROWS), multiples(out, strips * ROWS)
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
    sums = np.empty(shares * k * out, x.dtype)
    given = planes, g, sums, x_rows, w_rows, runs, out, k, lines, of_a_line, k_run, shares, pieces, block
    share(threads, shares * pieces, shares * pieces, _taps_part, given)
    total = sums[: k * out]
    _add_shares(sums.reshape(shares, k * out), total)
    for i in range(out):
        for j in range(k):
            w[i * k + j] = total[j * out + i]


@unit
def _taps_part(
    part: int, _: int, planes: Array, g: Array, sums: Array, x_rows: Array, w_rows: Array, runs: Array, out: int, k: int,
    lines: int, of_a_line: int, k_run: int, shares: int, pieces: int, block: int,
) -> None:  # fmt: skip
    """Some strips of w^T, summed over a share of the lines of positions."""
    width = TILE_BYTES // g.itemsize
    panels, strips, zeros = out // width, (k + ROWS - 1) // ROWS, np.zeros(width, g.dtype)
    number, piece = part // pieces, part % pieces
    first, last = lines * number // shares, lines * (number + 1) // shares
    for line in range(first, last, block):
        for panel in range(panels):
            for strip in range(strips * piece // pieces, strips * (piece + 1) // pieces):
                multiply_tile(
                    planes, 0, x_rows, 1, g, panel * width, out,
                    runs, line * of_a_line, min(block, last - line) * of_a_line, k_run,
                    zeros, 0, line == first, sums, number * k * out + panel * width, w_rows, strip * ROWS,
                    k - strip * ROWS, width,
                )  # fmt: skip


@inner
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


@inner
def _planes(x: Array, n: int, sizes: ConvSizes, threads: int) -> tuple[Array, int]:
    """Padded images with the numbers of a line sorted: by remainder of the column modulo the stride, then by channel.

    So every stride-th number of one channel is contiguous. Returns the size of a line, too.
    """
    height, padded_w = sizes.image_h + 2 * sizes.padding_h, sizes.image_w + 2 * sizes.padding_w
    plane = (padded_w + sizes.stride_w - 1) // sizes.stride_w
    line_size = sizes.stride_w * sizes.channels * plane
    planes = np.zeros(n * height * line_size + 8, x.dtype)
    share(threads, SHARES_PER_THREAD * threads, n * height, _fill_planes, (x, sizes, plane, planes))
    return planes, line_size


@unit
def _fill_planes(first_line: int, last_line: int, x: Array, sizes: ConvSizes, plane: int, planes: Array) -> None:
    """Sort the numbers of lines first_line .. last_line - 1 of the padded images."""
    channels, stride, padding = sizes.channels, sizes.stride_w, sizes.padding_w
    height = sizes.image_h + 2 * sizes.padding_h
    for line in range(first_line, last_line):
        image, y = line // height, line % height - sizes.padding_h
        if not 0 <= y < sizes.image_h:
            continue
        for first in range(stride * channels):
            column, c = first // channels, first % channels  # column of the padded line
            skipped = max(0, (padding - column + stride - 1) // stride)
            target = (line * stride * channels + first) * plane
            source = (image * sizes.image_h + y) * sizes.image_w
            for i in range(skipped, (sizes.image_w + padding - column + stride - 1) // stride):
                planes[target + i] = x[(source + i * stride + column - padding) * channels + c]


@inner
def pad(x: Array, n: int, channels: int, height: int, width: int, padding_h: int, padding_w: int, threads: int) -> Array:
    """Images with padding_h rows and padding_w columns of zeros on each side; x itself if both are 0."""
    if padding_h == 0 and padding_w == 0:
        return x
    rows = n * (height + 2 * padding_h)
    padded = np.empty(rows * (width + 2 * padding_w) * channels, x.dtype)
    given = x, channels, height, width, padding_h, padding_w, padded
    share(threads, SHARES_PER_THREAD * threads, rows, _pad_rows, given)
    return padded


@unit
def _pad_rows(
    first: int, last: int, x: Array, channels: int, height: int, width: int, padding_h: int, padding_w: int, padded: Array
) -> None:
    """Rows first .. last - 1 of padded images."""
    line, padded_line = width * channels, (width + 2 * padding_w) * channels
    for row in range(first, last):
        image, y = row // (height + 2 * padding_h), row % (height + 2 * padding_h) - padding_h
        inside = line if 0 <= y < height else 0
        left, source = row * padded_line + padding_w * channels, (image * height + y) * line
        clear(padded, row * padded_line, padding_w * channels)
        copy(x, source, padded, left, inside)
        clear(padded, left + inside, padded_line - padding_w * channels - inside)


@inner
def _padded_size(sizes: ConvSizes) -> int:
    """Numbers in one padded image."""
    return (sizes.image_h + 2 * sizes.padding_h) * (sizes.image_w + 2 * sizes.padding_w) * sizes.channels


@inner
def _crop(padded: Array, bias: Array, x: Array, image: int, sizes: ConvSizes) -> None:
    """Write the inside of one padded image, plus the bias, to an image of x."""
    for y in range(sizes.image_h):
        for z in range(sizes.image_w):
            pixel = (y + sizes.padding_h) * (sizes.image_w + 2 * sizes.padding_w) + z + sizes.padding_w
            source = pixel * sizes.channels
            target = ((image * sizes.image_h + y) * sizes.image_w + z) * sizes.channels
            for c in range(sizes.channels):
                x[target + c] = padded[source + c] + bias[c]


@inner
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


@inner
def _im2col(x: Array, sizes: ConvSizes, first: int, count: int, runs: Array, width: int, block: Array) -> None:
    """Copy what the window sees at positions first .. first + count - 1 to the rows of a block.

    Whole vectors are copied where what they write beyond a run is written again later: by the next
    run, or by the next row.
    """
    last = runs[:, 0].max() + width  # what whole vectors read, at most
    corner = _corner(sizes, first)
    for row in range(count):
        start = corner[0]
        if row < count - 1 and start + last <= len(x):
            for r in range(len(runs)):
                copy_vectors(x, start + runs[r, 0], block, row * width + runs[r, 1], runs[r, 2])
        else:
            for r in range(len(runs)):
                copy(x, start + runs[r, 0], block, row * width + runs[r, 1], runs[r, 2])
        corner = _next(sizes, corner)


@inner
def _col2im(block: Array, sizes: ConvSizes, first: int, count: int, runs: Array, width: int, x: Array) -> None:
    """Add the rows of a block back to the padded images: the transpose of `_im2col`."""
    corner = _corner(sizes, first)
    for row in range(count):
        for r in range(len(runs)):
            add_vectors(block, row * width + runs[r, 1], x, corner[0] + runs[r, 0], runs[r, 2])
        corner = _next(sizes, corner)


@inner
def _corner(sizes: ConvSizes, position: int) -> tuple[int, int, int]:
    """The offset in the padded images of the window's first number at a position, and the position's row and column."""
    image, place = position // (sizes.rows * sizes.columns), position % (sizes.rows * sizes.columns)
    i, j = place // sizes.columns, place % sizes.columns
    line = image * (sizes.image_h + 2 * sizes.padding_h) + i * sizes.stride_h
    return (line * (sizes.image_w + 2 * sizes.padding_w) + j * sizes.stride_w) * sizes.channels, i, j


@inner
def _next(sizes: ConvSizes, corner: tuple[int, int, int]) -> tuple[int, int, int]:
    """The corner of the next position, without a division."""
    start, i, j = corner
    line = (sizes.image_w + 2 * sizes.padding_w) * sizes.channels
    if j + 1 < sizes.columns:
        return start + sizes.stride_w * sizes.channels, i, j + 1
    start -= j * sizes.stride_w * sizes.channels  # to the first column
    if i + 1 < sizes.rows:
        return start + sizes.stride_h * line, i + 1, 0
    return start + (sizes.image_h + 2 * sizes.padding_h - i * sizes.stride_h) * line, 0, 0
