"""Files of ONNX in fewer bits: 16-bit floats, and integers of 8 bits."""

import logging
import re
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

# they sum or exponentiate, or decide about boxes
_WIDE = (
    'Scan',
    'CumSum',
    'Exp',
    'Log',
    'Softmax',
    'LayerNormalization',
    'GroupNormalization',
    'InstanceNormalization',
    'ReduceMean',
    'ReduceSum',
    'NonMaxSuppression',
    'RoiAlign',
    'TopK',
    'Range',
    'Resize',
)


# names that onnxruntime's converter gives to its casts
_NARROWED = re.compile('_cast_to_fp16_node$|^graph_input_cast')
_WIDENED = re.compile('_cast_to_fp32_node$|^graph_output_cast')


def _own_nodes(model: onnx.ModelProto) -> list[str]:
    """List the nodes of no module of the network: of scans, and of coordinates of boxes."""
    # others are named by their module: /backbone/stem/stem.0/Conv
    return [node.name for node in model.graph.node if node.name.count('/') < 2]


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store and compute in float16, the scans, norms and boxes in float32.

    Args:
        model (ModelProto): Model in float32.

    Returns:
        ModelProto: The model; inputs and outputs stay float32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        # of weights too small for 16 bits, which become 0
        warnings.simplefilter('ignore')
        model = convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=list(_WIDE),
            node_block_list=_own_nodes(model),
        )
    _join_wide_nodes(model.graph)
    return model


def _join_wide_nodes(graph: onnx.GraphProto) -> None:
    """Let nodes in float32 read each other, where the converter casts to float16 and back."""
    # told by their names, because the network has casts of its own
    wide = {n.output[0]: n.input[0] for n in graph.node if _NARROWED.search(n.name)}
    for node in graph.node:
        if _WIDENED.search(node.name):
            # a cast from float32 to float32, which runtimes leave out
            node.input[0] = wide.get(node.input[0], node.input[0])
    read = {name for node in graph.node for name in node.input}
    read.update(value.name for value in graph.output)
    kept = [node for node in graph.node if node.op_type != 'Cast' or node.output[0] in read]
    del graph.node[:]
    graph.node.extend(kept)


def to_int8(model: onnx.ModelProto, samples: Sequence[dict[str, np.ndarray]]) -> onnx.ModelProto:
    """Quantise convolutions and products statically, the scans and norms in float32.

    Args:
        model (ModelProto): Model in float32.
        samples (Sequence[dict]): Inputs of real images, from which ranges are taken.

    Returns:
        ModelProto: The model, with pairs of quantisation and its inverse.
    """
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Samples(quantization.CalibrationDataReader):
        def __init__(self):
            self.left = iter(samples)

        def get_next(self):
            return next(self.left, None)

    skipped = _own_nodes(model)
    with tempfile.TemporaryDirectory() as folder:
        source, prepared, target = (str(Path(folder) / f'{i}.onnx') for i in range(3))
        onnx.save(model, source)
        level = logging.root.level
        logging.disable(logging.WARNING)
        try:
            # folds constants, without which the Scans have no shapes
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantization.quantize_static(
                prepared,
                target,
                Samples(),
                op_types_to_quantize=['Conv', 'MatMul', 'Gemm'],
                nodes_to_exclude=skipped,
                per_channel=True,
            )
        finally:
            logging.disable(logging.NOTSET)
            logging.root.setLevel(level)
        return onnx.load(target)
