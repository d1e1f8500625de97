"""Networks beside a backbone without stages, which make maps of several sizes of its one."""

from .deformable_attention import DeformableAttention
from .interaction import Extractor, Injector
from .prior import SpatialPrior
from .sampling import sample_levels
from .vit_adapter import ViTAdapter

__all__ = [
    'DeformableAttention',
    'Extractor',
    'Injector',
    'SpatialPrior',
    'ViTAdapter',
    'sample_levels',
]
