"""Comparison of two ways to compute a thing, before either is timed."""

import torch

from sparx_mm.errors import UserError


class Disagreement(UserError):
    """A difference of two forms that their arithmetic does not explain."""


def evaluate(function, inputs, grads):
    """Compute the outputs and gradients of a function.

    Args:
        function (Callable): Maps ``inputs`` to a tensor or a tuple of them.
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
        # zeros for an input without influence, such as A in a single step
        *torch.autograd.grad(outputs, inputs, grads, materialize_grads=True),
    ]


def disagreement(given, wanted, floor=0.0):
    """Return the largest difference, relative to the largest value of its tensor.

    Args:
        given (Sequence[Tensor]): Tensors to judge.
        wanted (Sequence[Tensor]): Expected tensors.
        floor (float): Least value that a difference is relative to. Default: 0.

    Returns:
        float: NaN or inf if there is a NaN or an inf in the difference.
    """
    errors = []
    for a, b in zip(given, wanted, strict=True):
        b = b.to(torch.promote_types(b.dtype, torch.float32))
        # tiny, so that a tensor of zeros must be met exactly
        scale = b.abs().max().clamp(min=max(floor, torch.finfo(b.dtype).tiny))
        errors.append((a.to(b.dtype) - b).abs().max() / scale)
    # torch's maximum, because Python's may lose a NaN
    return torch.stack(errors).max().item()


def check(what, error, tolerance):
    """Raise Disagreement if the error is above the tolerance, or NaN.

    Args:
        what (str): Name of the comparison.
        error (float): Result of `disagreement`.
        tolerance (float): Largest error that is allowed.
    """
    if not error <= tolerance:
        raise Disagreement(
            f'{what}: off by {error:.1e} of the largest value, '
            f'allowed is {tolerance:.0e}; nothing was timed'
        )
