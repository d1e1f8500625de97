"""PlainMamba with ViT-Adapter beside it: four maps for detectors."""

from collections.abc import Sequence
from functools import partial

from ..adapters import ViTAdapter
from ..errors import ConfigError
from ..layers.stem import pad_to_multiple
from ..registry import register_for_all
from .feature_info import FeatureInfo, resolve_out_indices
from .plainmamba import PlainMamba

_NUM_GROUPS = 4
_STRIDES = (4, 8, 16, 32)


@register_for_all
class PlainMambaAdapter(PlainMamba):
    """PlainMamba whose layers exchange tokens with an adapter, as its detectors do.

    The layers are cut into four equal groups; see `ViTAdapter`. Maps of strides 4, 8, 16
    and 32, of equal channels, are the adapter's. Images are padded with zeros at the
    bottom and right to multiples of 32, and maps cut to ceil(H / stride) rows.

    Args:
        arch (str or dict): See `PlainMamba`; a number of layers that is a multiple of 4.
            Default: ``'l1'``.
        out_indices (int or Sequence[int], optional): Maps that are returned, 0 to 3 of
            strides 4 to 32, -1 the last one. None: all four. Default: (0, 1, 2, 3).
        num_heads (int, optional): Heads of the adapter's attention. None: 6 if that
            divides the channels, 8 otherwise, as released. Default: None.
        drop_path_rate (float): As of `PlainMamba`, and the rate of all of the adapter's
            FFNs. Default: 0.
        norm_cfg (dict, optional): Config of all batch norms. Default: None, plain ones.
        frozen_stages (int): As of `PlainMamba`; the adapter is always trained.
            Default: -1.
        norm_eval (bool): Keep all batch norms in eval mode. Default: False.
        with_cp (bool): Checkpoint the activations of each layer, and of each exchange.
            Default: False.
        init_cfg (dict or list[dict], optional): As of `PlainMamba`; a file without an
            adapter starts the layers. Default: None.
        in_channels (int, optional): See `PlainMamba`. Default: None.

    Raises:
        ConfigError: If an argument is not one of those above.

    Example:
        >>> import torch
        >>> from sparx_mm import PlainMambaAdapter
        >>> maps = PlainMambaAdapter('l1').eval()(torch.rand(1, 3, 64, 90))
        >>> [tuple(m.shape[1:]) for m in maps]
        [(192, 16, 23), (192, 8, 12), (192, 4, 6), (192, 2, 3)]
    """

    def __init__(
        self,
        arch: str | dict = 'l1',
        out_indices: int | Sequence[int] | None = (0, 1, 2, 3),
        num_heads: int | None = None,
        drop_path_rate: float = 0.0,
        norm_cfg: dict | None = None,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: dict | list[dict] | None = None,
        in_channels: int | None = None,
    ) -> None:
        super().__init__(
            _without_norm(arch),
            out_indices=-1,
            drop_path_rate=drop_path_rate,
            norm_cfg=norm_cfg,
            frozen_stages=frozen_stages,
            norm_eval=norm_eval,
            with_cp=with_cp,
            init_cfg=init_cfg,
            in_channels=in_channels,
        )
        dim = self.arch['embed_dims']
        if len(self.layers) % _NUM_GROUPS:
            raise ConfigError(
                f'an adapter needs a number of layers that is a multiple of {_NUM_GROUPS}, '
                f'got {len(self.layers)}'
            )
        if getattr(self.stem, 'reduction', None) != _STRIDES[2]:
            raise ConfigError(
                f'an adapter needs a stem with the attribute reduction = {_STRIDES[2]}, '
                f'which {type(self.stem).__name__} does not have'
            )
        if num_heads is None:
            num_heads = 6 if dim % 6 == 0 else 8
            if dim % num_heads:
                raise ConfigError(
                    f'neither 6 nor 8 heads divide the {dim} channels: give num_heads, a divisor '
                    f'of {dim}'
                )
        self.out_indices = _resolve_maps(out_indices)
        self.adapter = ViTAdapter(
            dim,
            num_heads,
            num_groups=_NUM_GROUPS,
            drop_path_rate=drop_path_rate,
            out_indices=self.out_indices,
            in_channels=getattr(self.stem, 'in_channels', 3),
            norm_cfg=norm_cfg or dict(type='BN'),
            with_cp=with_cp,
        )
        self._keep_eval()
        self.feature_info = FeatureInfo(
            [dim] * len(_STRIDES),
            self.out_indices,
            _STRIDES,
            [f'adapter.norms.{i}' for i in range(len(_STRIDES))],
        )

    @classmethod
    def map_channels(cls, arch='l1', out_indices=(0, 1, 2, 3)):
        """Return channels and numbers of the maps; see `Backbone.map_channels`.

        Args:
            arch (str or dict): The backbone's argument. Default: ``'l1'``.
            out_indices (int or Sequence[int], optional): The backbone's argument.
                Default: (0, 1, 2, 3).
        """
        (dim,), _ = super().map_channels(arch, -1)
        maps = _resolve_maps(out_indices)
        return [dim] * len(maps), maps

    def _extract(self, x):
        height, width = x.shape[2:]
        x = pad_to_multiple(x, _STRIDES[-1])
        size = len(self.layers) // _NUM_GROUPS
        groups = [
            partial(self._run_layers, self.layers[i : i + size])
            for i in range(0, len(self.layers), size)
        ]
        maps = self.adapter(x, self.stem(x), groups)
        strides = [_STRIDES[i] for i in self.out_indices]
        return [
            one[:, :, : (height + stride - 1) // stride, : (width + stride - 1) // stride]
            for one, stride in zip(maps, strides)
        ]

    def _frozen_parts(self):
        return [] if self.frozen_stages < 0 else [self.stem, *self.layers[: self.frozen_stages]]

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Checkpoint the activations of each layer and exchange from now on.

        Args:
            enable (bool): False: keep them. Default: True.
        """
        super().set_grad_checkpointing(enable)
        self.adapter.with_cp = enable


def _resolve_maps(out_indices):
    """Resolve the maps that are returned; None is all of them."""
    if out_indices is None:
        return tuple(range(len(_STRIDES)))
    return resolve_out_indices(out_indices, len(_STRIDES))


def _without_norm(arch):
    """Leave out the norm after the last layer, because the adapter's maps have their own."""
    if isinstance(arch, str):
        return dict(base=arch, out_norm=None)
    if not isinstance(arch, dict):
        # the backbone says what an arch is
        return arch
    if arch.get('out_norm') is not None:
        raise ConfigError(
            f'the maps of an adapter have batch norms, and no out_norm, got {arch["out_norm"]}: '
            'leave it out of the arch, and give norm_cfg for others'
        )
    return dict(arch, out_norm=None)
