"""Files of each format, made of a network."""

import os
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from ..errors import UserError
from .network import Network, as_text
from .runtimes import Run, open_onnx, open_openvino, open_torch

FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'torch-export': '.pt2', 'torchscript': '.pt'}
SCANS = ('lines', 'positions', 'doubling')
PRECISIONS = ('float32', 'float16', 'int8')


def write_file(
    network: Network,
    form: str,
    path: str,
    samples: Sequence[dict[str, np.ndarray]],
    precision: str = 'float32',
    scan: str | None = None,
) -> Run:
    """Write a network and open the file.

    Args:
        network (Network): The network.
        form (str): One of ``FORMATS``.
        path (str): File.
        samples (Sequence[dict]): Inputs of real images; all calibrate int8, the first is
            what is traced.
        precision (str): One of ``PRECISIONS``. Default: ``'float32'``.
        scan (str, optional): Form of the scans in ONNX, one of ``SCANS``. None for the one
            that the format's runtime is right and fast with. Default: None.

    Returns:
        Callable: What runs the file.

    Raises:
        UserError: If the format has no such precision or cannot hold the network.
    """
    if form in ('onnx', 'openvino'):
        return _write_onnx(network, form, path, samples, precision, scan)
    if precision != 'float32':
        raise UserError(f'--format {form} is written in float32: give --format onnx')
    example = tuple(torch.from_numpy(samples[0][name]) for name in network.inputs)
    facts = as_text(network.facts)
    if form == 'torchscript':
        with torch.no_grad(), warnings.catch_warnings():
            # of values that a trace keeps as constants: the file is compared below
            warnings.simplefilter('ignore')
            program = torch.jit.trace(network.module, example, check_trace=False)
        torch.jit.save(program, path, _extra_files=facts)
        return open_torch(torch.jit.load(path), network.inputs)
    if network.kind == 'boxes':
        raise UserError(
            'torch-export holds no detector, whose numbers of boxes depend on pixels: give '
            '--part backbone, or --format torchscript'
        )
    torch.export.save(export_program(network.module, example), path, extra_files=facts)
    return open_torch(torch.export.load(path).module(), network.inputs)


def export_program(
    module: torch.nn.Module, example: Sequence[torch.Tensor]
) -> torch.export.ExportedProgram:
    """Export a network with any batch, height and width by `torch.export`.

    Args:
        module (nn.Module): Network that takes images.
        example (Sequence[Tensor]): The images, at least two. Windows have to be several along
            each axis: sides of 32 times the window's and more.

    Returns:
        ExportedProgram: The program, for sides from 33.
    """
    free = torch.export.Dim.DYNAMIC
    images = example[0]
    if images.shape[0] == 1:
        # of one image torch would make a program for one
        images = images.expand(2, -1, -1, -1).contiguous()
    with torch.no_grad():
        return torch.export.export(
            module, (images,), dynamic_shapes=({0: free, 2: free, 3: free},), strict=False
        )


def _write_onnx(network, form, path, samples, precision, scan):
    # imported lazily, because they need packages of the extra `export`
    import onnx

    from .onnx_file import make_onnx
    from .plain_scan import plain_scans
    from .precision import to_half, to_int8

    # OpenVINO computes ONNX's Scan wrong, as of 2026.4
    scan = scan or ('doubling' if form == 'openvino' else 'lines')
    example = [torch.from_numpy(samples[0][name]) for name in network.inputs]
    names = (network.inputs, network.outputs)
    try:
        if scan == 'doubling':
            with plain_scans(network.module):
                model = make_onnx(network.module, example, names)
        else:
            model = make_onnx(network.module, example, names, scan)
    except torch.onnx.OnnxExporterError as error:
        raise UserError(
            f'the network cannot be written as ONNX: {str(error).splitlines()[0]}'
        ) from error
    if precision == 'float16' and form == 'onnx':
        model = to_half(model)
    elif precision == 'int8':
        # onnxruntime refuses what the network has no input for
        model = to_int8(model, [{n: s[n] for n in network.inputs} for s in samples])
    facts = dict(network.facts, precision=precision)
    onnx.helper.set_model_props(model, as_text(facts))
    if form == 'onnx':
        onnx.save(model, path)
        return open_onnx(path)
    import openvino

    source = f'{os.path.splitext(path)[0]}.tmp.onnx'
    onnx.save(model, source)
    try:
        converted = openvino.convert_model(source)
        for name, text in as_text(facts).items():
            converted.set_rt_info(text, ['sparx_mm', name])
        openvino.save_model(converted, path, compress_to_fp16=precision == 'float16')
    finally:
        os.remove(source)
    return open_openvino(path)
