"""Parts that mmengine builds by name: hooks, optimizer wrappers, metrics, transforms.

Importing this package registers them. It also makes mmengine read checkpoints
safely and write them whole, lay out a config once, count our operators' FLOPs, and
torchvision importable, because every run needs these. mmengine's Inferencers take the test
settings of a checkpoint, and its preprocessor images of one channel.
"""

from .. import checkpoint_io
from ..compat import config_layout, config_names, gray_images, torchvision_stub
from . import counters, inferencers
from .counters import flop_handles
from .evaluation.label_maps import DumpLabelMaps
from .evaluation.selective_iou import SelectiveIoUMetric
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
    'SelectiveIoUMetric',
    'WandbCurves',
    'flop_handles',
    'make_optim_table',
]

checkpoint_io.install()
config_layout.install()
config_names.install()
gray_images.install()
inferencers.install()
counters.install()
# before anything imports torchvision, as every Runner does
torchvision_stub.install()
