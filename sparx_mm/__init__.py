"""Vision backbones for OpenMMLab.

Importing registers backbones and necks in mmengine's MODELS, PretrainedSwin and
PretrainedVMamba among its initializers, and changes nothing else. Without mmengine,
`sparx_mm.kernels` and `sparx_mm.info` still work.
"""

from pathlib import Path as _Path

__version__ = '0.2.0'
__all__ = [
    'VSSD',
    'GroupMamba',
    'HierarchicalBackbone',
    'PlainMamba',
    'PlainMambaAdapter',
    'SparXMamba',
    'SparXSwin',
    'VMUNetEncoder',
    'VMamba',
    'Vim',
    'backbones',
    'config_path',
    'load',
    'necks',
]

# setup.cfg installs kernels/ in this folder; in a clone it is beside this folder
# and must be found there, whether this clone, another one or none is installed
_here = _Path(__file__).resolve().parent
if not (_here / 'kernels').exists():
    __path__.append(str(_here.parent))

try:
    # because it imports all that the backbones need, torch included
    import mmengine.model  # noqa: F401
except ImportError as error:
    _reason = error

    def __getattr__(name):
        if name in __all__:
            # OpenCV, because onedl-mmengine reads checkpoints with modules that import
            # it and does not require it
            raise ImportError(
                f'sparx_mm.{name} needs torch and mmengine ({_reason}); type: '
                'pip install torch onedl-mmengine opencv-python-headless'
            ) from _reason
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
else:
    from . import backbones, necks
    from .backbones import (
        VSSD,
        GroupMamba,
        HierarchicalBackbone,
        PlainMamba,
        PlainMambaAdapter,
        SparXMamba,
        SparXSwin,
        Vim,
        VMamba,
        VMUNetEncoder,
    )
    from .model_index import config_path

    def __getattr__(name):
        if name == 'load':
            # imported when it is asked for: inference needs an OpenMMLab library
            from .inference import load

            return load
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
