"""End with the reason why a wheel of mmcv does not fit this Python's torch, if there is one.

A wheel's name says its Python and machine, not the torch that it was compiled against. So its
operators are loaded beside torch, and one of them runs. Nothing is installed.
"""

import importlib.util
import sys
import tempfile
import zipfile
from pathlib import Path

import torch


def devices(archs):
    """List the devices on which an operator is tried.

    Args:
        archs (str): As in `why_not`.
    """
    if archs and torch.cuda.is_available():
        # operators for GPUs elsewhere need not run on the one that is here
        if '{}.{}'.format(*torch.cuda.get_device_capability()) in archs:
            return ['cpu', 'cuda']
    return ['cpu']


def why_not(wheel, archs):
    """Return the reason why the wheel does not fit, or ''.

    Args:
        wheel (str): Path of the wheel.
        archs (str): Architectures that its CUDA operators are for; '' for the CPU.
    """
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        operators = list(Path(folder).glob('mmcv/_ext*.so'))
        if not operators:
            return 'it has no operators'
        try:
            spec = importlib.util.spec_from_file_location('mmcv._ext', str(operators[0]))
            ext = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(ext)
        except ImportError as error:
            why = str(error).split('.so: ')[-1]
            return f'its operators do not load beside torch {torch.__version__}: {why}'
        if archs and ext.get_compiling_cuda_version() == 'not available':
            return 'its operators are for the CPU alone'
        for device in devices(archs):
            boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.1]], device=device)
            kept = ext.nms(boxes, boxes[:, 3], iou_threshold=0.5, offset=0)
            if kept.tolist() != [1]:
                return f'its operators compute nonsense on the {device}'
    return ''


if __name__ == '__main__':
    sys.exit(why_not(*sys.argv[1:]) or None)
