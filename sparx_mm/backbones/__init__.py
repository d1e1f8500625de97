"""The backbones; importing them registers them in mmengine's MODELS."""

# registers the parts that an arch names by type
from .. import aggregators, mixers  # noqa: F401
from .groupmamba import GroupMamba
from .hierarchical import HierarchicalBackbone
from .sparx import SparXMamba, SparXSwin
from .vmamba import VMamba
from .vssd import VSSD

__all__ = ['VSSD', 'GroupMamba', 'HierarchicalBackbone', 'SparXMamba', 'SparXSwin', 'VMamba']
