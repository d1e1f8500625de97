"""torchvision on a machine where its C++ library does not load.

PyPI's wheel is made for the CUDA build of torch. On a build for the CPU its
library does not load, and importing it ends in ``operator torchvision::nms
does not exist``, though most of it is plain Python and needs no operator.
mmpretrain imports torchvision; so does every Runner of mmengine, to print its
version, and takes no error but its absence.

`install` imports torchvision, if it is there, in a way that works: without its
library the schemas of the operators that it looks for are declared first. To
call one is an error of torchvision that says so. If it cannot be imported even
then, it is for this process as if it were not installed, which mmengine, mmdet
and mmseg are content with. `sparx_mm.engine` calls it.

Example:
    >>> # in a config of mmpretrain
    >>> custom_imports = dict(imports=['sparx_mm', 'sparx_mm.engine'])
    >>> # in a program, before it imports mmpretrain
    >>> from sparx_mm.compat import torchvision_stub
    >>> torchvision_stub.install()
"""

import functools
import sys
from importlib import import_module

from torch.library import Library

# those that it refers to without asking whether its library is there
OPERATORS = ('nms', 'qnms')
SCHEMA = '{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'


@functools.cache
def install() -> str | None:
    """Import torchvision, with or without its C++ library; once a process.

    Returns:
        str, optional: Why it cannot be imported; it is then hidden from this
        process. None if it is imported or not installed.
    """
    error = _import()
    if 'operator torchvision::' in str(error):
        declare_operators()
        error = _import()
    if error is None or (isinstance(error, ModuleNotFoundError) and error.name == 'torchvision'):
        return None
    # importing it raises ModuleNotFoundError from now on
    sys.modules['torchvision'] = None
    return f'{type(error).__name__}: {error}'


def declare_operators() -> None:
    """Declare the operators that torchvision looks for, without kernels."""
    global _library
    # they last as long as this object
    _library = Library('torchvision', 'FRAGMENT')
    for name in OPERATORS:
        _library.define(SCHEMA.format(name))


def _import() -> Exception | None:
    try:
        import_module('torchvision')
    except Exception as error:
        # whatever a broken one raises, most runs do not need it
        return error
    return None
