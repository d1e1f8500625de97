"""Norms and the scaled shortcut, for (B, C, H, W) maps."""

import torch
from mmengine.registry import MODELS
from torch import nn


class GroupNorm(nn.GroupNorm):
    """GroupNorm that trains on maps without gradients, as frozen parts give.

    torch 2.13 ends the process on a CPU, without a word, where such a map is
    channels-last.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise a (B, C, H, W) map; the shape stays."""
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
        # (B, C, H, W) -> (B, H, W, C) -> (B, C, H, W)
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelAffine(nn.Module):
    """Per-channel scale (init 1) and bias (init 0), put on a shortcut.

    Args:
        dim (int): Number of channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        # a depthwise 1x1 kernel's shape, as in the released files
        self.weight = nn.Parameter(torch.ones(dim, 1, 1, 1))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale and shift a (B, C, H, W) map; the shape stays."""
        return torch.addcmul(self.bias.view(-1, 1, 1), x, self.weight.view(-1, 1, 1))


_NORMS = {
    'BN': nn.BatchNorm2d,
    'BN2d': nn.BatchNorm2d,
    'GN': GroupNorm,
    'LN2d': LayerNorm2d,
    'SyncBN': nn.SyncBatchNorm,
}


def build_norm(norm_cfg: dict, num_features: int) -> nn.Module:
    """Build a norm from an mm-style config, without mmcv for the BNs.

    Args:
        norm_cfg (dict): ``type`` (``'BN'``, ``'SyncBN'``, ``'GN'``,
            ``'LN2d'`` for layer norm over channels, or any norm registered in
            mmengine's ``MODELS``), its own arguments, and
            ``requires_grad`` (default True).
        num_features (int): Number of channels C.

    Returns:
        nn.Module: The norm of a (B, C, H, W) map.

    Raises:
        ValueError: If ``norm_cfg`` has no ``type`` or an unknown one.
    """
    cfg = dict(norm_cfg)
    if 'type' not in cfg:
        raise ValueError(f"norm_cfg needs a 'type', got {norm_cfg}")
    name = cfg.pop('type')
    requires_grad = cfg.pop('requires_grad', True)
    norm_type = _NORMS.get(name) or MODELS.get(name)
    if norm_type is None:
        raise ValueError(
            f'norm_cfg type {name!r} is unknown; use one of '
            f'{sorted(_NORMS)} or a norm registered in MODELS'
        )
    if issubclass(norm_type, nn.GroupNorm):
        norm = norm_type(num_channels=num_features, **cfg)
    else:
        norm = norm_type(num_features, **cfg)
    for param in norm.parameters():
        param.requires_grad = requires_grad
    return norm
