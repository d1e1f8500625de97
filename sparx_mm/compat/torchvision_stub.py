"""torchvision on a machine where its C++ library does not load.

PyPI's wheel is made for the CUDA build of torch. Beside a CPU build its library
does not load, and importing it ends in ``operator torchvision::nms does not
exist``, although most of it is plain Python and needs no operator. mmpretrain
imports torchvision; so does every Runner of mmengine, to print its version, and
accepts only that it is not installed.

If the library does not load, `install` declares the schemas of the operators
that torchvision looks for and imports it again. Calling such an operator is an
error of torchvision that says so. If torchvision cannot be imported even then,
it is hidden from this process, as if it were not installed, which suffices for
mmengine, mmdet and mmseg. `sparx_mm.engine` calls `install`.

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

# the operators that torchvision refers to even without its library
OPERATORS = ('nms', 'qnms')
SCHEMA = '{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'


@functools.cache
def install() -> str | None:
    """Import torchvision with or without its C++ library, once per process.

    Returns:
        str, optional: The reason why torchvision cannot be imported; it is then
        hidden from this process. None if it is imported or not installed.
    """
    error = _import()
    if 'operator torchvision::' in str(error):
        declare_operators()
        error = _import()
    if error is None or (isinstance(error, ModuleNotFoundError) and error.name == 'torchvision'):
        return None
    # because importing it then raises ModuleNotFoundError
    sys.modules['torchvision'] = None
    return f'{type(error).__name__}: {error}'


def declare_operators() -> None:
    """Declare the operators that torchvision looks for, without kernels."""
    global _library
    # because the operators last as long as this object
    _library = Library('torchvision', 'FRAGMENT')
    for name in OPERATORS:
        _library.define(SCHEMA.format(name))


def _import() -> Exception | None:
    try:
        import_module('torchvision')
    except Exception as error:
        # a broken torchvision may raise anything, and most runs do not need it
        return error
    return None
