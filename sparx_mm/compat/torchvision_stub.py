"""torchvision on a machine where its C++ library does not load.

The package index's wheel is made for the CUDA build of torch. Beside a CPU build its library
does not load, and importing it ends in ``operator torchvision::nms does not
exist``, although most of it is plain Python and needs no operator. mmpretrain
imports torchvision; so does every Runner of mmengine, to print its version, and
accepts only that it is not installed.

`watch` has an import of torchvision declare the schemas of the operators that it looks
for, if its library has not. Calling such an operator is an error of torchvision that
says so. `python sparx_mm/compat/torchvision_stub.py`, which `make setup` runs, has each
Python of its environment call `watch`, so that programs which know nothing of us import
torchvision too.

`install` mends this process alone; `sparx_mm.engine` calls it. If torchvision cannot
be imported even then, it is hidden from this process, as if it were not installed,
which suffices for mmengine, mmdet and mmseg.

Example:
    >>> # in a config of mmpretrain
    >>> custom_imports = dict(imports=['sparx_mm', 'sparx_mm.engine'])
    >>> # in a program, before it imports mmpretrain
    >>> from sparx_mm.compat import torchvision_stub
    >>> torchvision_stub.install()
"""

import functools
import sys
import sysconfig
from importlib import import_module
from pathlib import Path

# the operators that torchvision refers to even without its library
OPERATORS = ('nms', 'qnms')
SCHEMA = '{}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
# its modules that do, which it imports as soon as it has tried to load the library
REFERRING = ('torchvision._autograd_registrations', 'torchvision._meta_registrations')


class Watcher:
    """Finder that finds nothing, and declares operators before torchvision refers to them."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Declare what is missing if a module that refers to it is about to be imported.

        Args:
            name (str): Full name of the module.
            path (object): Not used. Default: None.
            target (object): Not used. Default: None.
        """
        if name in REFERRING:
            declare_operators()


def watch() -> None:
    """Watch the imports of this process for torchvision."""
    if Watcher not in sys.meta_path:
        sys.meta_path.insert(0, Watcher)


@functools.cache
def install() -> str | None:
    """Import torchvision with or without its C++ library, once per process.

    Returns:
        str, optional: The reason why torchvision cannot be imported; it is then
        hidden from this process. None if it is imported or not installed.
    """
    watch()
    try:
        import_module('torchvision')
    except Exception as error:
        # a broken torchvision may raise anything, and most runs do not need it
        if isinstance(error, ModuleNotFoundError) and error.name == 'torchvision':
            return None
        # because importing it then raises ModuleNotFoundError
        sys.modules['torchvision'] = None
        return f'{type(error).__name__}: {error}'
    return None


def declare_operators() -> None:
    """Declare those operators, without kernels, that torchvision's library has not."""
    import torch

    missing = [name for name in OPERATORS if not hasattr(torch.ops.torchvision, name)]
    if missing:
        global _library
        # because the operators last as long as this object
        _library = torch.library.Library('torchvision', 'FRAGMENT')
        for name in missing:
            _library.define(SCHEMA.format(name))


def watch_in_environment() -> None:
    """Have each Python of this environment call `watch` when it starts."""
    site, name = Path(sysconfig.get_path('purelib')), 'sparx_mm_torchvision_stub'
    # a copy, because importing sparx_mm takes seconds
    (site / f'{name}.py').write_text(Path(__file__).read_text())
    (site / f'{name}.pth').write_text(f'import {name}; {name}.watch()\n')


if __name__ == '__main__':
    watch_in_environment()
