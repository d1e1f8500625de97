"""Compiling numba kernels and running them on as many threads as torch.

A kernel takes its arguments and a range of shares, runs without the GIL and
is called from a pool of Python threads. numba's own threading layers are not
used: one of them kills a forked child, such as a data-loader worker, and
another aborts when two Python threads call it. This pool is made anew after a
fork, and any number of threads may hand it work.
"""

import functools
import os
import zlib
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import torch

# without nnan and ninf: NaN and Inf reach the output as in the reference
FASTMATH = {'nsz', 'arcp', 'contract', 'afn', 'reassoc'}

# state updates that are worth waking a thread for, about 100 microseconds
_WORTH_A_THREAD = 1 << 16
# channels to a block are a multiple of a vector, and not so many that a row
# of blocks outgrows the cache
_VECTOR, _MAX_LANES = 16, 192

_pool = None


def _forget_pool():
    global _pool
    _pool = None


# a forked child inherits the pool but none of its threads
os.register_at_fork(after_in_child=_forget_pool)


def _submit(*call):
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), 'sparx_mm')
    return _pool.submit(*call)


def num_threads(work):
    """Threads that this much work is spread over, torch's number at most.

    Args:
        work (int): Updates of one state of one channel.

    Returns:
        int: At least 1.
    """
    return max(1, min(torch.get_num_threads(), work // _WORTH_A_THREAD))


def block_lanes(channels, blocks=1):
    """Channels to a block.

    Args:
        channels (int): Channels to be split.
        blocks (int): Blocks to make at least, if there are channels enough.

    Returns:
        int: A multiple of the vector length; the last block may be ragged.
    """
    blocks = max(-(-channels // _MAX_LANES), blocks)
    return -(-channels // (blocks * _VECTOR)) * _VECTOR


def backward_shares(threads, batch, max_slices):
    """How a backward pass is split: groups of images, slices of channels.

    Every group holds partial gradients of the parameters, every slice holds
    partial gradients of what all channels share.

    Args:
        threads (int): Threads to be busy.
        batch (int): Number of images.
        max_slices (int): Slices that can be afforded.

    Returns:
        tuple[int, int]: Groups and slices.
    """
    if batch % threads == 0:
        return threads, 1
    slices = max(1, min(threads, max_slices))
    return min(batch, -(-threads // slices)), slices


@functools.cache
def _shared_code():
    """Fingerprint of the files that every kernel takes code from."""
    folder = Path(__file__).parent
    files = [folder / 'pool.py', folder / 'math.py', folder.parent / 'softplus.py']
    return f'{zlib.crc32(b"".join(f.read_bytes() for f in files)):08x}'


class Kernel:
    """A loop nest over shares, compiled at its first call.

    Args:
        function (Callable): Its last two parameters are the first share and
            the one after the last; it writes into its other arguments, and
            no two shares write to the same place.
    """

    def __init__(self, function):
        self.__doc__ = function.__doc__
        self._function = function
        self._compiled = None

    def __call__(self, threads, shares, *args):
        """Run all shares.

        Args:
            threads (int): Threads to use, this one included.
            shares (int): Number of shares.
            args: The arguments before the range of shares.
        """
        if self._compiled is None:
            self._compiled = self._compile(args)
        threads = max(1, min(threads, shares))
        ends = [shares * (i + 1) // threads for i in range(threads)]
        others = [_submit(self._compiled, *args, *limits) for limits in zip(ends, ends[1:])]
        try:
            self._compiled(*args, 0, ends[0])
        finally:
            # nobody may write to the results after an error either
            wait(others)
        for other in others:
            other.result()

    def _compile(self, args):
        from numba import njit

        # numba's cache knows a kernel by its file and name, and would serve
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
