"""Time what stands beside the scan in SparX-Mamba-T: norms and depthwise convolutions.

    python benchmarks/parts.py [--device cuda] [--size 224 800x1280] [--help]

Ours read and write channels-last maps, each once if they can. Beside them are torch's,
on channels-last and contiguous maps, and the norms as autocast runs them, in float32
up to the next convolution's input. GB/s is by the bytes that a fused form must move,
whatever the form: forward reads x and writes y; backward reads x and the gradient of
y, and writes that of x.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from agreement import check, disagreement, evaluate
from measure import Call, compare, copy_bandwidth, nbytes, out_of_memory_as_none
from options import make_parser, parse, short
from report import Report, header, number, progress, table
from scan import COLUMNS, EMBED_DIMS, PASSES, form_rows

from sparx_mm.errors import user_errors
from sparx_mm.kernels import depthwise_conv, group_norm, layer_norm
from sparx_mm.kernels.depthwise_conv.reference import ACTIVATIONS
from sparx_mm.kernels.depthwise_conv.reference import depthwise_conv as convolution_definition
from sparx_mm.kernels.group_norm.reference import group_norm as group_definition
from sparx_mm.kernels.layer_norm.reference import layer_norm as layer_definition
from sparx_mm.kernels.testing import depthwise_arguments, norm_arguments

EPS = 1e-5
# of the largest value of each tensor. float32: sums of thousands of terms in another
# order, and products that torch rounds to TF32 on a GPU. 16 bits: torch rounds the
# parameters, their gradients and what is between its operators too
TOLERANCES = {torch.float32: 3e-3, torch.float16: 6e-3, torch.bfloat16: 5e-2}


class Part(NamedTuple):
    """Part of a layer.

    Attributes:
        width (int): Channels of its map, as a multiple of the layer's.
        ours (Callable): Function of a map, a weight and a bias.
        definition (Callable): Likewise.
        plain (Callable): Likewise, torch's; all arguments have one dtype on a GPU.
        draw (Callable): Function from the size of a map to such arguments.
        is_norm (bool): True if autocast runs it in float32.
    """

    width: int
    ours: Callable
    definition: Callable
    plain: Callable
    draw: Callable
    is_norm: bool


def _group_norm(x, weight, bias):
    return F.group_norm(x, 1, weight, bias, EPS)


def _layer_norm(x, weight, bias):
    # (B, C, H, W) -> (B, H, W, C) and back
    y = F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, EPS)
    return y.permute(0, 3, 1, 2)


def _convolution(x, weight, bias, residual, activation):
    z = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=len(weight))
    return ACTIVATIONS[activation](x + z if residual else z)


def _norm(width, ours, definition, plain, **options):
    ours, definition = (functools.partial(f, eps=EPS, **options) for f in (ours, definition))
    return Part(width, ours, definition, plain, norm_arguments, True)


def _depthwise(width, side, residual, activation):
    functions = (
        functools.partial(f, residual=residual, activation=activation)
        for f in (depthwise_conv, convolution_definition, _convolution)
    )
    return Part(width, *functions, functools.partial(depthwise_arguments, side=side), False)


PARTS = {
    'group norm of a layer': _norm(1, group_norm, group_definition, _group_norm, num_groups=1),
    'group norm of a scan': _norm(2, group_norm, group_definition, _group_norm, num_groups=1),
    'layer norm': _norm(1, layer_norm, layer_definition, _layer_norm),
    'x + 3x3': _depthwise(1, 3, True, 'none'),
    'SiLU of 5x5': _depthwise(2, 5, False, 'silu'),
    'GELU of x + 3x3': _depthwise(4, 3, True, 'gelu'),
}


def _alone(plain, x, weight, bias):
    """Run a function of torch's, whose arguments have one dtype on a GPU."""
    return plain(x, weight.to(x.dtype), bias.to(x.dtype))


def _under_autocast(norm, x, weight, bias):
    """Run a norm of torch's as autocast does, up to the next convolution's input."""
    return norm(x.float(), weight, bias).to(x.dtype)


def forms(part, dtype):
    """List the forms of a part: functions and whether they take channels-last maps.

    Args:
        part (Part): The part.
        dtype (torch.dtype): Dtype of the maps.

    Returns:
        dict[str, tuple[Callable, bool]]: The forms by name, ours first.
    """
    alone = functools.partial(_alone, part.plain)
    found = {
        'ours': (part.ours, True),
        'torch, channels-last': (alone, True),
        'torch, contiguous': (alone, False),
    }
    if part.is_norm and dtype != torch.float32:
        found['torch, autocast'] = functools.partial(_under_autocast, part.plain), False
    return found


def _laid_out(inputs, channels_last):
    """Return copies of tensors that require gradients, the map in a memory format."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, *parameters = (t.detach() for t in inputs)
    return [t.requires_grad_() for t in (x.contiguous(memory_format=layout), *parameters)]


def part_rows(name, shape, dtype, args, bandwidth):
    """Check and time all forms of a part on one map.

    Args:
        name (str): A key of ``PARTS``.
        shape (tuple): Shape of the map.
        dtype (torch.dtype): Dtype of the map.
        args (Namespace): Command line.
        bandwidth (float): Bandwidth of a copy, in bytes per second.

    Returns:
        list[list[str]]: The rows.
    """
    torch.manual_seed(0)
    part = PARTS[name]
    inputs = part.draw(*shape, dtype=dtype, device=args.device)
    dy = torch.randn_like(inputs[0])
    # one image, because float64 takes much memory
    few = [inputs[0][:1], *inputs[1:]]
    doubles = [t.double().requires_grad_() for t in few]
    wanted = evaluate(part.definition, doubles, [dy[:1].double()])
    calls = {backward: {} for backward in PASSES}
    for form, (function, channels_last) in forms(part, dtype).items():
        given = evaluate(function, _laid_out(few, channels_last), [dy[:1]])
        what = f'{form}: {name} on {shape} in {short(dtype)}'
        check(what, disagreement(given, wanted), TOLERANCES[dtype])
        own, own_dy = _laid_out(inputs, channels_last), _laid_out([dy], channels_last)
        calls[True][form] = Call(functools.partial(evaluate, function, own, own_dy), 2 * nbytes(dy))
        calls[False][form] = Call(torch.no_grad()(functools.partial(function, *own)), nbytes(dy))
    rows, title = [], f'{name}, {" x ".join(map(str, shape))}'
    for backward in PASSES:
        samples = compare(calls[backward], args.device, args.repeats)
        moved = (5 if backward else 2) * nbytes(dy)
        rows += form_rows(title, backward, samples, moved, bandwidth, 'ours')
    return rows


def parts_table(images, args, bandwidth):
    """Check and time the parts in all stages.

    Args:
        images (Input): Images that the network is given.
        args (Namespace): Command line.
        bandwidth (float): Bandwidth of a copy, in bytes per second.

    Returns:
        str: The table.
    """
    rows, (height, width) = [], (images.height, images.width)
    for dim, stride in zip(EMBED_DIMS, (4, 2, 2, 2)):
        height, width = -(-height // stride), -(-width // stride)
        for name, part in PARTS.items():
            shape = (images.batch, part.width * dim, height, width)
            progress(f'{images}: {name} on {shape}')
            rows += part_rows(name, shape, images.dtype, args, bandwidth)
    return f'## {images}\n\n{table(COLUMNS, rows)}'


@user_errors()
def main():
    args = parse(make_parser("Time norms and depthwise convolutions, ours and torch's", False))
    report, bandwidth = Report(args.output), copy_bandwidth(args.device)
    report.add(
        header('Norms and depthwise convolutions', args, 'a form over ours')
        + f' A copy moves {number(bandwidth / 1e9)} GB/s.'
    )
    for images in args.inputs:
        block = out_of_memory_as_none(lambda: parts_table(images, args, bandwidth))
        report.add(block or f'## {images}\n\nOut of memory.')


if __name__ == '__main__':
    main()
