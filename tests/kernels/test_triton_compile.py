"""What the operators launch compiles for GPUs that are not there, and fits.

    python tests/kernels/aot.py --arch 90

prints what the limits are made from. They are those of the Triton that
setup.cfg pins: another one allocates otherwise.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

AOT = Path(__file__).with_name('aot.py')

# cases of aot.py, as a regular expression: all of the kernels in each, whole
# scans and chunked ones; once the most registers and masks on all axes too
FEW = (
    'ss2d 800/1 float16|selective_scan N=16 float16'
    '|norm 800/0 float16|depthwise_conv 224/0 3x3 float16'
)
CASES = {
    '80': FEW,
    '90': f'{FEW}|ss2d (224/0 float16|224/3 float32|(diagonal )?odd bfloat16)'
    '|selective_scan N=8 bfloat16'
    '|depthwise_conv 224/0 (3x3 gelu|5x5 silu) float16',
    '100': FEW,
    # only compiled: Triton brings no program that looks inside
    'gfx942': FEW,
}

# by kernel: registers to a thread, rounded up to 8 as a GPU hands them out, of
# 255 at most; and the instructions that spill them
LIMITS = {
    'scan_fwd_kernel': ({'80': 152, '90': 184, '100': 152}, 0),
    'scan_chunk_kernel': ({'80': 136, '90': 128, '100': 136}, 0),
    'scan_carry_kernel': ({'80': 48, '90': 56, '100': 48}, 0),
    'scan_bwd_kernel': ({'80': 255, '90': 255, '100': 255}, 0),
    'scan_merge_kernel': ({'80': 40, '90': 40, '100': 40}, 0),
    'group_norm_moments_kernel': ({'80': 56, '90': 56, '100': 56}, 0),
    'group_norm_fwd_kernel': ({'80': 40, '90': 40, '100': 40}, 0),
    'group_norm_sums_kernel': ({'80': 64, '90': 64, '100': 64}, 0),
    'group_norm_bwd_kernel': ({'80': 40, '90': 40, '100': 40}, 0),
    'depthwise_conv_kernel': ({'80': 144, '90': 168, '100': 144}, 0),
    'depthwise_weight_kernel': ({'80': 144, '90': 168, '100': 144}, 0),
    'layer_norm_fwd_kernel': ({'80': 48, '90': 48, '100': 56}, 0),
    'layer_norm_bwd_kernel': ({'80': 104, '90': 112, '100': 104}, 0),
}


def measure(arch, only):
    done = subprocess.run(
        [sys.executable, AOT, '--arch', arch, '--only', only, '--only-spilling', '--json'],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize('arch', CASES)
def test_registers_and_spills(arch):
    kernels = measure(arch, CASES[arch])
    assert {kernel['kernel'] for kernel in kernels} == set(LIMITS)
    if arch.startswith('gfx'):
        return
    too_much = []
    for kernel in kernels:
        registers, spills = LIMITS[kernel['kernel']]
        assert kernel['registers']
        if kernel['registers'] > registers[arch] or kernel['spills'] > spills:
            too_much.append(kernel)
    assert not too_much


SPILLING = """
import json
import sys
sys.path.insert(0, {folder!r})
import aot
import torch
import triton
import triton.language as tl

@triton.jit
def kernel(x, steps, SIZE: tl.constexpr):
    at = tl.arange(0, SIZE)
    a = tl.load(x + at)
    b = tl.load(x + SIZE + at)
    for _ in range(steps):
        b = tl.exp2(b) * a + b
    tl.store(x + at, a + b)

launches = aot.compile_launches('90')
x = torch.empty(8193, device='meta')
# a loop, none where an argument is the constant 1, and unaligned addresses
kernel[1, ](x, 3, SIZE=4096, num_warps=1)
kernel[1, ](x, 5, SIZE=4096, num_warps=1)
kernel[1, ](x, 1, SIZE=4096, num_warps=1)
kernel[1, ](x[1:], 3, SIZE=4096, num_warps=1)
rows = [aot.measure('', kernel) for kernel in launches]
quick = [aot.measure('', kernel, only_spilling=True) for kernel in launches]
assert [row[:6] for row in quick] == [row[:6] for row in rows]
assert [bool(row.instructions) for row in quick] == [bool(row.spills) for row in rows]
print(json.dumps([(*row[3:], row.kernel) for row in rows]))
"""


def test_spills_loops_and_specialisations_are_seen(tmp_path):
    script = tmp_path / 'spilling.py'
    script.write_text(SPILLING.format(folder=str(AOT.parent)))
    output = subprocess.check_output([sys.executable, script], text=True)
    looped, again, constant, unaligned = json.loads(output)
    assert looped == again != unaligned
    for shared, registers, spills, instructions, loops, name in (looped, unaligned):
        assert (name, shared, registers) == ('kernel', 0, 255)
        (loop,) = loops
        assert 0 < spills < instructions and loop < instructions
    _, registers, spills, instructions, loops, _ = constant
    assert registers < 255 and not spills and not loops
    assert 0 < instructions < looped[3]


MERGING = """
import re
import sys
sys.path.insert(0, {folder!r})
import aot
import torch
from sparx_mm.kernels._triton.kernels import scan_merge_kernel

launches = aot.compile_launches('90')
partial = torch.empty(8, device='meta')
scan_merge_kernel[1, ](partial, partial, 2**31 - 16, SPLITS=4, BLOCK=1024)
offsets = re.findall(r'tt.addptr .*(i[0-9]+)>?', launches[0].asm['ttir'])
print(*offsets)
"""


def test_maps_just_below_2_31_elements(tmp_path):
    """Their size is an int32, a partial sum's place among several is not."""
    script = tmp_path / 'merging.py'
    script.write_text(MERGING.format(folder=str(AOT.parent)))
    output = subprocess.check_output([sys.executable, script], text=True)
    offsets = output.split()
    assert len(offsets) > 4 and set(offsets) == {'i64'}
