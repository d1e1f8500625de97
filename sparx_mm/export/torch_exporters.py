"""The scans for torch's exporters of ONNX, which do not know our operators."""

from collections.abc import Callable

import onnx
import torch
from onnx import helper, inliner
from onnxscript import FLOAT
from onnxscript.values import OnnxFunction
from torch.onnx.symbolic_helper import parse_args

from ..errors import UserError
from . import onnx_scan
from .symbolics import OPSET, SYMBOLICS

SCANS = dict(lines=onnx_scan.linear_scan, doubling=onnx_scan.linear_scan_by_doubling)
# what the names of a scan's nodes begin with
NODES = 'sparx_mm_scan/'


class FlatFunction(OnnxFunction):
    """A function that calls none, because torch adds no function that another one calls.

    Args:
        function (OnnxFunction): A function of `onnx_scan`.
        linear_scan (OnnxFunction): What it computes linear scans by.
    """

    def __init__(self, function: OnnxFunction, linear_scan: OnnxFunction) -> None:
        super().__init__(
            function.opset, function.function, function.function_ir, function.source, {}
        )
        # from which torch takes the number of outputs
        self.__annotations__ = {'return': tuple[FLOAT, FLOAT]}
        called = function.function_ir.get_called_functions().values()
        # a variant may call functions of its own
        called = [*called, linear_scan, *linear_scan.function_ir.get_called_functions().values()]
        protos = {one.name: one.to_function_proto() for one in called}
        protos['linear_scan'] = protos.pop(linear_scan.name)
        protos['linear_scan'].name = 'linear_scan'
        self._proto = _inline(function.to_function_proto(), list(protos.values()))

    def to_function_proto(self) -> onnx.FunctionProto:
        """Return the function as ONNX keeps it."""
        return self._proto


def _inline(function: onnx.FunctionProto, called: list[onnx.FunctionProto]) -> onnx.FunctionProto:
    """Write a function without the functions that it calls."""
    opsets = [helper.make_opsetid('', OPSET), helper.make_opsetid(onnx_scan.DOMAIN, 1)]
    inputs, outputs = (
        [helper.make_empty_tensor_value_info(name) for name in names]
        for names in (function.input, function.output)
    )
    graph = helper.make_graph(function.node, function.name, inputs, outputs)
    model = helper.make_model(graph, functions=called, opset_imports=opsets)
    nodes = inliner.inline_local_functions(model).graph.node
    for number, node in enumerate(nodes):
        node.name = f'{NODES}{node.op_type}_{number}'
    return helper.make_function(
        onnx_scan.DOMAIN, function.name, function.input, function.output, nodes, opsets[:1]
    )


def teach_exporters(scan: str = 'lines') -> dict[Callable, Callable]:
    """Let ``torch.onnx.export`` write our operators, from now on and in this process.

    Args:
        scan (str): One of ``SCANS``: ONNX Scans over the positions of all lines at once,
            or no loop. Default: ``'lines'``.

    Returns:
        dict: What the exporter takes as ``custom_translation_table``; with ``dynamo=False``
        it needs none.

    Raises:
        UserError: If there is no such form.

    Example:
        >>> table = teach_exporters()
        >>> torch.onnx.export(model, images, 'a.onnx', custom_translation_table=table)
    """
    if scan not in SCANS:
        raise UserError(f'the form of the scans {scan!r} is none of {", ".join(SCANS)}')
    flat = {one.name: FlatFunction(one, SCANS[scan]) for one in onnx_scan.OPERATORS}

    def ss2d(x, dt_B_C, dt_weight, dt_bias, A, D, orders='cross'):
        return flat[f'ss2d_{orders}'](x, dt_B_C, dt_weight, dt_bias, A, D)

    def selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus):
        return flat[_variant(delta_softplus)](u, delta, A, B, C, D, delta_bias)

    traced = {name: _symbolic(function) for name, function in flat.items()}

    @parse_args(*'vvvvvvs')
    def ss2d_symbolic(g, x, dt_B_C, dt_weight, dt_bias, A, D, orders):
        return traced[f'ss2d_{orders}'](g, x, dt_B_C, dt_weight, dt_bias, A, D)

    @parse_args(*'vvvvvvvb')
    def scan_symbolic(g, u, delta, A, B, C, D, delta_bias, delta_softplus):
        return traced[_variant(delta_softplus)](g, u, delta, A, B, C, D, delta_bias)

    symbolics = {f'{onnx_scan.DOMAIN}::{name}': function for name, function in traced.items()}
    symbolics = {
        **SYMBOLICS,
        **symbolics,
        f'{onnx_scan.DOMAIN}::ss2d': ss2d_symbolic,
        f'{onnx_scan.DOMAIN}::selective_scan': scan_symbolic,
    }
    for name, function in symbolics.items():
        # 1 is the version of our own domain, which torch takes by default
        torch.onnx.register_custom_op_symbolic(name, function, 1)
    operators = torch.ops.sparx_mm
    return {
        operators.ss2d.default: ss2d,
        operators.selective_scan.default: selective_scan,
    }


def _variant(delta_softplus: bool) -> str:
    return 'scan_with_softplus' if delta_softplus else 'scan_of_sizes'


def _symbolic(function: OnnxFunction) -> Callable:
    """Make what torch's exporter of traced networks calls: it adds a node of the function."""

    def add(g, *inputs):
        y, unread = g.op(f'{onnx_scan.DOMAIN}::{function.name}', *inputs, outputs=2)
        # torch infers no type of a custom operator
        for output in (y, unread):
            output.setType(inputs[0].type())
        return y, unread

    # by which torch finds the function of a node
    add.to_function_proto = function.to_function_proto
    return add
