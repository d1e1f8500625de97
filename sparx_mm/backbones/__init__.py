"""The backbones; importing them registers them in mmengine's MODELS."""

# the parts that an arch names by type
from .. import aggregators, mixers  # noqa: F401
from .sparx import SparXBackbone
from .sparx_mamba import SparXMamba
from .sparx_swin import SparXSwin

__all__ = ['SparXBackbone', 'SparXMamba', 'SparXSwin']
