"""Parts that mmengine builds by name: hooks, optimizer wrappers, metrics, transforms.

Importing this package registers them. It also makes mmengine read checkpoints
safely and write them whole, lay out a config once, and torchvision importable, because
every run needs these.
"""

from .. import checkpoint_io
from ..compat import config_layout, torchvision_stub
from .evaluation.label_maps import DumpLabelMaps
from .hooks.checkpoint import SafeCheckpointHook
from .hooks.coverage import CoverageHook
from .hooks.finite import FiniteHook
from .hooks.optim_table import OptimTableHook, make_optim_table
from .hooks.rehearsal import RehearsalHook
from .hooks.resume import ResumeHook
from .optim.amp import AMP_DTYPES, BFloat16OptimWrapper
from .optim.fsdp import ResumableFSDPStrategy
from .optim.layer_decay import LayerDecayOptimWrapperConstructor
from .transforms.check_seg_map import CheckSegMap
from .wandb_curves import WandbCurves

__all__ = [
    'AMP_DTYPES',
    'BFloat16OptimWrapper',
    'CheckSegMap',
    'CoverageHook',
    'DumpLabelMaps',
    'FiniteHook',
    'LayerDecayOptimWrapperConstructor',
    'OptimTableHook',
    'RehearsalHook',
    'ResumableFSDPStrategy',
    'ResumeHook',
    'SafeCheckpointHook',
    'WandbCurves',
    'make_optim_table',
]

checkpoint_io.install()
config_layout.install()
# before anything imports torchvision, as every Runner does
torchvision_stub.install()
