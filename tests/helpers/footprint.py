"""What a process holds: memory, files, threads and children."""

import ctypes
import gc
import os

import numpy as np

# gives free memory back to the system, of which glibc keeps up to tens of MiB for later
_trim = getattr(ctypes.CDLL(None), 'malloc_trim', lambda pad: None)


class Resources:
    """Samples of this process's memory, and what else it held at the first of them."""

    def __init__(self):
        self.memory = []
        self.held = None

    def sample(self) -> None:
        """Take a sample, after what no one refers to has gone."""
        gc.collect()
        _trim(0)
        with open('/proc/self/statm') as file:
            self.memory.append(int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE'))
        self.held = self.held or held()

    def slope(self) -> float:
        """Return the growth in the second half of the samples, in KiB a sample."""
        late = self.memory[len(self.memory) // 2 :]
        return np.polyfit(range(len(late)), late, 1)[0] / 1024

    def gained(self) -> dict[str, int]:
        """Return what is held now and was not at the first sample."""
        return {name: count - self.held[name] for name, count in held().items()}


def held() -> dict[str, int]:
    """Count open files, threads and children of this process."""
    threads = os.listdir('/proc/self/task')
    children = []
    for thread in threads:
        with open(f'/proc/self/task/{thread}/children') as file:
            children += file.read().split()
    return dict(
        files=len(os.listdir('/proc/self/fd')), threads=len(threads), children=len(children)
    )
