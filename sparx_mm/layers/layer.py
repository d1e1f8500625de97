"""The one layer that every network is made of."""

from collections.abc import Callable, Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from ..errors import ConfigError
from ..registry import build_part
from .norm import build_norm
from .position import DynamicPositionEncoding
from .shortcut import ChannelAffine, DropPath
from .weighted_sum import WeightedSum

# kinds of input for which torch compiles one piece of code before it gives up: as many as
# for all code of a program, because a width, a mode or a dtype each makes a kind
_KINDS = 256


class Layer(BaseModule):
    """Position encoding, token mixer and FFN; SparX's paper, Figure 2.

        x = dpe(weighted_sum(earlier, x))
        x = skip1(x) + drop_path(mixer(proj(norm1(x), sources)))
        x = ffn_dpe(x)
        x = skip2(x) + drop_path(ffn(norm2(x)))

    Without an FFN it ends after the second line. A normal and a ganglion layer differ in ``proj`` alone, which makes the
    mixer's input: a projection sees only this layer's map, an aggregator also
    reads ``sources``. One whose attribute ``takes_norm`` is True is given the map as
    it is, and the norm: ``proj(x, sources, norm1)``.

    Args:
        dim (int): Number of channels C.
        mixer (dict): Config of the token mixer, without ``dim``.
        proj (dict): Config of the projection or aggregator, without ``dim``,
            ``out_channels`` and ``num_sources``.
        ffn (dict, optional): Config of the FFN, without ``dim``. None: the
            layer ends after the mixer.
        norm (dict): Config of the two norms. A mixer or FFN whose attribute
            ``owns_norm`` is True has none before it.
            Default: ``dict(type='GN', num_groups=1)``.
        dpe (bool): Start with a position encoding. Default: True.
        ffn_dpe (bool): Put a position encoding before the FFN too.
            Default: False.
        skip_scale (bool): Scale and shift the shortcuts per channel.
            Default: False.
        drop_path_rate (float): Stochastic depth rate. Default: 0.
        num_sources (int): Number of earlier maps that ``proj`` aggregates.
            0: ``proj`` is a projection. Default: 0.
        num_inputs (int): Number of maps, ``x`` among them, that the layer starts from
            the weighted sum of. 0: it starts from ``x``. Default: 0.
    """

    def __init__(
        self,
        dim: int,
        mixer: dict,
        proj: dict,
        ffn: dict | None,
        norm: dict = dict(type='GN', num_groups=1),
        dpe: bool = True,
        ffn_dpe: bool = False,
        skip_scale: bool = False,
        drop_path_rate: float = 0.0,
        num_sources: int = 0,
        num_inputs: int = 0,
    ) -> None:
        super().__init__()
        self.num_sources = num_sources
        self.weighted_sum = WeightedSum(num_inputs) if num_inputs else None
        self.dpe = DynamicPositionEncoding(dim) if dpe else nn.Identity()
        mixer = build_part(mixer, 'mixer', dim=dim)
        self.norm1 = _norm_before(mixer, norm, dim)
        self.mixer = mixer
        if not isinstance(getattr(self.mixer, 'in_channels', None), int):
            raise ConfigError(
                f'mixer {type(self.mixer).__name__} has no in_channels, the number of channels '
                'that its forward takes: set it in its __init__'
            )
        reads = dict(num_sources=num_sources) if num_sources else {}
        self.proj = build_part(
            proj,
            'aggregator' if num_sources else 'projection',
            dim=dim,
            out_channels=self.mixer.in_channels,
            **reads,
        )
        self._takes_norm = getattr(self.proj, 'takes_norm', False)
        has_ffn = ffn is not None
        self.ffn_dpe = DynamicPositionEncoding(dim) if ffn_dpe and has_ffn else nn.Identity()
        ffn = build_part(ffn, 'ffn', dim=dim) if has_ffn else None
        self.norm2 = _norm_before(ffn, norm, dim) if has_ffn else None
        self.ffn = ffn
        self.skip1 = ChannelAffine(dim) if skip_scale else nn.Identity()
        self.skip2 = ChannelAffine(dim) if skip_scale and has_ffn else nn.Identity()
        self.drop_path = DropPath(drop_path_rate)
        self._compiled_mix = None

    def forward(
        self,
        x: torch.Tensor,
        sources: Sequence[torch.Tensor] = (),
        earlier: Sequence[torch.Tensor] = (),
        mix: Callable | None = None,
    ) -> torch.Tensor:
        """Run the layer.

        Args:
            x (Tensor): Map of shape (B, C, H, W).
            sources (Sequence[Tensor]): Earlier maps of the stage, each
                (B, C, H, W), in concatenation order; as many as
                ``num_sources``. Default: ().
            earlier (Sequence[Tensor]): Earlier maps for the weighted sum, likewise,
                one fewer than ``num_inputs``. Default: ().
            mix (Callable, optional): Function of the layer, the shortcut and the mixer's
                input that is run in place of what follows the projection. Default: none.

        Returns:
            Tensor: Map of shape (B, C, H, W), or what ``mix`` returns.
        """
        if self.weighted_sum is not None:
            x = self.weighted_sum([*earlier, x])
        x = self.dpe(x)
        if self._takes_norm:
            y = self.proj(x, sources, self.norm1)
        else:
            y = self.norm1(x)
            y = self.proj(y, sources) if self.num_sources else self.proj(y)
        return (mix or self._compiled_mix or type(self)._mix)(self, x, y)

    def _mix(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Run what follows the projection: x is the shortcut, y the mixer's input."""
        x = self.skip1(x) + self.drop_path(self.mixer(y))
        if self.ffn is None:
            return x
        x = self.ffn_dpe(x)
        return self.skip2(x) + self.drop_path(self.ffn(self.norm2(x)))

    def compile(self, **kwargs) -> None:
        """Compile what follows the projection, in place.

        Layers of one width then share the code, whatever they read: with their
        aggregators, each number of sources would take code of its own, three times the
        time to compile a network that is not faster. Copies of the layer, and its pickle,
        are not compiled.

        Args:
            **kwargs: Arguments of `torch.compile`.
        """
        # imported late, because it takes seconds
        from torch._dynamo import config

        # by the name that torch 2.6 has too
        config.cache_size_limit = max(config.cache_size_limit, _KINDS)
        if not kwargs.keys() & {'backend', 'mode', 'options'}:
            # maps stay in the layout that they come in. Inductor's own choice fails in
            # training on a CPU: it orders strides of unknown sizes, as of torch 2.13
            kwargs['options'] = dict(layout_optimization=False)
        # of the class, because a bound method would take this layer along into its copies
        self._compiled_mix = torch.compile(type(self)._mix, **kwargs)

    def __getstate__(self) -> dict:
        """Return the state without compiled code, as torch's own modules do."""
        return {**super().__getstate__(), '_compiled_mix': None}


def _norm_before(part, norm, dim):
    """Build the norm before a mixer or an FFN, none if it has its own."""
    return nn.Identity() if getattr(part, 'owns_norm', False) else build_norm(norm, dim)
