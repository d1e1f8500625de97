"""Launches that skip Triton's Python once a kernel is compiled.

Triton binds, specialises and looks up the arguments of each launch anew, which takes
longer than many of these kernels run. Here the compiled kernel is found by the few
facts that it depends on.
"""

from typing import Any

import torch
import triton
from triton.runtime.jit import JITFunction

# by the key that `run` makes: compiled kernels, and their constants in order
_COMPILED: dict[tuple, tuple[triton.compiler.CompiledKernel, list]] = {}
_INT32 = 2**31
_ALIGNMENT = 16
_IS_HIP = bool(torch.version.hip)


def _fact(argument: Any) -> Any:
    """Return what Triton makes a kernel for, of a tensor or a number."""
    if isinstance(argument, torch.Tensor):
        aligned = argument.data_ptr() % _ALIGNMENT == 0
        # an AMD GPU addresses a small storage by 32 bits
        small = _IS_HIP and argument.untyped_storage().nbytes() < _INT32
        return argument.dtype, aligned, small
    if isinstance(argument, int):
        return argument == 1, argument % _ALIGNMENT == 0, -_INT32 <= argument < _INT32
    return type(argument)


def run(kernel: JITFunction, grid: tuple[int, ...], *args: Any, **constants: Any) -> None:
    """Launch a kernel on the current device and stream, compiling it if it is not yet.

    Args:
        kernel (JITFunction): Kernel whose constants follow its other parameters.
        grid (tuple[int, ...]): Number of programs along up to three axes.
        args: Its tensors and numbers, in order, a tensor first.
        constants: Its constants, and options of the launch such as ``num_warps``.
    """
    if not isinstance(kernel, JITFunction):
        # interpreted
        kernel[grid](*args, **constants)
        return
    key = id(kernel), args[0].device, *map(_fact, args), *constants.items()
    known = _COMPILED.get(key)
    if known is None:
        compiled = kernel[grid](*args, **constants)
        # None where only the compiler runs
        if compiled is not None:
            _COMPILED[key] = compiled, [constants[n] for n in kernel.arg_names[len(args) :]]
        return
    compiled, values = known
    compiled[(*grid, 1, 1)[:3]](*args, *values)
