"""What the C library does with freed memory."""

import ctypes
import os

# glibc's numbers of its settings: free memory at the heap's end that it keeps, in bytes,
# and the least size that is mapped by itself and given back when it is freed
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
KEPT, MAPPED = 1 << 30, 1 << 28
# by which a user has chosen otherwise
_VARIABLES = ('MALLOC_TRIM_THRESHOLD_', 'MALLOC_MMAP_THRESHOLD_', 'GLIBC_TUNABLES')


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next maps, up to 1 GiB at the heap's end.

    By itself it gives large maps back to the system, which clears their pages for the
    next layer: up to a tenth of a network's time on a CPU.

    Returns:
        bool: True if it does now; False with another C library, or if a variable of the
        environment sets its memory.
    """
    if any(name in os.environ for name in _VARIABLES):
        return False
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is None:
        return False
    return all([mallopt(_TRIM_THRESHOLD, KEPT), mallopt(_MMAP_THRESHOLD, MAPPED)])
