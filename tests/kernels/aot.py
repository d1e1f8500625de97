"""Compile the Triton kernels for a GPU that is not there, and measure them.

    python tests/kernels/aot.py --arch 90

The operators' own code runs on tensors without data and launches what it
launches on a GPU; every launch ends after the compiler, so what is measured
is what runs: the same specialisation, the same constants and warps. Triton
itself keeps what it has compiled.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

# the interpreter compiles nothing; read when triton is imported
os.environ.pop('TRITON_INTERPRET', None)

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

from sparx_mm.kernels import testing
from sparx_mm.kernels._triton import launch
from sparx_mm.kernels.depthwise_conv import triton as depthwise_triton
from sparx_mm.kernels.group_norm import triton as group_norm_triton
from sparx_mm.kernels.layer_norm import triton as layer_norm_triton
from sparx_mm.kernels.selective_scan import triton as scan_triton
from sparx_mm.kernels.ss2d import triton as ss2d_triton

# what to compile for, and multiprocessors that launches are planned for
TARGETS = {
    '80': (GPUTarget('cuda', 80, 32), 108),
    '90': (GPUTarget('cuda', 90, 32), 132),
    '100': (GPUTarget('cuda', 100, 32), 148),
    'gfx942': (GPUTarget('hip', 'gfx942', 64), 304),
    'gfx1100': (GPUTarget('hip', 'gfx1100', 32), 96),
}
DTYPES = dict(float16=torch.float16, bfloat16=torch.bfloat16, float32=torch.float32)

# batch, channels, height, width, rank, state: SparX-Mamba-T's stages at 224
# and at 800x1280, odd sizes with more than one state
MAPS = {
    '224/0': (128, 192, 56, 56, 6, 1),
    '224/1': (128, 384, 28, 28, 12, 1),
    '224/2': (128, 640, 14, 14, 20, 1),
    '224/3': (128, 1024, 7, 7, 32, 1),
    '800/0': (2, 192, 200, 320, 6, 1),
    '800/1': (2, 384, 100, 160, 12, 1),
    '800/2': (2, 640, 50, 80, 20, 1),
    '800/3': (2, 1024, 25, 40, 32, 1),
    'odd': (1, 50, 33, 47, 64, 16),
}
# batch, channels, length, state, groups
SEQUENCES = {
    'N=1': (128, 192, 3136, 1, 1),
    # the first stage of tiny-bissm at 224
    'N=8': (128, 384, 3136, 8, 2),
    'N=16': (2, 192, 3136, 16, 1),
    'odd': (1, 50, 1551, 8, 2),
}
# batch, channels, height, width, groups: norms of T's layers and scans, of a detector,
# and odd sizes; for a layer norm the groups do not count
NORMS = {
    '224/0': (128, 192, 56, 56, 1),
    '224/3': (128, 1024, 7, 7, 1),
    '800/0': (2, 96, 200, 320, 1),
    'wide': (2, 2544, 25, 42, 4),
    'odd': (1, 30, 33, 47, 3),
}
# batch, channels, height, width, side, activation: T's FFN and scan, odd sizes
DEPTHWISE = {
    '224/0 3x3 gelu': (128, 384, 56, 56, 3, True, 'gelu'),
    '224/0 5x5 silu': (128, 192, 56, 56, 5, False, 'silu'),
    '224/0 3x3': (128, 96, 56, 56, 3, True, 'none'),
    'odd': (1, 30, 33, 7, 7, False, 'none'),
}


class Measured(NamedTuple):
    """Sizes of a compiled kernel; those of its code for NVIDIA's GPUs only."""

    case: str
    kernel: str
    warps: int
    shared: int
    # 32-bit registers to a thread
    registers: int = 0
    # loads and stores of local memory: our kernels have no local arrays, so
    # each of them is a spill
    spills: int = 0
    instructions: int = 0
    loops: tuple[int, ...] = ()


class Driver:
    """Stand-in for the driver, which Triton asks for its target before it compiles."""

    def __init__(self, target):
        self.target = target

    def get_current_target(self):
        return self.target

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


def compile_launches(arch: str) -> list:
    """Make every launch of this process end after the compiler.

    Args:
        arch (str): A key of ``TARGETS``.

    Returns:
        list: Compiled kernels, one added by each launch.
    """
    compiled, run = [], JITFunction.run

    def compile_only(self, *args, **options):
        compiled.append(run(self, *args, **{**options, 'warmup': True}))

    target, processors = TARGETS[arch]
    JITFunction.run = compile_only
    triton.runtime.driver.set_active(Driver(target))
    launch._processors = lambda device: processors
    return compiled


def cases() -> Iterator[tuple[str, ModuleType, list]]:
    """Yield names of the cases, modules with their code, and its arguments."""
    for dtype in DTYPES:
        for name, size in MAPS.items():
            arguments = testing.map_arguments(*size, dtype=DTYPES[dtype], device='meta')
            yield f'ss2d {name} {dtype}', ss2d_triton, arguments
            yield f'ss2d diagonal {name} {dtype}', ss2d_triton, [*arguments, 'diagonal']
        for name, size in SEQUENCES.items():
            arguments = testing.sequence_arguments(*size, dtype=DTYPES[dtype], device='meta')
            yield f'selective_scan {name} {dtype}', scan_triton, [*arguments, True]
        for name, (*size, groups) in NORMS.items():
            arguments = testing.norm_arguments(*size, dtype=DTYPES[dtype], device='meta')
            yield f'group_norm {name} {dtype}', group_norm_triton, [*arguments, groups, 1e-5]
            yield f'layer_norm {name} {dtype}', layer_norm_triton, [*arguments, 1e-5]
        for name, (*size, residual, activation) in DEPTHWISE.items():
            arguments = testing.depthwise_arguments(*size, dtype=DTYPES[dtype], device='meta')
            yield (
                f'depthwise_conv {name} {dtype}',
                depthwise_triton,
                [*arguments, residual, activation],
            )


def loop_lengths(code: list[tuple[int, str]]) -> list[int]:
    """Count the instructions in each loop, longest first; inner ones count twice.

    Args:
        code (list): Addresses and instructions, as pairs.
    """
    lengths = []
    for address, text in code:
        jump = re.search(r'\bBRA\b[^;]*\b0x([0-9a-f]+)', text)
        # a jump to itself pads the end
        if jump and int(jump[1], 16) < address:
            lengths.append(sum(int(jump[1], 16) <= at <= address for at, _ in code))
    return sorted(lengths, reverse=True)


def measure(case: str, kernel, only_spilling: bool = False) -> Measured:
    """Measure a compiled kernel with the programs of Triton's own wheel.

    Args:
        case (str): Name of the case.
        kernel (CompiledKernel): Kernel that a launch has compiled.
        only_spilling (bool): If True, leave the code of a kernel without a stack, which
            spills nothing, at zeros: taking it apart takes most of the time.
            Default: False.

    Returns:
        Measured: Zeros where there is no code for NVIDIA's GPUs.
    """
    done = Measured(case, kernel.name, kernel.metadata.num_warps, kernel.metadata.shared)
    if 'cubin' not in kernel.asm:
        return done
    with tempfile.NamedTemporaryFile(suffix='.cubin') as file:
        file.write(kernel.asm['cubin'])
        file.flush()
        usage = _dump('--dump-resource-usage', file.name)
        done = done._replace(registers=int(re.search(r'REG:(\d+)', usage)[1]))
        if only_spilling and re.search(r'STACK:(\d+)', usage)[1] == '0':
            return done
        text = _dump('--dump-sass', file.name)
    code = [
        (int(address, 16), line)
        for address, line in re.findall(r'^\s*/\*([0-9a-f]{4,})\*/\s*(.*?);', text, re.MULTILINE)
    ]
    code = [row for row in code if not row[1].startswith('NOP')]
    return done._replace(
        spills=sum(bool(re.search(r'\b(LDL|STL)\b', t)) for _, t in code),
        instructions=len(code),
        loops=tuple(loop_lengths(code)),
    )


def _dump(option, path):
    return subprocess.run(
        [triton.knobs.nvidia.cuobjdump.path, option, path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def compiled_kernels(arch: str, only: str = '', only_spilling: bool = False) -> Iterator[Measured]:
    """Compile and measure what the operators launch, each kernel once.

    Args:
        arch (str): A key of ``TARGETS``.
        only (str): Regular expression that the names of cases must contain.
            Default: ``''``, all.
        only_spilling (bool): As for `measure`. Default: False.
    """
    launches, seen = compile_launches(arch), set()

    def new():
        for kernel in launches:
            if kernel.hash not in seen:
                seen.add(kernel.hash)
                yield measure(case, kernel, only_spilling)
        launches.clear()

    for case, operator, arguments in cases():
        if not re.search(only, case):
            continue
        y, *saved = operator.forward(*arguments)
        # told before the next one fails to compile
        yield from new()
        operator.backward(torch.empty_like(y), *saved, *arguments)
        yield from new()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--arch', choices=list(TARGETS), default='90')
    parser.add_argument(
        '--only',
        default='',
        help='take the cases where this regular expression is found, such as "800/. float16"',
    )
    parser.add_argument(
        '--only-spilling', action='store_true', help='look only into the code of kernels that spill'
    )
    parser.add_argument('--json', action='store_true', help='print a JSON object a line')
    args = parser.parse_args()
    layout = '{:<32}{:<22}{:>5}{:>8}{:>11}{:>8}{:>14}  {}'
    if not args.json:
        print(layout.format(*Measured._fields))
    for row in compiled_kernels(args.arch, args.only, args.only_spilling):
        line = layout.format(*row[:-1], ' '.join(map(str, row.loops)))
        print(json.dumps(row._asdict()) if args.json else line, flush=True)


if __name__ == '__main__':
    main()
