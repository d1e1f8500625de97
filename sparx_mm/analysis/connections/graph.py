"""The graph of which layers of a network read which."""

from typing import NamedTuple

from torch import nn

from ...backbones import HierarchicalBackbone, PlainBackbone
from ...errors import UserError


class StageGraph(NamedTuple):
    """Layers of a stage, numbered from 0, and what each of them reads.

    Attributes:
        channels (int): Number of channels of every map in the stage.
        sources (tuple[tuple[int]]): By layer, the layers that it reads beside
            the one before it; `sparx_mm.backbones.connections.STAGE_INPUT` is
            the input of the stage. Empty for a normal layer.
    """

    channels: int
    sources: tuple[tuple[int, ...], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """``'normal'`` or ``'ganglion'``, by layer."""
        return tuple('ganglion' if s else 'normal' for s in self.sources)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a source and the ganglion layer that reads it."""
        return tuple(
            (source, layer) for layer, sources in enumerate(self.sources) for source in sources
        )


def connection_graph(model: nn.Module) -> tuple[StageGraph, ...]:
    """Return the graph of a backbone.

    Args:
        model (nn.Module): Backbone of this package, or a model that has one.

    Returns:
        tuple[StageGraph]: The stages that are built, in order.

    Raises:
        UserError: If the model has no such backbone.

    Example:
        >>> from sparx_mm import SparXMamba
        >>> from sparx_mm.analysis import connection_graph
        >>> connection_graph(SparXMamba('tiny'))[3]
        StageGraph(channels=512, sources=((-1,), (0,)))
    """
    for module in model.modules():
        if isinstance(module, HierarchicalBackbone):
            return tuple(
                StageGraph(channels, tuple(stage.sources))
                for channels, stage in zip(module.arch['embed_dims'], module.stages)
            )
        if isinstance(module, PlainBackbone):
            # a single stage, in which no layer reads another but the one before it
            return (StageGraph(module.arch['embed_dims'], ((),) * len(module.layers)),)
    raise UserError(
        f'{type(model).__name__} has no backbone of sparx_mm: give a model with one, such as '
        'SparXMamba'
    )
