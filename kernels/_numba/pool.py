"""Numba kernels, and the threads that run them: as many as torch's.

A kernel takes its arguments and a range of shares, runs without the GIL and
is called from a pool of Python threads. numba's own threading layers are not
used: one of them kills a forked child, such as a data-loader worker, and
another aborts when two Python threads call it. This pool is made anew after a
fork, and any number of threads may hand it work.
"""

import functools
import os
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

# without nnan and ninf: NaN and Inf reach the output as in the reference
FASTMATH = {'nsz', 'arcp', 'contract', 'afn', 'reassoc'}

# state updates that are worth waking a thread for, about 100 microseconds
_WORTH_A_THREAD = 1 << 16
# channels to a block are a multiple of a vector, and not so many that what is kept
# of a line or chunk outgrows the cache
_VECTOR, _MAX_LANES = 16, 320

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


# a forked child inherits the pool but none of its threads
os.register_at_fork(after_in_child=_forget_pool)


def _submit(*call: Any) -> Future:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), 'sparx_mm')
    return _pool.submit(*call)


def num_threads(work: int) -> int:
    """Count the threads that pay for some work.

    Args:
        work (int): Number of updates of one state of one channel.

    Returns:
        int: At least 1, at most torch's number of threads.
    """
    return max(1, min(torch.get_num_threads(), work // _WORTH_A_THREAD))


def block_lanes(channels: int, blocks: int = 1) -> int:
    """Choose the number of channels to a block.

    Args:
        channels (int): Number of channels to split.
        blocks (int): Least number of blocks, if there are enough channels.
            Default: 1.

    Returns:
        int: A multiple of the vector length; the last block may be ragged.
    """
    blocks = max(-(-channels // _MAX_LANES), blocks)
    return -(-channels // (blocks * _VECTOR)) * _VECTOR


def backward_shares(threads: int, batch: int, max_slices: int) -> tuple[int, int]:
    """Split a backward pass into parts of the batch and slices of the channels.

    Every part holds partial gradients of the parameters, every slice holds
    partial gradients of what all channels share.

    Args:
        threads (int): Number of threads to keep busy.
        batch (int): Number of images or sequences.
        max_slices (int): Number of slices that memory allows.

    Returns:
        tuple[int, int]: Numbers of parts and slices.
    """
    if batch % threads == 0:
        return threads, 1
    slices = max(1, min(threads, max_slices))
    return min(batch, -(-threads // slices)), slices


@functools.cache
def _shared_code() -> str:
    """Fingerprint the files that every kernel takes code from."""
    folder = Path(__file__).parent
    files = [folder / 'pool.py', folder / 'math.py', folder.parent / 'softplus.py']
    return f'{zlib.crc32(b"".join(f.read_bytes() for f in files)):08x}'


class Kernel:
    """Loop nest over shares, compiled at its first call.

    Args:
        function (Callable): A function whose last two parameters are the first
            share and the one after the last; it writes into its other arguments,
            and no two shares write to the same place.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self.__doc__ = function.__doc__
        self._function = function
        self._compiled: Callable[..., None] | None = None

    def __call__(self, threads: int, shares: int, *args: Any) -> None:
        """Run all shares.

        Args:
            threads (int): Number of threads to use, this one included.
            shares (int): Number of shares.
            args: Arguments before the range of shares.
        """
        if self._compiled is None:
            self._compiled = self._compile(args)
        threads = max(1, min(threads, shares))
        ends = [shares * (i + 1) // threads for i in range(threads)]
        others = [_submit(self._compiled, *args, *limits) for limits in zip(ends, ends[1:])]
        try:
            self._compiled(*args, 0, ends[0])
        finally:
            # after an error too, because nobody may write to the results then
            wait(others)
        for other in others:
            other.result()

    def _compile(self, args: tuple) -> Callable[..., None]:
        # imported lazily: numba takes a second, and may be missing
        from numba import njit

        # because numba's cache knows a kernel by its file and name, it would serve
        # it on after a change of what is compiled into it from other files
        name = f'{self._function.__name__}_{_shared_code()}'
        self._function.__qualname__ = name
        options = dict(nogil=True, fastmath=FASTMATH, error_model='numpy')
        try:
            compiled = njit(self._function, cache=True, **options)
            compiled(*args, 0, 0)
        except Exception:
            # a cache that cannot be read or written shows in many ways, and
            # must not matter; a fault of the kernel is raised again here
            compiled = njit(self._function, **options)
            compiled(*args, 0, 0)
        return compiled
