"""Time the norms of SparX-Mamba-T's layers beside torch's, on maps as either reads them.

    python benchmarks/norm.py [--device cuda] [--size 224 800x1280] [--help]

Ours read and write a channels-last map; torch's GroupNorm copies one, and autocast
has torch's norms read and write float32. GB/s is by the bytes that a fused form must
move, whatever the form: forward reads x and writes y; backward reads x and the
gradient of y, and writes that of x.
"""

import functools

import torch
import torch.nn.functional as F
from agreement import check, disagreement, evaluate
from measure import Call, compare, copy_bandwidth, nbytes, out_of_memory_as_none
from options import make_parser, parse, short
from report import Report, header, number, progress, table
from scan import COLUMNS, EMBED_DIMS, PASSES, form_rows

from sparx_mm.errors import user_errors
from sparx_mm.kernels import group_norm, layer_norm
from sparx_mm.kernels.group_norm.reference import group_norm as group_definition
from sparx_mm.kernels.layer_norm.reference import layer_norm as layer_definition
from sparx_mm.kernels.testing import norm_arguments

EPS = 1e-5
# of the largest value of each tensor. float32: sums of thousands of terms in another
# order. 16 bits: torch's norms round the parameters and their gradients too
TOLERANCES = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 4e-2}


def _group_norm(x, weight, bias):
    return F.group_norm(x, 1, weight, bias, EPS)


def _layer_norm(x, weight, bias):
    # (B, C, H, W) -> (B, H, W, C) and back
    y = F.layer_norm(x.permute(0, 2, 3, 1), weight.shape, weight, bias, EPS)
    return y.permute(0, 3, 1, 2)


def _alone(norm, x, weight, bias):
    """Run a norm of torch's, whose arguments have one dtype on a GPU."""
    return norm(x, weight.to(x.dtype), bias.to(x.dtype))


def _under_autocast(norm, x, weight, bias):
    """Run a norm of torch's as autocast does, up to the next convolution's input."""
    return norm(x.float(), weight, bias).to(x.dtype)


def forms(norm, dtype):
    """List the forms of a norm: functions and whether they take channels-last maps.

    Args:
        norm (str): ``'group_norm'`` or ``'layer_norm'``.
        dtype (torch.dtype): Dtype of the maps.

    Returns:
        dict[str, tuple[Callable, bool]]: The forms by name, ours first.
    """
    if norm == 'group_norm':
        ours, plain = functools.partial(group_norm, num_groups=1, eps=EPS), _group_norm
    else:
        ours, plain = functools.partial(layer_norm, eps=EPS), _layer_norm
    alone = functools.partial(_alone, plain)
    found = {norm: (ours, True), 'torch, channels-last': (alone, True)}
    if norm == 'group_norm':
        found['torch, contiguous'] = alone, False
    if dtype != torch.float32:
        # layer norm: channels-last, which torch's reads without a copy
        found['torch, autocast'] = functools.partial(_under_autocast, plain), norm == 'layer_norm'
    return found


def _laid_out(inputs, channels_last):
    """Return copies of tensors that require gradients, the map in a memory format."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    x, *parameters = (t.detach() for t in inputs)
    return [t.requires_grad_() for t in (x.contiguous(memory_format=layout), *parameters)]


def norm_rows(norm, shape, dtype, args, bandwidth):
    """Check and time all forms of a norm on one map.

    Args:
        norm (str): Name of the norm.
        shape (tuple): Shape of the map.
        dtype (torch.dtype): Dtype of the map.
        args (Namespace): Command line.
        bandwidth (float): Bandwidth of a copy, in bytes per second.

    Returns:
        list[list[str]]: The rows.
    """
    torch.manual_seed(0)
    inputs = norm_arguments(*shape, dtype=dtype, device=args.device)
    dy = torch.randn_like(inputs[0])
    # one image, because float64 takes much memory
    few = [inputs[0][:1], *inputs[1:]]
    definition = group_definition if norm == 'group_norm' else layer_definition
    options = dict(eps=EPS, **(dict(num_groups=1) if norm == 'group_norm' else {}))
    doubles = [t.double().requires_grad_() for t in few]
    wanted = evaluate(functools.partial(definition, **options), doubles, [dy[:1].double()])
    calls = {False: {}, True: {}}
    for name, (function, channels_last) in forms(norm, dtype).items():
        given = evaluate(function, _laid_out(few, channels_last), [dy[:1]])
        check(
            f'{name} of {norm} on {shape} in {short(dtype)}',
            disagreement(given, wanted),
            TOLERANCES[dtype],
        )
        own, own_dy = _laid_out(inputs, channels_last), _laid_out([dy], channels_last)
        calls[True][name] = Call(functools.partial(evaluate, function, own, own_dy), 2 * nbytes(dy))
        calls[False][name] = Call(torch.no_grad()(functools.partial(function, *own)), nbytes(dy))
    rows, title = [], f'{norm} {" x ".join(map(str, shape))}'
    for backward in PASSES:
        samples = compare(calls[backward], args.device, args.repeats)
        moved = (5 if backward else 2) * nbytes(dy)
        rows += form_rows(title, backward, samples, moved, bandwidth, norm)
    return rows


def norm_table(images, args, bandwidth):
    """Check and time the norms of all stages, of a layer and of a scan in it.

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
        for norm, channels in (('group_norm', dim), ('group_norm', 2 * dim), ('layer_norm', dim)):
            shape = (images.batch, channels, height, width)
            progress(f'{images}: {norm} of {shape}')
            rows += norm_rows(norm, shape, images.dtype, args, bandwidth)
    return f'## {images}\n\n{table(COLUMNS, rows)}'


@user_errors()
def main():
    args = parse(make_parser("Time the norms, ours and torch's", False))
    report, bandwidth = Report(args.output), copy_bandwidth(args.device)
    report.add(
        header('The norms', args, 'a form over ours')
        + f' A copy moves {number(bandwidth / 1e9)} GB/s.'
    )
    for images in args.inputs:
        block = out_of_memory_as_none(lambda: norm_table(images, args, bandwidth))
        report.add(block or f'## {images}\n\nOut of memory.')


if __name__ == '__main__':
    main()
