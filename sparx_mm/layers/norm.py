"""Norms of (B, C, H, W) maps."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from sparx_mm.kernels import group_norm, is_traced, layer_norm, uses_triton

from ..errors import ConfigError
from ..registry import BUILD_ERRORS, find_part


# _BatchNorm again, because rules of an init_cfg ask for the names of a module's own bases alone
class BatchNorm2d(nn.BatchNorm2d, _BatchNorm):
    """BatchNorm2d whose gradients are right for one image on a CPU too.

    torch 2.13 reads a gradient in the order of tokens, which a permuted (1, L, C)
    has, as if it were contiguous when the input is. It reads a contiguous gradient as
    one in the order of tokens when the input has the strides of such tokens.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a (B, C, H, W) map; the shape stays."""
        if x.device.type != 'cpu' or is_traced() or x.shape[0] != 1 or not torch.is_grad_enabled():
            return super().forward(x)
        if x.is_contiguous(memory_format=torch.channels_last):
            # (1, C, H, W) -> (H, W, C) -> (1, H, W, C) -> (1, C, H, W): the stride of the one
            # image, which is_contiguous leaves out, is that of a whole image
            return super().forward(x[0].permute(1, 2, 0).unsqueeze(0).permute(0, 3, 1, 2))
        y = super().forward(x.contiguous(memory_format=torch.channels_last))
        return y.contiguous()


def _suits_kernels(norm: nn.Module, x: torch.Tensor) -> bool:
    """Return True for a channels-last map on a GPU, which torch's GroupNorm would copy."""
    return (
        uses_triton(x)
        and norm.weight is not None
        and norm.bias is not None
        and x.is_contiguous(memory_format=torch.channels_last)
    )


class GroupNorm(nn.GroupNorm):
    """GroupNorm that takes channels-last maps as they lie.

    On a GPU it runs `sparx_mm.kernels.group_norm`. On a CPU it also trains on such maps
    without gradients, which frozen parts give, and on which torch 2.13 crashes.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a (B, C, H, W) map; the shape stays."""
        if _suits_kernels(self, x):
            weight, bias = self.weight.float(), self.bias.float()
            return group_norm(x, weight, bias, self.num_groups, self.eps)
        if (
            x.device.type != 'cpu'
            or x.requires_grad
            or x.is_contiguous()
            or not torch.is_grad_enabled()
        ):
            return super().forward(x)
        y = super().forward(x.contiguous())
        return y.contiguous(memory_format=torch.channels_last)


class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each position.

    The result is channels-last whatever the input is, as it is computed.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a (B, C, H, W) map; the shape stays."""
        if _suits_kernels(self, x):
            return layer_norm(x, self.weight.float(), self.bias.float(), self.eps)
        # (B, C, H, W) -> (B, H, W, C) -> (B, C, H, W)
        x = x.permute(0, 2, 3, 1)
        if x.dtype == torch.float32 and self.weight is not None and self.weight.itemsize == 2:
            # torch refuses a map that is wider than the weights, as a 16-bit network's sums are
            bias = None if self.bias is None else self.bias.float()
            x = nn.functional.layer_norm(
                x, self.normalized_shape, self.weight.float(), bias, self.eps
            )
        else:
            x = super().forward(x)
        return x.permute(0, 3, 1, 2)


class RMSNorm2d(nn.RMSNorm):
    """RMSNorm over the channels of each position; their mean is not subtracted.

    It is computed in float32 at least. The result is channels-last whatever the input is,
    as it is computed.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a (B, C, H, W) map; the shape stays."""
        # (B, C, H, W) -> (B, H, W, C) -> (B, C, H, W)
        tokens = x.permute(0, 2, 3, 1)
        tokens = tokens.to(torch.promote_types(x.dtype, torch.float32))
        eps = torch.finfo(x.dtype).eps if self.eps is None else self.eps
        tokens = tokens * (tokens.square().mean(3, keepdim=True) + eps).rsqrt()
        if self.weight is not None:
            tokens = tokens * self.weight
        return tokens.to(x.dtype).permute(0, 3, 1, 2)


_NORMS = {
    'BN': BatchNorm2d,
    'BN2d': BatchNorm2d,
    'GN': GroupNorm,
    'LN2d': LayerNorm2d,
    'RMS2d': RMSNorm2d,
    'SyncBN': nn.SyncBatchNorm,
}
# torch's for tensors of other shapes, which mmcv registers
_OTHER_SHAPES = (
    nn.BatchNorm1d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm3d,
    nn.LayerNorm,
    nn.RMSNorm,
)


def find_norm(kind: str | type) -> Callable | None:
    """Find the class of a norm, see `build_norm`; None if there is none."""
    return (_NORMS.get(kind) if isinstance(kind, str) else None) or find_part(kind)


def build_norm(norm_cfg: dict, num_features: int) -> nn.Module:
    """Build a norm from an mm-style config, without mmcv for the BNs.

    Args:
        norm_cfg (dict): ``type`` (``'BN'``, ``'SyncBN'``, ``'GN'``,
            ``'LN2d'`` for layer norm over channels, any norm registered in
            ``MODELS``, or a class), its own arguments, and
            ``requires_grad`` (default True).
        num_features (int): Number of channels C.

    Returns:
        nn.Module: The norm of a (B, C, H, W) map.

    Raises:
        ConfigError: If ``norm_cfg`` has no ``type``, an unknown one or one of a norm that
            takes no maps, or if its arguments are wrong.
    """
    if not isinstance(norm_cfg, dict) or 'type' not in norm_cfg:
        raise ConfigError(f"norm_cfg must be a dict with a 'type', got {norm_cfg}")
    cfg = dict(norm_cfg)
    name = cfg.pop('type')
    requires_grad = cfg.pop('requires_grad', True)
    norm_type = find_norm(name)
    if norm_type is None or norm_type in _OTHER_SHAPES:
        fault = 'is unknown' if norm_type is None else 'takes no (B, C, H, W) maps'
        raise ConfigError(
            f'norm_cfg type {name!r} {fault}; use one of '
            f'{sorted(_NORMS)} or a norm registered in MODELS'
        )
    try:
        if issubclass(norm_type, nn.GroupNorm):
            norm = norm_type(num_channels=num_features, **cfg)
        else:
            norm = norm_type(num_features, **cfg)
    except BUILD_ERRORS as e:
        raise ConfigError(
            f'norm_cfg {norm_cfg} cannot be built for {num_features} channels: {e}'
        ) from e
    for param in norm.parameters():
        param.requires_grad = requires_grad
    return norm
