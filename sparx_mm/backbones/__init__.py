"""The backbones; importing them registers them in mmengine's MODELS."""

# registers the parts that an arch names by type
from .. import aggregators, mixers  # noqa: F401
from .base import Backbone
from .groupmamba import GroupMamba
from .hierarchical import HierarchicalBackbone
from .plain import PlainBackbone
from .plainmamba import PlainMamba
from .plainmamba_adapter import PlainMambaAdapter
from .sparx import SparXMamba, SparXSwin
from .token_pruning import TokenPruning
from .vim import Vim
from .vmamba import VMamba
from .vmunet import VMUNetEncoder
from .vssd import VSSD

__all__ = [
    'VSSD',
    'Backbone',
    'GroupMamba',
    'HierarchicalBackbone',
    'PlainBackbone',
    'PlainMamba',
    'PlainMambaAdapter',
    'SparXMamba',
    'SparXSwin',
    'TokenPruning',
    'VMUNetEncoder',
    'VMamba',
    'Vim',
]
