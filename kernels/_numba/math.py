"""Float32 transcendentals and one position of the scan, for the numba kernels.

numba's wheel has no vector math library, so a call to exp in a loop keeps the
loop scalar. The polynomials here vectorise; over their range their relative error
is below 2e-7, and a NaN passes through all of them.

Everything here is inlined into the kernels, because the compiler vectorises a loop
over the channels of a block only if it sees all of it. Needs numba.
"""

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from ..softplus import LOG1P
from .parallel import FASTMATH

_F32, _I32 = np.float32, np.int32
_ZERO, _ONE, _LOG2_E = _F32(0), _F32(1), _F32(np.log2(np.e))
LN_2 = _F32(np.log(2))
# added to a float32, it rounds that to an integer in the low mantissa bits
_ROUND = _F32(1.5 * 2**23)
_ROUND_BITS = _I32(_ROUND.view(_I32) - 127)
_LOWEST, _HIGHEST = _F32(-127), _F32(128)

# 2^r on [-0.5, 0.5], minimax for relative error; exactly 1 at 0, like LOG1P
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = map(
    _F32,
    (
        1,
        0.6931471824645996,
        0.24022646248340607,
        0.05550328642129898,
        0.009618489071726799,
        0.0013399930903688073,
        0.0001534580806037411,
    ),
)
_G0, _G1, _G2, _G3, _G4, _G5, _G6, _G7, _G8, _G9 = map(_F32, LOG1P)


@intrinsic
def use_widest_vectors(typing_context):
    """Let LLVM use vectors of 512 bits in the kernel that calls this.

    By itself it takes half of that on CPUs whose clock once fell with them.
    """

    def generate(context, builder, signature, args):
        # past llvmlite's `add`, which takes only the attributes without a value
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.none(), generate


# not reassociated, because the rounding by a large constant would cancel
@njit(fastmath={'contract'}, forceinline=True)
def exp2(x):
    """Compute 2^x for float32, 0 below -126.5 and inf above 127.5."""
    x = _LOWEST if x < _LOWEST else x
    x = _HIGHEST if x > _HIGHEST else x
    shifted = x + _ROUND
    bits = _F32(shifted).view(_I32) - _ROUND_BITS
    r = x - (shifted - _ROUND)
    y = _E0 + r * (_E1 + r * (_E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * _E6)))))
    return y * _I32(bits << _I32(23)).view(_F32)


@njit(fastmath={'contract'}, forceinline=True)
def _log1p(w):
    tail = _G5 + w * (_G6 + w * (_G7 + w * (_G8 + w * _G9)))
    return w * (_G0 + w * (_G1 + w * (_G2 + w * (_G3 + w * (_G4 + w * tail)))))


@njit(fastmath={'contract'}, forceinline=True)
def softplus(z):
    """Compute log(1 + e^z) for float32, accurate relative to small results too."""
    return (z if z > _ZERO else _ZERO) + _log1p(exp2(-abs(z) * _LOG2_E))


@njit(fastmath={'contract'}, forceinline=True)
def softplus_and_slope(z):
    """Compute softplus(z) and its derivative, the logistic function of z."""
    w = exp2(-abs(z) * _LOG2_E)
    slope = (_ONE if z > _ZERO else w) / (_ONE + w)
    # because a NaN compares false, it takes w, which is NaN then
    return (z if z > _ZERO else _ZERO) + _log1p(w), slope


@njit(fastmath=FASTMATH, forceinline=True)
def scan_position(lanes, u, delta, A, B, C, h, y):
    """Scan one position for a block of channels, in place.

    Args:
        lanes (int): Number of channels in the block.
        u (ndarray): Inputs of shape (lanes,).
        delta (ndarray): Step sizes of shape (lanes,).
        A (ndarray): Decay rates times log2(e), of shape (N, lanes).
        B (ndarray): Input weights of this position, of shape (N,).
        C (ndarray): Output weights of this position, of shape (N,).
        h (ndarray): States of shape (N, lanes), updated.
        y (ndarray): Outputs of shape (lanes,), added to.
    """
    use_widest_vectors()
    for n in range(len(B)):
        B_n, C_n = B[n], C[n]
        for c in range(lanes):
            h_c = exp2(delta[c] * A[n, c]) * h[n, c] + delta[c] * u[c] * B_n
            h[n, c] = h_c
            y[c] += C_n * h_c


@njit(fastmath=FASTMATH, forceinline=True)
def replay_position(lanes, u, delta, A, B, h_before, a, h):
    """Scan one position, keep decays and states, and make no output.

    Args:
        lanes, u, delta, A, B: As for `scan_position`.
        h_before (ndarray): States before this position, of shape (N, lanes).
        a (ndarray): Decays of this position, of shape (N, lanes), written.
        h (ndarray): States after this position, of shape (N, lanes), written.
    """
    use_widest_vectors()
    for n in range(len(B)):
        B_n = B[n]
        for c in range(lanes):
            a_c = exp2(delta[c] * A[n, c])
            a[n, c] = a_c
            h[n, c] = a_c * h_before[n, c] + delta[c] * u[c] * B_n


@njit(fastmath=FASTMATH, forceinline=True)
def scan_position_backward(
    lanes, u, delta, A, B, C, dy, a, h_before, h, carry, du, ddelta, dA, dB, dC
):
    """Compute the gradients of `scan_position`, in place, last position first.

    Args:
        lanes, u, delta, A, B, C: As for `scan_position`.
        dy (ndarray): Gradient of the output, of shape (lanes,).
        a (ndarray): Decays of this position, of shape (N, lanes).
        h_before (ndarray): States before this position, of shape (N, lanes).
        h (ndarray): States after this position, of shape (N, lanes).
        carry (ndarray): Gradient of h from later positions, of shape (N, lanes);
            becomes the gradient of h_before.
        du, ddelta, dA, dB, dC (ndarray): Gradients, shaped like their tensors,
            added to.
    """
    use_widest_vectors()
    for n in range(len(B)):
        B_n, C_n = B[n], C[n]
        dB_n = dC_n = _ZERO
        for c in range(lanes):
            g = C_n * dy[c] + carry[n, c]
            a_g = a[n, c] * g
            along_a = a_g * h_before[n, c]
            carry[n, c] = a_g
            dA[n, c] += along_a * delta[c]
            ddelta[c] += along_a * A[n, c] * LN_2 + g * B_n * u[c]
            du[c] += g * B_n * delta[c]
            dB_n += g * delta[c] * u[c]
            dC_n += dy[c] * h[n, c]
        dB[n] += dB_n
        dC[n] += dC_n
