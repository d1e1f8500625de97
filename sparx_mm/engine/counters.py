"""What counters of traced graphs, fvcore's and mmengine's, must know of our operators.

torch's own counter, `torch.utils.flop_counter`, knows them anyway.
"""

from collections.abc import Callable
from math import prod

from mmengine.analysis import complexity_analysis

# imported for the operators that they define
from sparx_mm.kernels import depthwise_conv, selective_scan, ss2d  # noqa: F401
from sparx_mm.kernels.operator import FLOP_FORMULAS


def flop_handles() -> dict[str, Callable]:
    """Return the handles that count our operators in a traced graph.

    Returns:
        dict[str, Callable]: By name of the operator, a function from the inputs and
        outputs of its node to multiply-adds, for ``set_op_handle`` of fvcore's
        ``FlopCountAnalysis`` and mmengine's ``FlopAnalyzer``.

    Example:
        >>> import torch
        >>> from mmengine.analysis import FlopAnalyzer
        >>> from sparx_mm import SparXMamba
        >>> counter = FlopAnalyzer(SparXMamba('tiny'), torch.rand(1, 3, 64, 64))
        >>> counter = counter.set_op_handle(**flop_handles())
    """
    handles = {name: _by_shapes(count) for name, count in FLOP_FORMULAS.items()}
    return {
        **handles,
        # a depthwise convolution whose weight has a gradient
        'prim::PythonOp._LargeConv': _count_depthwise,
        # torch's, which windows and tokens attend by, and neither library counts
        'aten::scaled_dot_product_attention': _count_attention,
    }


def install() -> None:
    """Have mmengine's counters know our operators, for this process."""
    # its public hook is that of a counter, and its get_model_complexity_info makes its own
    known = getattr(complexity_analysis, '_DEFAULT_SUPPORTED_FLOP_OPS', {})
    known.update(flop_handles())


def _shapes(values):
    return [value.type().sizes() for value in values if value.isCompleteTensor()]


def _by_shapes(count):
    # of FLOPs, two a multiply-add
    return lambda inputs, outputs: count(*_arguments(inputs)) // 2


def _arguments(values):
    return [
        value.type().sizes() if value.isCompleteTensor() else value.toIValue() for value in values
    ]


def _count_depthwise(inputs, outputs):
    _, weight, *_ = _shapes(inputs)
    return prod(_shapes(outputs)[0]) * prod(weight[1:])


def _count_attention(inputs, outputs):
    queries, keys, values, *_ = _shapes(inputs)
    # (..., L, E), (..., S, E), (..., S, V)
    return prod(queries[:-1]) * keys[-2] * (queries[-1] + values[-1])
