"""Numba kernels, and the threads that run them: torch's own.

A kernel takes its arguments and a range of shares, runs without the GIL and is called
from the OpenMP threads that torch's operators run on. Those wait in a loop for their next
work, and would keep a core from threads of another pool. numba's threading layers are not
used: one of them kills a forked child, such as a data-loader worker, and another aborts
when two Python threads call it. OpenMP's threads do not survive a fork, so a forked child
uses one.
"""

import ctypes
import functools
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

# without nnan and ninf: NaN and Inf reach the output as in the reference
FASTMATH = {'nsz', 'arcp', 'contract', 'afn', 'reassoc'}

# state updates that are worth a thread, about 100 microseconds
_WORTH_A_THREAD = 1 << 16
# and those that are worth calling one more of torch's threads, which enter Python one by
# one, about 13 microseconds
_WORTH_A_CALL = 1 << 13
# channels to a block are a multiple of a vector, and not so many that what is kept
# of a line or chunk outgrows the cache
_VECTOR, _MAX_LANES = 16, 320

_Region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


@functools.cache
def _openmp() -> Callable[..., None] | None:
    """Find the entry point through which torch's compiled code starts its threads."""
    torch_cpu = Path(torch.__file__).parent / 'lib' / 'libtorch_cpu.so'
    # in the order of the linker: what was loaded for all, then what torch is linked to
    for library in (None, torch_cpu):
        try:
            function = ctypes.CDLL(library and str(library)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        function.argtypes = (_Region, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        function.restype = None
        return function
    return None


_forked = False


def _note_fork() -> None:
    global _forked
    _forked = True


os.register_at_fork(after_in_child=_note_fork)


def team_size() -> int:
    """Count the threads that kernels may run on: torch's, or one where they cannot be called."""
    return 1 if _forked or _openmp() is None else torch.get_num_threads()


def _run(shares: range, call: Callable[[int], None]) -> None:
    """Call a function for each share, on several of torch's threads where it has them."""
    # taken one by one under the GIL
    left, errors = iter(shares), []

    def region(_) -> None:
        try:
            for share in left:
                call(share)
        except BaseException as error:
            errors.append(error)

    if len(shares) > 1 and team_size() > 1:
        # all threads, as torch does: a smaller team would end the others
        _openmp()(_Region(region), None, 0, 0)
    # what no thread took, such as where OpenMP has one
    region(None)
    if errors:
        raise errors[0]


def num_threads(work: int) -> int:
    """Count the threads that pay for some work.

    Args:
        work (int): Number of updates of one state of one channel.

    Returns:
        int: At least 1, at most torch's number of threads.
    """
    team = team_size()
    if work < team * _WORTH_A_CALL:
        return 1
    return max(1, min(team, work // _WORTH_A_THREAD))


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
    files = [folder / 'parallel.py', folder / 'math.py', folder.parent / 'softplus.py']
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
        ends = [shares * i // threads for i in range(threads + 1)]
        _run(range(threads), lambda i: self._compiled(*args, ends[i], ends[i + 1]))

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
