"""Files of ONNX in fewer bits: 16-bit floats, and integers of 8 bits."""

import logging
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from .torch_exporters import NODES

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


def _scan_nodes(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if node.name.startswith(NODES)]


def to_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """Store and compute in float16, the scans and norms in float32.

    Args:
        model (ModelProto): Model in float32.

    Returns:
        ModelProto: The model; inputs and outputs stay float32.
    """
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with warnings.catch_warnings():
        # of weights too small for 16 bits, which become 0
        warnings.simplefilter('ignore')
        return convert_float_to_float16(
            model,
            keep_io_types=True,
            op_block_list=list(_WIDE),
            node_block_list=_scan_nodes(model),
        )


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

    skipped = _scan_nodes(model)
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
