"""Limits of devices: GPUs by their data sheets, this CPU by measurement."""

import math
from typing import NamedTuple

import torch
from measure import Call, compare, device_name
from report import number

_MIB = 1 << 20
# calls of each kind on a CPU: many, because a limit is what a machine at rest can do
_REPEATS = 50


class Device(NamedTuple):
    """Limits of a device.

    Attributes:
        name (str): Name, and where the figures come from.
        bandwidth (float): Bytes per second to and from memory.
        matrix (float): FLOPs per second of dense products in 16 bits, summed in float32.
        float32 (float): FLOPs per second in float32 without tensor cores.
        cache (int): Bytes of the last cache before memory.
        launch (float): Seconds from one operator to the next, besides their work.
        processors (int, optional): Multiprocessors. None: a CPU.
        rates (tuple): For a CPU, sizes in bytes, ascending, and the bytes per second with
            which that much memory is used again and again.
    """

    name: str
    bandwidth: float
    matrix: float
    float32: float
    cache: int
    launch: float
    processors: int | None = None
    rates: tuple = ()

    def read_time(self, size, distance):
        """Return the seconds of reading what was last used some bytes before.

        Args:
            size (int): Bytes to read.
            distance (float): Bytes used since, and these.
        """
        # a GPU's cache is not charged: no data sheet has its bandwidth
        rates = self.rates or ((self.cache, math.inf),)
        return size / next((rate for most, rate in rates if distance <= most), self.bandwidth)

    def write_time(self, size):
        """Return the seconds of writing ``size`` bytes to memory, or to a CPU's cache."""
        # where the allocator hands out again what has just been freed
        return self.read_time(size, size if self.rates else math.inf)

    def describe(self):
        """Write the limits in a sentence."""
        return (
            f'{number(self.bandwidth / 1e9)} GB/s; {number(self.matrix / 1e12)} TFLOPS of products '
            f'in 16 bits, {number(self.float32 / 1e12)} in float32; {self.cache // _MIB} MiB of '
            f'cache; {number(self.launch * 1e6)} us a launch.'
        )


# kernels one after the other on a stream; assumed, because no vendor states it
_LAUNCH = 2e-6
# dense tensor cores, boost clock
GPUS = {
    name: Device(title, bandwidth, matrix, float32, cache * _MIB, _LAUNCH, processors)
    for name, title, bandwidth, matrix, float32, cache, processors in (
        ('h100', 'H100 SXM 80 GB (data sheet)', 3.35e12, 989.4e12, 67e12, 50, 132),
        ('h200', 'H200 SXM 141 GB (data sheet)', 4.8e12, 989.4e12, 67e12, 50, 132),
        ('a100', 'A100 SXM 80 GB (data sheet)', 2.039e12, 312e12, 19.5e12, 40, 108),
        ('4090', 'GeForce RTX 4090 (Ada white paper)', 1.008e12, 165.2e12, 82.6e12, 72, 128),
    )
}


def measure_cpu():
    """Measure this CPU with the current number of threads.

    Returns:
        Device: Rates of copies of 1 to 512 MiB, the largest of which is the bandwidth; the
        FLOPs of the fastest product of square matrices; as cache the most memory that is
        copied twice as fast as the largest.
    """
    cpu, one, rates, peak = torch.device('cpu'), torch.ones(()), [], 0.0

    def seconds(run):
        # alone, because in turns with others their data would leave the caches
        return compare(dict(call=Call(run)), cpu, _REPEATS)['call'].minimum / 1e3

    for side in (256, 512, 1024):
        a = torch.randn(side, side)
        peak = max(peak, 2 * side**3 / seconds(lambda: a @ a))
    for size in (2**n * _MIB for n in range(10)):
        # read and written
        source, target = torch.ones(2, size // 8)
        rates.append((size, size / seconds(lambda: target.copy_(source))))
    bandwidth, launch = rates[-1][1], seconds(lambda: one + one)
    cache = max((size for size, rate in rates if rate >= 2 * bandwidth), default=0)
    name = f'{device_name(cpu)}, {torch.get_num_threads()} threads (measured)'
    return Device(name, bandwidth, peak, peak, cache, launch, rates=tuple(rates))
