"""Token pruning of backbones without stages, a reading of ToP."""

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import nn

from ..errors import ConfigError
from ..layers import ConvolvedLayer, KeptTokens, Layer
from ..layers.kept_tokens import GAPS

# ratios are read as fractions, because ceil(0.7 * 10) of floats is 8
_DENOMINATOR = 10_000


class TokenPruning:
    """Drop the least important tokens after some of the layers.

    After such a layer, ceil(keep * n) of its n tokens stay, in their order. A token's
    importance is the sum over channels of max(0, y), of the output y of its scans. Later
    layers compute only the tokens that stay, and their scans know the places of these on the map.

    This is a reading of Exploring Token Pruning in Vision State Space Models
    (https://arxiv.org/abs/2409.18962), whose code was not released in full: what a scan does
    at the place of a dropped token is ours, and the paper's numbers are not promised.
    docs/token_pruning.md says what is whose.

    Args:
        layers (Sequence[int]): Indices of the layers, from 0, after which tokens are dropped.
        keep (float or Sequence[float]): Part of the tokens that stays, from 0.0001 to 1; one
            for all these layers, or one for each. Default: 0.7.
        gap (str): What a scan does at the position of a dropped token. ``'decay'``: its
            state decays by the step size of the last token that stayed. ``'copy'``: its state
            stays. Default: ``'decay'``.

    Raises:
        ConfigError: If an argument is not one of those above.
    """

    def __init__(
        self, layers: Sequence[int], keep: float | Sequence[float] = 0.7, gap: str = 'decay'
    ) -> None:
        if not isinstance(layers, (list, tuple)) or not all(isinstance(i, int) for i in layers):
            raise ConfigError(f'layers of pruning must be numbers of layers, got {layers!r}')
        ratios = keep if isinstance(keep, (list, tuple)) else [keep] * len(layers)
        if len(ratios) != len(layers) or not all(
            isinstance(r, (int, float)) and 1 / _DENOMINATOR <= r <= 1 for r in ratios
        ):
            raise ConfigError(
                f'keep of pruning must be from {1 / _DENOMINATOR} to 1, one number or one for each of '
                f'{len(layers)} layers, got {keep!r}'
            )
        if gap not in GAPS:
            raise ConfigError(f'gap of pruning must be one of {GAPS}, got {gap!r}')
        self.gap = gap
        # a layer that drops nothing runs as without pruning
        self.ratios = {
            i: Fraction(r).limit_denominator(_DENOMINATOR) for i, r in zip(layers, ratios) if r < 1
        }

    def check(self, layers: Sequence[nn.Module]) -> None:
        """Refuse layers that cannot run on some of their tokens.

        Args:
            layers (Sequence[Module]): The layers of a backbone.

        Raises:
            ConfigError: If one is not there, or cannot.
        """
        last = len(layers) - 2
        for index in self.ratios:
            if not 0 <= index <= last:
                raise ConfigError(
                    f'pruning after layer {index} has no layer to act on: give layers from 0 to '
                    f'{last}'
                )
        for layer in layers[min(self.ratios, default=len(layers)) :]:
            why = None
            if isinstance(layer, ConvolvedLayer):
                why = 'a convolution follows it: prune after a later one'
            elif layer.ffn is not None:
                why = 'it has an FFN'
            elif not hasattr(layer.mixer, 'mix'):
                why = f'its mixer {type(layer.mixer).__name__} scans only whole maps'
            if why:
                raise ConfigError(f'a layer cannot run on some of its tokens, because {why}')

    def drop(
        self,
        index: int,
        x: torch.Tensor,
        scanned: torch.Tensor,
        kept: KeptTokens | None,
        whole: torch.Tensor | None,
        always: int | None = None,
    ) -> tuple[torch.Tensor, KeptTokens, torch.Tensor]:
        """Drop tokens after a layer.

        Args:
            index (int): Index of the layer.
            x (Tensor): Its result, a map (B, C, H, W) or kept tokens (B, C, k, 1).
            scanned (Tensor): Output of its scans, with any number of channels, like ``x``.
            kept (KeptTokens, optional): Places of the tokens; None: ``x`` is a map.
            whole (Tensor, optional): Map of shape (B, C, H, W) with the last value of
                the tokens that were dropped before; None: ``x`` is a map.
            always (int, optional): Position of a token that stays whatever its
                importance is. Default: none.

        Returns:
            tuple[Tensor, KeptTokens, Tensor]: The tokens that stay, of shape (B, C, k', 1),
            their places, and a map with the last value of all.
        """
        if kept is None:
            positions = torch.arange(x.shape[2] * x.shape[3], device=x.device)
            kept = KeptTokens(positions.expand(x.shape[0], -1), x.detach(), self.gap)
            whole = x
        else:
            whole = kept.scatter(x, whole)
        # (B, D, H, W) -> (B, n); which tokens stay has no gradient
        importance = scanned.detach().clamp_min(0).sum(1).flatten(1)
        if always is not None:
            importance = importance.masked_fill(kept.positions == always, float('inf'))
        ratio = self.ratios[index]
        # rounded up, in integers that a tracer can follow
        count = (importance.shape[1] * ratio.numerator + ratio.denominator - 1) // ratio.denominator
        kept = kept.select(importance, count)
        return kept.gather(whole), kept, whole


def mix_kept(
    layer: Layer, x: torch.Tensor, y: torch.Tensor, kept: KeptTokens | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run what follows a layer's projection on some of its tokens, for `Layer.forward`.

    Args:
        layer (Layer): A layer that `TokenPruning.check` accepts.
        x (Tensor): Shortcut of shape (B, C, H, W), or of kept tokens (B, C, k, 1).
        y (Tensor): Input of the mixer, likewise.
        kept (KeptTokens, optional): Places of the tokens. None: all of them are kept.

    Returns:
        tuple[Tensor, Tensor]: The layer's result, like ``x``, and the output of its scans.
    """
    mixed, scanned = layer.mixer.mix(y, kept)
    return layer.skip1(x) + layer.drop_path(mixed), scanned
