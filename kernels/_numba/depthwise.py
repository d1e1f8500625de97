"""The gradient of the weight of a depthwise 5x5 convolution: a numba kernel in float32.

A block is some channels of all images. The rows of a map pass through a ring of as many rows
as the kernel has, padded with zeros, so that each is read once. Maps are channels-last,
(B, H, W, C).
"""

import numpy as np
from numba import njit

from .math import use_widest_vectors
from .parallel import FASTMATH, Kernel

# two vectors: so few channels that a ring stays in the cache
LANES = 32
SIDE = 5
# positions whose products are summed before they are added
_STEP = 4
_ZERO = np.float32(0)


@njit(fastmath=FASTMATH, forceinline=True)
def _add_products(window, dy, own):
    """Add the products of four positions of dy and a row of x to a row of the gradient.

    Args:
        window (ndarray): x at the positions that the kernel's row meets, ((K + 3) lanes,).
        dy (ndarray): Gradient of the convolution, of shape (4 lanes,).
        own (ndarray): Row of the weight's gradient, of shape (K lanes,), added to.
    """
    for c in range(LANES):
        d0, d1, d2, d3 = dy[c], dy[LANES + c], dy[2 * LANES + c], dy[3 * LANES + c]
        for t in range(SIDE):
            own[t * LANES + c] += (
                d0 * window[t * LANES + c]
                + d1 * window[(t + 1) * LANES + c]
                + d2 * window[(t + 2) * LANES + c]
                + d3 * window[(t + 3) * LANES + c]
            )


@njit(fastmath=FASTMATH, forceinline=True)
def _walk(dy, x, start, used, ring, dy_row, own):
    """Add an image's products to a block's gradient, ``own``, of shape (K, K lanes)."""
    height, width, _ = x.shape
    half = SIDE // 2
    ring[:] = _ZERO
    for row in range(-half, height):
        # the row that enters the ring: zeros below the image
        place = (row + half) % SIDE
        for j in range(width):
            at = (j + half) * LANES
            if row + half < height:
                x_j = x[row + half, j, start : start + used]
                own_j = ring[place, at : at + used]
                for c in range(used):
                    own_j[c] = x_j[c]
            else:
                ring[place, at : at + LANES] = _ZERO
        if row < 0:
            continue
        for j in range(width):
            dy_j = dy[row, j, start : start + used]
            own_j = dy_row[j * LANES : j * LANES + used]
            for c in range(used):
                own_j[c] = dy_j[c]
        for j in range(0, width, _STEP):
            for i in range(SIDE):
                place = (row + i + SIDE - half) % SIDE
                _add_products(
                    ring[place, j * LANES : (j + SIDE + _STEP - 1) * LANES],
                    dy_row[j * LANES : (j + _STEP) * LANES],
                    own[i],
                )


@Kernel
def weight_gradient_kernel(dy, x, d_weight, first, last):
    """Compute the gradient of the weight, for blocks of channels first to last.

    Args:
        dy (ndarray): Gradient of the convolution, of shape (B, H, W, C).
        x (ndarray): Map of shape (B, H, W, C).
        d_weight (ndarray): Gradient of the weight, of shape (C, K, K), written.
        first (int): First block.
        last (int): Block after the last one.
    """
    use_widest_vectors()
    batch, _, width, channels = x.shape
    ring = np.zeros((SIDE, (width + SIDE + _STEP) * LANES), np.float32)
    # with positions past the width, which stay zero
    dy_row = np.zeros((width + _STEP) * LANES, np.float32)
    own = np.zeros((SIDE, SIDE * LANES), np.float32)
    for block in range(first, last):
        start = block * LANES
        used = min(LANES, channels - start)
        own[:] = _ZERO
        for b in range(batch):
            _walk(dy[b], x[b], start, used, ring, dy_row, own)
        for c in range(used):
            for i in range(SIDE):
                for j in range(SIDE):
                    d_weight[start + c, i, j] = own[i, j * LANES + c]
