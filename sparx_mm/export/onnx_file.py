"""Files of ONNX: traced networks, with the scans in standard operators."""

import io
import warnings
from collections.abc import Sequence

import onnx
import torch
from onnx import inliner
from torch import nn

from .symbolics import OPSET
from .torch_exporters import teach_exporters

_AXES = ('batch', None, 'height', 'width')


def make_onnx(
    module: nn.Module,
    inputs: Sequence[torch.Tensor],
    names: tuple[Sequence[str], Sequence[str]],
    scan: str = 'lines',
    dynamic: bool = True,
) -> onnx.ModelProto:
    """Trace a network and write it as ONNX.

    Args:
        module (nn.Module): Network in eval mode.
        inputs (Sequence[Tensor]): Example of its inputs, of which the first is images.
        names (tuple): Names of the inputs, and of the outputs.
        scan (str): Form of the scans; see `teach_exporters`. Default: ``'lines'``.
        dynamic (bool): Let batch, height and width vary. Default: True.

    Returns:
        ModelProto: The model.
    """
    teach_exporters(scan)
    given, returned = names
    axes = {}
    if dynamic:
        axes = {name: {0: 'batch'} for name in (*given, *returned)}
        axes[given[0]] = {i: axis for i, axis in enumerate(_AXES) if axis}
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # of values that a trace keeps as constants: what it computes is compared below
        warnings.simplefilter('ignore')
        torch.onnx.export(
            module,
            tuple(inputs),
            buffer,
            input_names=list(given),
            output_names=list(returned),
            dynamic_axes=axes,
            opset_version=OPSET,
            # the newer exporter takes minutes over sizes, and no number of boxes that
            # depends on the pixels
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    # shapes that torch wrote down; runtimes infer them, of the scans too
    del model.graph.value_info[:]
    return inliner.inline_local_functions(model)
