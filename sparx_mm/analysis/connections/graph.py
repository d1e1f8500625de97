"""Which layers of a network read which, as data to draw or to look at."""

from typing import NamedTuple

from torch import nn

from ...backbones import HierarchicalBackbone
from ...errors import UserError


class StageGraph(NamedTuple):
    """One stage: its layers and what each of them reads.

    Layers are numbered from 0.

    Attributes:
        channels (int): Of every map in the stage.
        sources (tuple[tuple[int]]): By layer: the layers that it reads
            beside the one before it, `sparx_mm.backbones.connections.STAGE_INPUT` for
            the input of the stage; empty for a normal layer.
    """

    channels: int
    sources: tuple[tuple[int, ...], ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """By layer: ``'normal'`` or ``'ganglion'``."""
        return tuple('ganglion' if s else 'normal' for s in self.sources)

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of a source and the ganglion layer that reads it."""
        return tuple(
            (source, layer) for layer, sources in enumerate(self.sources) for source in sources
        )


def connection_graph(model: nn.Module) -> tuple[StageGraph, ...]:
    """Graph of a backbone.

    Args:
        model (nn.Module): A SparX backbone, or a model that has one.

    Returns:
        tuple[StageGraph]: The stages that are built, in order.

    Raises:
        UserError: If the model has no SparX backbone.

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
    raise UserError(
        f'{type(model).__name__} has no SparX backbone: give a model with one, such as SparXMamba'
    )
