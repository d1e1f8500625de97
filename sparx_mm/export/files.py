"""Files of each format, made of a network."""

import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from ..errors import UserError
from .network import Network, as_text
from .runtimes import Run, open_onnx, open_openvino, open_torch

FORMATS = {'onnx': '.onnx', 'openvino': '.xml', 'torch-export': '.pt2', 'torchscript': '.pt'}
SCANS = ('lines', 'doubling')
PRECISIONS = ('float32', 'float16', 'int8')


def write_file(
    network: Network,
    form: str,
    path: str,
    samples: Sequence[dict[str, np.ndarray]],
    precision: str = 'float32',
    scan: str | None = None,
) -> None:
    """Write a network.

    Args:
        network (Network): The network.
        form (str): One of ``FORMATS``.
        path (str): File.
        samples (Sequence[dict]): Inputs of real images; all calibrate int8, the first is
            what is traced.
        precision (str): One of ``PRECISIONS``. Default: ``'float32'``.
        scan (str, optional): Form of the scans in ONNX, one of ``SCANS``. None for the one
            that the format's runtime is right and fast with. Default: None.

    Raises:
        UserError: If the format cannot hold the network.
    """
    if form in ('onnx', 'openvino'):
        _write_onnx(network, form, path, samples, precision, scan)
        return
    example = tuple(torch.from_numpy(samples[0][name]) for name in network.inputs)
    facts = as_text(network.facts)
    if form == 'torchscript':
        with torch.no_grad(), warnings.catch_warnings():
            # of values that a trace keeps as constants: the file is compared below
            warnings.simplefilter('ignore')
            program = torch.jit.trace(network.module, example, check_trace=False)
        torch.jit.save(program, path, _extra_files=facts)
        return
    if network.kind == 'boxes':
        raise UserError(
            'torch-export holds no detector, whose numbers of boxes depend on pixels: give '
            '--part backbone, or --format torchscript'
        )
    program = export_program(network.module, example, 'fixed_size' in facts)
    torch.export.save(program, path, extra_files=facts)


def open_file(network: Network, form: str, path: str) -> Run:
    """Open a file of a network in its runtime.

    Args:
        network (Network): The network.
        form (str): One of ``FORMATS``.
        path (str): File.

    Returns:
        Callable: What runs the file.
    """
    if form == 'onnx':
        return open_onnx(path)
    if form == 'openvino':
        return open_openvino(path)
    program = torch.jit.load(path) if form == 'torchscript' else torch.export.load(path).module()
    return open_torch(program, network.inputs)


def file_parts(path: str) -> list[str]:
    """List the files that a format keeps a network in.

    Args:
        path (str): File.

    Returns:
        list[str]: The file, and what lies beside it.
    """
    # OpenVINO keeps the weights beside the graph
    return [path, f'{os.path.splitext(path)[0]}.bin'] if path.endswith('.xml') else [path]


@contextmanager
def draft(path: str) -> Iterator[str]:
    """Give a temporary name for a file, whose content replaces the file at the block's end.

    A block that ends in an exception leaves the file as it was, and nothing beside it.

    Args:
        path (str): File.

    Yields:
        str: The temporary name, in a folder beside the file.

    Raises:
        UserError: If the file system refuses.
    """
    where, name = os.path.split(os.path.abspath(path))
    try:
        with tempfile.TemporaryDirectory(prefix='.export-', dir=where) as folder:
            yield os.path.join(folder, name)
            for part in reversed(file_parts(name)):
                os.replace(os.path.join(folder, part), os.path.join(where, part))
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error}') from error


def export_program(
    module: torch.nn.Module, example: Sequence[torch.Tensor], fixed_size: bool = False
) -> torch.export.ExportedProgram:
    """Export a network with any batch, height and width by `torch.export`.

    Args:
        module (nn.Module): Network that takes images.
        example (Sequence[Tensor]): The images, at least two. Windows have to be several along
            each axis: sides of 32 times the window's and more.
        fixed_size (bool): Keep the height and width of the images. Default: False.

    Returns:
        ExportedProgram: The program, for sides from 33.
    """
    free = torch.export.Dim.DYNAMIC
    images = example[0]
    if images.shape[0] == 1:
        # of one image torch would make a program for one
        images = images.expand(2, -1, -1, -1).contiguous()
    axes = {0: free} if fixed_size else {0: free, 2: free, 3: free}
    with torch.no_grad():
        return torch.export.export(module, (images,), dynamic_shapes=(axes,), strict=False)


def _write_onnx(network, form, path, samples, precision, scan):
    # imported lazily, because they need packages of the extra `export`
    import onnx

    from .onnx_file import make_onnx
    from .precision import to_half, to_int8

    # OpenVINO computes ONNX's Scan wrong, as of 2026.4
    scan = scan or ('doubling' if form == 'openvino' else 'lines')
    example = [torch.from_numpy(samples[0][name]) for name in network.inputs]
    names = (network.inputs, network.outputs)
    try:
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
        return
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
