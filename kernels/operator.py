"""The registration of an operator with torch: all that the operators share.

Those of `define_operator` take tensors, of which the first decides about dtype, device and
memory format, then options. They return y and the states that their backward pass needs. With
it torch.compile, export, checkpointing and FLOP counting see them.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from . import dispatch
from .autocast import without_autocast

# one for each operator, which lives as long as this does; not torch.library.custom_op, which
# looks for aliases at each call
_LIBRARIES: dict[str, torch.library.Library] = {}
# by name of the operator, the function from shapes to FLOPs that it was defined with
FLOP_FORMULAS: dict[str, Callable[..., int]] = {}


def _memory_format(x: torch.Tensor) -> torch.memory_format:
    if not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


@functools.lru_cache(1024)
def _strides(shape: torch.Size, memory_format: torch.memory_format) -> tuple[int, ...]:
    return torch.empty(shape, device='meta', memory_format=memory_format).stride()


def _laid_out(result: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the result in the dtype and memory format of x."""
    memory_format = _memory_format(x)
    if result.dtype == x.dtype and result.stride() == _strides(x.shape, memory_format):
        return result
    return torch.empty_like(x, memory_format=memory_format).copy_(result)


def register(
    schema: str, function: Callable, fake: Callable, backward: Callable, setup_context: Callable
) -> Callable:
    """Register an operator, in the place of one of that name.

    Args:
        schema (str): Its name, arguments and results.
        function (Callable): What it computes, on every device; torch.compile does not
            look into it.
        fake (Callable): Function from tensors without data to results of the same kind.
        backward, setup_context (Callable): As for `torch.library.register_autograd`.

    Returns:
        Callable: The operator.
    """
    name = schema.partition('(')[0]
    _LIBRARIES.pop(name, None)
    library = _LIBRARIES[name] = torch.library.Library('sparx_mm', 'FRAGMENT')
    library.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    library.impl(name, torch.compiler.disable(function), 'CompositeExplicitAutograd')
    qualified = f'sparx_mm::{name}'
    torch.library.register_fake(qualified, fake, lib=library)
    torch.library.register_autograd(qualified, backward, setup_context=setup_context, lib=library)
    return getattr(torch.ops.sparx_mm, name)


def without_tangents(op: Callable, name: str) -> Callable:
    """Make an operator refuse forward-mode derivatives, which torch would take for zeros.

    Args:
        op (Callable): The operator.
        name (str): Its name.

    Returns:
        Callable: The same, which raises ``RuntimeError`` for an input with a tangent.
    """

    def call(*inputs: Any) -> Any:
        # torch.func.jvp and what is made of it open a dual level too
        if forward_ad._current_level >= 0:
            _check_tangents(name, inputs)
        return op(*inputs)

    return call


def _check_tangents(name: str, inputs: Sequence) -> None:
    for x in inputs:
        if not isinstance(x, torch.Tensor):
            continue
        # another transform within torch.func.jvp hides a tangent from unpack_dual: what it wraps is
        # refused with or without one
        if is_functorch_wrapped_tensor(x) or forward_ad.unpack_dual(x).tangent is not None:
            raise RuntimeError(
                f'sparx_mm::{name} has no forward-mode derivatives: take torch.autograd.grad, '
                f'or set {dispatch.ENV_VAR}=reference, which is slow'
            )


def define_operator(
    package: str,
    tensors: Sequence[str],
    options: Sequence[str] = (),
    states_of: Sequence[str] = (),
    count_flops: Callable[..., int] | None = None,
) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Register an operator and its backward pass as ``sparx_mm::<name>``.

    Args:
        package (str): Package of the operator, with a module for each backend; its
            last part is the name.
        tensors (Sequence[str]): Names of the tensors.
        options (Sequence[str]): What follows them, as torch's schemas write it:
            ``'bool softplus'``, or ``'bool softplus=True'`` if each backend has the
            same default. Default: nothing.
        states_of (Sequence[str]): Names of the arguments on which, beside the first,
            the shape of the states depends. Default: none.
        count_flops (Callable, optional): Function from the shapes of the arguments to
            the FLOPs of the forward pass; the backward pass counts twice that.
            Default: nothing is counted, as for torch's norms.

    Returns:
        Callable: The operator, from its arguments to y, in the dtype and memory
        format of the first, and the states, float32 at least.
    """
    name, count = package.rpartition('.')[2], len(tensors)
    arguments = ', '.join([*(f'Tensor {n}' for n in tensors), *options])
    names = [*tensors, *(option.split()[1].partition('=')[0] for option in options)]
    shaping = [names.index(n) for n in states_of]

    def shape_arguments(*inputs: Any) -> list:
        # torch leaves out options at the end that are their defaults
        return [inputs[0], *(inputs[i] for i in shaping if i < len(inputs))]

    def fake(x: torch.Tensor, *others: Any) -> tuple[torch.Tensor, torch.Tensor]:
        shape = dispatch.select(package, x).states_shape(*shape_arguments(x, *others))
        states = x.new_empty(shape, dtype=torch.promote_types(x.dtype, torch.float32))
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
        backend = dispatch.select_for_backward(package, states, *shape_arguments(x, *others))
        dx, *rest = backend.backward(dy, states, x, *others)
        return _laid_out(dx, x), *(g.to(t.dtype).contiguous() for g, t in zip(rest, others))

    def setup_context(ctx: Any, inputs: tuple, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], *inputs[:count])
        ctx.options = inputs[count:]

    def differentiate(ctx: Any, dy: torch.Tensor, _: None) -> tuple[torch.Tensor | None, ...]:
        return *call_backward(dy, *ctx.saved_tensors, *ctx.options), *[None] * len(ctx.options)

    def refuse(ctx: Any, *grads: torch.Tensor | None) -> None:
        raise RuntimeError(f'sparx_mm::{name} has no double backward: leave out create_graph=True')

    op = register(
        f'{name}({arguments}) -> (Tensor, Tensor)', forward, fake, differentiate, setup_context
    )
    backward_op = register(
        f'{name}_backward(Tensor dy, Tensor states, {arguments}) -> '
        f'({", ".join(["Tensor"] * count)})',
        backward,
        fake_backward,
        refuse,
        lambda ctx, inputs, output: None,
    )
    call, call_backward = without_tangents(op, name), without_tangents(backward_op, name)
    if count_flops is None:
        return call
    FLOP_FORMULAS[f'sparx_mm::{name}'] = count_flops

    @register_flop_formula(op)
    def flops(*shapes: Any, **kwargs: Any) -> int:
        return count_flops(*shapes, **kwargs)

    @register_flop_formula(backward_op)
    def backward_flops(dy: Any, states: Any, *shapes: Any, **kwargs: Any) -> int:
        # twice the forward pass, as for a matrix product
        return 2 * count_flops(*shapes, **kwargs)

    return call
