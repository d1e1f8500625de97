"""The backbones; importing them registers them in mmengine's MODELS."""

# the parts that an arch names by type
from .. import aggregators, mixers  # noqa: F401
from .hierarchical import HierarchicalBackbone
from .sparx_mamba import SparXMamba
from .sparx_swin import SparXSwin

__all__ = ['HierarchicalBackbone', 'SparXMamba', 'SparXSwin']
