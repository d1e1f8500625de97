"""Whether two ways to compute a thing agree: nothing is timed before."""

import torch

from sparx_mm.errors import UserError


class Disagreement(UserError):
    """Two forms differ by more than their arithmetic explains."""


def evaluate(function, inputs, grads):
    """Outputs and gradients of a function.

    Args:
        function (Callable): From ``inputs`` to a tensor or a tuple of them.
        inputs (Sequence[Tensor]): Tensors that require gradients.
        grads (Sequence[Tensor]): Gradients of the outputs.

    Returns:
        list[Tensor]: The outputs, then the gradients of the inputs.
    """
    outputs = function(*inputs)
    if isinstance(outputs, torch.Tensor):
        outputs = (outputs,)
    grads = [g.to(y.dtype) for g, y in zip(grads, outputs)]
    return [
        *(y.detach() for y in outputs),
        # zeros where an input does not matter: A, in a single step
        *torch.autograd.grad(outputs, inputs, grads, materialize_grads=True),
    ]


def disagreement(given, wanted, floor=0.0):
    """Largest difference, relative to the largest value of its tensor.

    Args:
        given (Sequence[Tensor]): What is judged.
        wanted (Sequence[Tensor]): What it should be.
        floor (float): Least value to be relative to. Default: 0.

    Returns:
        float: NaN or inf if there is a NaN or an inf in the difference.
    """
    errors = []
    for a, b in zip(given, wanted, strict=True):
        b = b.to(torch.promote_types(b.dtype, torch.float32))
        # a tensor of zeros must be met exactly
        scale = b.abs().max().clamp(min=max(floor, torch.finfo(b.dtype).tiny))
        errors.append((a.to(b.dtype) - b).abs().max() / scale)
    # the maximum of torch keeps a NaN, Python's may lose it
    return torch.stack(errors).max().item()


def check(what, error, tolerance):
    """Raise Disagreement if the error is above the tolerance, or NaN."""
    if not error <= tolerance:
        raise Disagreement(
            f'{what}: off by {error:.1e} of the largest value, '
            f'allowed is {tolerance:.0e}; nothing was timed'
        )
