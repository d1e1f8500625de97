"""Comparison of two ways to compute a thing: nothing is timed before they agree."""

import torch

from sparx_mm.errors import UserError


class Disagreement(UserError):
    """Error: two forms differ by more than their arithmetic explains."""


def evaluate(function, inputs, grads):
    """Compute outputs and gradients of a function.

    Args:
        function (Callable): Function from ``inputs`` to a tensor or a tuple of them.
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
        # zeros for an input that does not matter, such as A with a single position
        *torch.autograd.grad(outputs, inputs, grads, materialize_grads=True),
    ]


def disagreement(given, wanted, floor=0.0):
    """Find the largest difference, relative to the largest value of its tensor.

    Args:
        given (Sequence[Tensor]): Tensors to judge.
        wanted (Sequence[Tensor]): Tensors that they should equal.
        floor (float): Least value that a difference is relative to. Default: 0.

    Returns:
        float: The difference; NaN or inf if a difference is.
    """
    errors = []
    for a, b in zip(given, wanted, strict=True):
        b = b.to(torch.promote_types(b.dtype, torch.float32))
        # a tensor of zeros must be met exactly
        scale = b.abs().max().clamp(min=max(floor, torch.finfo(b.dtype).tiny))
        errors.append((a.to(b.dtype) - b).abs().max() / scale)
    # torch's max, because it keeps a NaN, unlike Python's
    return torch.stack(errors).max().item()


def check(what, error, tolerance):
    """Raise Disagreement if an error is above its tolerance, or NaN.

    Args:
        what (str): Description of the comparison, for the message.
        error (float): Relative error.
        tolerance (float): Greatest error allowed.
    """
    if not error <= tolerance:
        raise Disagreement(
            f'{what}: off by {error:.1e} of the largest value, '
            f'allowed is {tolerance:.0e}; nothing was timed'
        )
