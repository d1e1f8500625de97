"""Time and memory of calls, with all code that depends on the kind of device."""

import contextlib
import itertools
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

_MIB = 1 << 20
# written before each timed call on a GPU: larger than any second-level cache
_FLUSH = 256 * _MIB
# copied for the bandwidth: larger than any last-level cache
_COPY = dict(cuda=1024 * _MIB, cpu=256 * _MIB)
_WARM_UP = 3


@dataclass(frozen=True)
class Call:
    """Call to be timed.

    Args:
        run (Callable): Function without arguments.
        held (int): Bytes of the tensors that it starts from. Default: 0.
        repeats (int, optional): Greatest number of timed calls. Default: as asked
            for on the command line.
    """

    run: Callable
    held: int = 0
    repeats: int | None = None


@dataclass(frozen=True)
class Sample:
    """Result of timing a call.

    Args:
        minimum (float): Milliseconds of the fastest call.
        median (float): Milliseconds of the middle one.
        memory (int, optional): Bytes of torch's tensors at the peak, those held
            before included. Default: not counted.
    """

    minimum: float
    median: float
    memory: int | None = None


def nbytes(*tensors):
    """Sum the bytes of some tensors."""
    return sum(t.numel() * t.element_size() for t in tensors)


def device_name(device):
    """Return the name of a GPU, or of the processor."""
    if device.type == 'cuda':
        return torch.cuda.get_device_name(device)
    try:
        lines = Path('/proc/cpuinfo').read_text().splitlines()
    except OSError:
        lines = []
    names = [s.partition(': ')[2] for s in lines if s.startswith('model name')]
    return (names or [platform.machine()])[0]


def clock(device):
    """Read a clock in seconds.

    Args:
        device (torch.device): Where the work is done. On a CPU with one thread of torch, the
            clock is that of this thread alone, which other programs disturb little.

    Returns:
        float: Seconds.
    """
    alone = device.type == 'cpu' and torch.get_num_threads() == 1
    return time.thread_time() if alone else time.perf_counter()


def _milliseconds(run, device, flush):
    if device.type != 'cuda':
        start = clock(device)
        run()
        return (clock(device) - start) * 1e3
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    # while the GPU writes this, the call is queued behind it
    flush.zero_()
    start.record()
    run()
    end.record()
    torch.cuda.synchronize(device)
    return start.elapsed_time(end)


def _peak(call, device):
    """Run a call once and return the bytes of torch's tensors at its peak."""
    if device.type != 'cuda':
        return _peak_on_cpu(call.run) + call.held
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    call.run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before + call.held


def _peak_on_cpu(run):
    """Run a function and return the bytes at its peak, above those from before."""
    with torch.profiler.profile(profile_memory=True) as profile:
        run()
    changes = [
        (event.start_ns(), event.nbytes())
        for event in profile.profiler.kineto_results.events()
        if event.name() == '[memory]'
    ]
    return max(itertools.accumulate(nbytes for _, nbytes in sorted(changes)), default=0)


def _flush_buffer(device):
    size = _FLUSH if device.type == 'cuda' else 0
    return torch.empty(size, dtype=torch.uint8, device=device)


def out_of_memory_as_none(function):
    """Call a function and return its result, None if it runs out of memory."""
    try:
        return function()
    except (torch.OutOfMemoryError, MemoryError):
        pass
    except RuntimeError as error:
        # torch has no class of its own for it on a CPU
        if 'DefaultCPUAllocator' not in str(error):
            raise
    # after the handler, because the exception keeps what the function had allocated
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def free_memory():
    """Return the bytes that a process may still take."""
    lines = Path('/proc/meminfo').read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith('MemAvailable:'))
    free = int(kib) * 1024
    try:
        # of a container
        limit, used = (
            int(Path(f'/sys/fs/cgroup/memory.{n}').read_text()) for n in ('max', 'current')
        )
    except (OSError, ValueError):
        return free
    return min(free, limit - used)


@contextlib.contextmanager
def memory_limit(device):
    """Refuse a CPU's allocations beyond its free memory, within this context.

    Linux grants them, and kills the process when they are used.

    Args:
        device (torch.device): Device that is measured.
    """
    if device.type != 'cpu':
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + free_memory(), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def compare(calls, device, repeats):
    """Time calls in turns, so that a busy spell of the machine affects all.

    Args:
        calls (dict[str, Call]): Calls by name.
        device (torch.device): Device that they run on.
        repeats (int): Number of timed calls of each.

    Returns:
        dict[str, Sample or None]: None where memory did not suffice.
    """
    counts = {
        name: repeats if call.repeats is None else min(call.repeats, repeats)
        for name, call in calls.items()
    }
    peaks = {
        name: out_of_memory_as_none(lambda: [_peak(call, device)]) for name, call in calls.items()
    }
    calls = {name: call for name, call in calls.items() if peaks[name]}
    flush = _flush_buffer(device)
    for name, call in calls.items():
        for _ in range(min(_WARM_UP, counts[name]) - 1):
            call.run()
    times = {name: [] for name in calls}
    turns = list(calls.items())
    for i in range(repeats):
        # backwards every other time, so that no call always follows one that empties the cache
        for name, call in turns[:: -1 if i % 2 else 1]:
            if i < counts[name]:
                times[name].append(_milliseconds(call.run, device, flush))
    return {
        name: peak and Sample(min(times[name]), statistics.median(times[name]), peak[0])
        for name, peak in peaks.items()
    }


def copy_bandwidth(device):
    """Measure the bytes per second that a copy within memory reads and writes."""
    source = torch.ones(_COPY[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = Call(lambda: target.copy_(source))
    milliseconds = compare(dict(copy=copy), device, 20)['copy'].minimum
    return 2 * nbytes(source) / milliseconds * 1e3
