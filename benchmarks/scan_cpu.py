"""Time the four-direction scan on the CPU, after checking that all agree.

One row for each stage of SparX-Mamba-T at the given image size. Times are the
minimum over the repeats, for forward and for forward and backward, together
with the step projection and the merge of the directions; the low-rank
projection before them is not included.

    python benchmarks/scan_cpu.py [--size 224] [--batch 1] [--repeats 20]
"""
import argparse
import sys
import time

import torch

from sparx_mm.kernels import backend_report, ss2d
from sparx_mm.kernels.ss2d import cpu
from sparx_mm.kernels.ss2d.reference import ss2d as reference

# embed_dims of SparX-Mamba-T; stage i has stride 4 * 2^i
EMBED_DIMS = (96, 192, 320, 512)
# of the largest value of each tensor: float32 sums in another order
TOLERANCE = 1e-5
# the loop's backward is quadratic in its length: longer maps are left out
LOOP_LENGTH = 196


class _TwoLevel(torch.autograd.Function):
    """The plain torch form behind the same interface."""

    @staticmethod
    def forward(ctx, *inputs):
        y, states = cpu.two_level_forward(*inputs)
        ctx.save_for_backward(states, *inputs)
        return y

    @staticmethod
    def backward(ctx, dy):
        return cpu.two_level_backward(dy, *ctx.saved_tensors)


def make_inputs(batch, dim, height, width):
    """Inputs of one layer at initialisation's magnitudes."""
    channels, rank = 2 * dim, -(-dim // 16)
    inputs = (
        torch.randn(batch, channels, height, width),
        torch.randn(batch, height, width, 4, rank + 2),
        (torch.rand(4, channels, rank) * 2 - 1) * rank**-0.5,
        # the inverse softplus of 0.001 to 0.1
        torch.empty(4, channels).uniform_(-6.9, -2.25),
        -torch.ones(4, channels, 1),
        torch.ones(4, channels),
    )
    return [t.requires_grad_() for t in inputs]


def outputs_and_gradients(function, inputs, dy):
    """The output and the gradients of all inputs."""
    y = function(*inputs)
    return (y.detach(), *torch.autograd.grad(y, inputs, dy))


def disagreement(given, wanted):
    """Largest difference relative to each tensor's largest value."""
    return max(((a.double() - b).abs().max() / b.abs().max()).item()
               for a, b in zip(given, wanted))


def minimum_ms(function, repeats):
    """Milliseconds of the fastest call."""
    best = float('inf')
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def time_both(function, inputs, dy, repeats):
    """Forward, and forward and backward, in milliseconds."""
    with torch.no_grad():
        forward = minimum_ms(lambda: function(*inputs), repeats)
    return forward, minimum_ms(
        lambda: outputs_and_gradients(function, inputs, dy), repeats)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--repeats', type=int, default=20)
    args = parser.parse_args()

    torch.manual_seed(0)
    print(f'torch {torch.__version__}, float32, batch {args.batch}, image '
          f'{args.size}; ms, minimum of {args.repeats}')
    print(f'in use: {backend_report()["in use"]}')
    rows = []
    for stage, dim in enumerate(EMBED_DIMS):
        side = -(-args.size // (4 * 2**stage))
        inputs = make_inputs(args.batch, dim, side, side)
        dy = torch.randn_like(inputs[0])
        forms = {'in use': ss2d, 'two-level': _TwoLevel.apply}
        if side * side <= LOOP_LENGTH:
            forms['loop'] = reference
        doubles = [t.detach().double().requires_grad_() for t in inputs]
        wanted = outputs_and_gradients(_TwoLevel.apply, doubles, dy.double())
        for name, form in forms.items():
            error = disagreement(
                outputs_and_gradients(form, inputs, dy), wanted)
            # not (error <= ...): a NaN disagrees too
            if not error <= TOLERANCE:
                sys.exit(f'stage {stage}: {name} differs from float64 by '
                         f'{error:.1e} > {TOLERANCE:.0e}; no times printed')
        times = {
            name:
            time_both(form, inputs, dy, 3 if name == 'loop' else args.repeats)
            for name, form in forms.items()
        }
        rows.append((f'{stage}: {2 * dim} x {side} x {side}', times))

    print(
        '| stage: D x H x W | in use | two-level | loop | two-level / in use '
        '| loop / in use |')
    print('|-|-|-|-|-|-|')
    for title, times in rows:
        cells = [
            '{:.2f} / {:.2f}'.format(*times[name]) if name in times else ''
            for name in ('in use', 'two-level', 'loop')
        ]
        cells += [
            '{:.1f} / {:.1f}'.format(
                *(a / b for a, b in zip(times[name], times['in use'])))
            if name in times else '' for name in ('two-level', 'loop')
        ]
        print(f'| {title} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
