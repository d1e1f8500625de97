"""What our operators become where torch writes a traced network as ONNX."""

from collections.abc import Callable
from typing import Any

import torch
from torch.onnx.symbolic_helper import parse_args

OPSET = 18
_SYMBOLICS: dict[str, Callable] = {}


def onnx_symbolic(operator: str, kinds: str) -> Callable:
    """Make a decorator of the function that writes an operator as nodes of ONNX.

    Args:
        operator (str): Name of the operator, ``'sparx_mm::ss2d'``.
        kinds (str): Kind of each argument, a letter as for torch's ``parse_args``:
            ``v`` for a tensor, ``i``, ``f`` or ``b`` for a number.

    Returns:
        Callable: Decorator; the function takes the graph, then the arguments.
    """

    def register(function: Callable) -> Callable:
        _SYMBOLICS[operator] = parse_args(*kinds)(function)
        return function

    return register


def install() -> None:
    """Teach torch's exporter of traced networks to write our operators."""
    for operator, function in _SYMBOLICS.items():
        # 1 is the version of our own domain, which torch takes by default
        torch.onnx.register_custom_op_symbolic(operator, function, 1)


@onnx_symbolic('sparx_mm::ss2d', 'vvvvvv')
def _ss2d(g: Any, x: Any, dt_B_C: Any, dt_weight: Any, dt_bias: Any, A: Any, D: Any) -> Any:
    # a function of the file, which `add_scans` adds
    return g.op('sparx_mm::ss2d', x, dt_B_C, dt_weight, dt_bias, A, D, outputs=2)
