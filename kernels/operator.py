"""The registration of an operator with torch: all that the operators share.

An operator takes tensors, of which the first decides about dtype, device and memory
format, then flags. It returns y and the states that its backward pass needs. With
`define_operator` torch.compile, export, checkpointing and FLOP counting see it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from . import dispatch
from .autocast import without_autocast


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def _laid_out(result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the result in the dtype and memory format of x."""
    memory_format = _memory_format(x)
    out = torch.empty_like(x, device='meta', memory_format=memory_format)
    if (result.dtype, result.stride()) == (out.dtype, out.stride()):
        return result
    return torch.empty_like(x, memory_format=memory_format).copy_(result)


def define_operator(
    package: str, tensors: Sequence[str], flags: Sequence[str], count_flops: Callable[..., int]
) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Register an operator and its backward pass as ``sparx_mm::<name>``.

    Args:
        package (str): Package of the operator, with a module for each backend; its
            last part is the name.
        tensors (Sequence[str]): Names of the tensors; ``A`` is among them.
        flags (Sequence[str]): Names of the bools after them.
        count_flops (Callable): Function from the shapes of the arguments to the
            FLOPs of the forward pass; the backward pass counts twice that.

    Returns:
        Callable: The operator, from its arguments to y, in the dtype and memory
        format of the first, and the states.
    """
    name, count, decay = package.rpartition('.')[2], len(tensors), tensors.index('A')
    arguments = ', '.join([f'Tensor {n}' for n in tensors] + [f'bool {n}' for n in flags])

    def fake(x: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        A = (x, *others)[decay]
        states = A.new_empty(dispatch.select(package, x).states_shape(x, A))
        return torch.empty_like(x, memory_format=_memory_format(x)), states

    @without_autocast
    def forward(x: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        if not x.numel():
            return tuple(t.zero_() for t in fake(x, *others))
        y, states = dispatch.select(package, x).forward(x, *others)
        return _laid_out(y, x), states.contiguous()

    def fake_backward(
        dy: torch.Tensor, states: torch.Tensor, x: torch.Tensor, *others: Any
    ) -> tuple[torch.Tensor, ...]:
        dx = torch.empty_like(x, memory_format=_memory_format(x))
        return dx, *(t.new_empty(t.shape) for t in others[: count - 1])

    @without_autocast
    def backward(
        dy: torch.Tensor, states: torch.Tensor, x: torch.Tensor, *others: Any
    ) -> tuple[torch.Tensor, ...]:
        if not x.numel():
            return tuple(t.zero_() for t in fake_backward(dy, states, x, *others))
        A = (x, *others)[decay]
        backend = dispatch.select_for_backward(package, x, states, A)
        dx, *rest = backend.backward(dy, states, x, *others)
        return _laid_out(dx, x), *(g.to(t.dtype).contiguous() for g, t in zip(rest, others))

    def setup_context(ctx: Any, inputs: tuple, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *inputs[:count])
        ctx.flags = inputs[count:]

    def differentiate(ctx: Any, dy: torch.Tensor, _: None) -> tuple[torch.Tensor | None, ...]:
        return *backward_op(dy, *ctx.saved_tensors, *ctx.flags), *[None] * len(ctx.flags)

    forward_definition = torch.library.custom_op(
        f'sparx_mm::{name}',
        forward,
        mutates_args=(),
        schema=f'({arguments}) -> (Tensor, Tensor)',
    )
    forward_definition.register_fake(fake)
    backward_definition = torch.library.custom_op(
        f'sparx_mm::{name}_backward',
        backward,
        mutates_args=(),
        schema=f'(Tensor dy, Tensor states, {arguments}) -> ({", ".join(["Tensor"] * count)})',
    )
    backward_definition.register_fake(fake_backward)
    forward_definition.register_autograd(differentiate, setup_context=setup_context)
    op = getattr(torch.ops.sparx_mm, name)
    backward_op = getattr(torch.ops.sparx_mm, f'{name}_backward')

    @register_flop_formula(op)
    def flops(*shapes: Any, **kwargs: Any) -> int:
        return count_flops(*shapes, **kwargs)

    @register_flop_formula(backward_op)
    def backward_flops(dy: Any, states: Any, *shapes: Any, **kwargs: Any) -> int:
        # twice the forward pass, as for a matrix product
        return 2 * count_flops(*shapes, **kwargs)

    return op
