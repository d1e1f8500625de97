"""What our operators become where torch writes a traced network as ONNX."""

from collections.abc import Callable

from torch.onnx.symbolic_helper import parse_args

OPSET = 18
SYMBOLICS: dict[str, Callable] = {}


def onnx_symbolic(operator: str, kinds: str) -> Callable:
    """Make a decorator of the function that writes an operator as nodes of ONNX.

    Args:
        operator (str): Name of the operator, ``'sparx_mm::nms'``.
        kinds (str): Kind of each argument, a letter as for torch's ``parse_args``:
            ``v`` for a tensor, ``i``, ``f`` or ``b`` for a number.

    Returns:
        Callable: Decorator; the function takes the graph, then the arguments.
    """

    def register(function: Callable) -> Callable:
        SYMBOLICS[operator] = parse_args(*kinds)(function)
        return function

    return register
