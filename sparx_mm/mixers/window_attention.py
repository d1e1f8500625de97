"""Attention in shifted windows as a token mixer."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from sparx_mm.kernels import is_traced

from ..errors import ConfigError
from ..layers import PointwiseConv
from ..layers.heads import check_heads
from ..registry import MODELS
from ..state_dicts import resize_tables


@MODELS.register_module()
class ShiftedWindowAttention(nn.Module):
    """Shifted-window attention of Swin (https://arxiv.org/abs/2103.14030).

    Tokens of a window attend to each other, with a learned bias for each
    offset between two of them. Shifted windows begin half their side further,
    in a cycle: tokens from opposite sides of the map that share a window do not
    see each other. Along an axis where the map fits in one window there is no
    shift.

    A map is padded to whole windows after its projection, and no token
    attends to the padding. Swin pads before its projection, so that tokens see
    the projection's bias there. Where a map fits in one window, Swin's
    original code shifts along neither axis, and mmdet's along both. On all
    other maps the three agree.

    Args:
        dim (int): Number of output channels C.
        num_heads (int): Number of heads, a divisor of ``dim``.
        window_size (int): Side of a window. A loaded
            ``relative_position_bias_table`` of another size is resized.
            Default: 7.
        shifted (bool): Shift the windows, as every other layer does.
            Default: False.

    Attributes:
        in_channels (int): Number of channels 3C that ``forward`` takes.

    Raises:
        ConfigError: If ``dim`` is not a multiple of ``num_heads``, or if
            ``window_size`` is below 1.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: int = 7,
        shifted: bool = False,
    ) -> None:
        super().__init__()
        check_heads(dim, num_heads)
        if not isinstance(window_size, int) or window_size < 1:
            raise ConfigError(
                f'window_size must be an int from 1, the side of a window, got {window_size!r}'
            )
        self.in_channels = 3 * dim
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift = window_size // 2 if shifted else 0
        self.relative_position_bias_table = nn.Parameter(
            torch.empty((2 * window_size - 1) ** 2, self.num_heads)
        )
        self.out_proj = PointwiseConv(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix tokens.

        Args:
            x (Tensor): Queries, keys and values, (B, 3C, H, W): in this
                order along the channels, each with its heads one after the
                other, as in Swin's ``qkv``.

        Returns:
            Tensor: Map of shape (B, C, H, W), in the memory format of ``x``.
        """
        size, window = x.shape[2:], self.window_size
        shifts = [self._shift(side) for side in size]
        # rounded up; sides are multiples of these by their very form, which a compiler of
        # symbolic sizes would otherwise have to prove at every step
        grid = [(side + window - 1) // window for side in size]
        padded = [count * window for count in grid]
        padding = [whole - side for whole, side in zip(padded, size)]
        # (B, 3C, H, W) -> (B, H', W', 3C), of whole windows
        tokens = x.permute(0, 2, 3, 1)
        tokens = F.pad(tokens, (0, 0, 0, padding[1], 0, padding[0]))
        tokens = _roll(tokens, shifts, (1, 2), padded)
        # -> (B, rows, w, columns, w, 3, heads, d)
        tokens = (
            tokens.unflatten(3, (3, self.num_heads, -1))
            .unflatten(2, (grid[1], window))
            .unflatten(1, (grid[0], window))
        )
        # -> (3, B, rows, columns, heads, w, w, d). Windows and heads become one
        # axis, because the biases below are then the same for every image
        tokens = tokens.permute(5, 0, 1, 3, 6, 2, 4, 7)
        q, k, v = tokens.flatten(5, 6).flatten(2, 4).unbind()
        bias = self._bias(size, shifts)
        out = F.scaled_dot_product_attention(q, k, v, bias)
        # (B, rows*columns*heads, w*w, d) -> (B, rows, w, columns, w, heads, d)
        out = (
            out.unflatten(2, (window, window))
            .unflatten(1, (*grid, self.num_heads))
            .permute(0, 1, 4, 2, 5, 3, 6)
        )
        # -> (B, H', W', C)
        out = out.flatten(5, 6).flatten(3, 4).flatten(1, 2)
        out = _roll_back(out, shifts, padded, size)
        if torch.compiler.is_compiling():
            # a copy that the compiler leaves out; otherwise maps with and without padding
            # would each need code of their own
            out = out.clone(memory_format=torch.contiguous_format)
        # -> (B, C, H, W), channels-last, in eager mode with gaps where the padding was
        out = out.permute(0, 3, 1, 2)
        return self.out_proj(out.contiguous() if x.is_contiguous() else out)

    def _shift(self, side):
        """Return the shift along an axis, as a tensor while the network is traced."""
        if not self.shift:
            return 0
        if is_traced():
            # computed, because a traced network is used at other sizes. Long, because the
            # tracer drops a product with 1
            last = torch.arange(side, device=self.relative_position_bias_table.device)[-1:]
            return (last >= self.window_size).long() * self.shift
        return self.shift if side > self.window_size else 0

    def _bias(self, size, shifts):
        """Make what is added to the logits, (rows*columns*heads, w*w, w*w)."""
        # (w*w, w*w, heads) -> (heads, w*w, w*w)
        table = self.relative_position_bias_table
        index = _relative_position_index(self.window_size, table.device)
        bias = table[index].permute(2, 0, 1)
        apart = [
            _apart(side, self.window_size, shift, bias.device) for side, shift in zip(size, shifts)
        ]
        # (rows, 1, 1, w, 1, w, 1) | (1, columns, 1, 1, w, 1, w)
        # -> (rows, columns, 1, w*w, w*w)
        mask = apart[0][:, None, None, :, None, :, None] | apart[1][None, :, None, None, :, None, :]
        mask = mask.flatten(5, 6).flatten(3, 4)
        return bias.masked_fill(mask, -torch.inf).flatten(0, 2)

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs):
        own = {f'{prefix}relative_position_bias_table': self.relative_position_bias_table}
        given = {name: state_dict[name] for name in own if name in state_dict}
        # in place, because torch hands this very dict to the children
        state_dict.update(resize_tables(given, own))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _relative_position_index(window: int, device: torch.device) -> torch.Tensor:
    """Index the row of the bias table for each query and key, (w*w, w*w)."""
    side = 2 * window - 1
    steps = torch.arange(window, device=device)
    # positions of tokens on a map as wide as the table's
    places = (steps[:, None] * side + steps).flatten()
    # because offsets begin at -(w - 1), -(w - 1)
    return places[:, None] - places + (window - 1) * (side + 1)


def _roll(
    x: torch.Tensor,
    shifts: Sequence[int | torch.Tensor],
    axes: Sequence[int],
    sides: Sequence[int],
) -> torch.Tensor:
    """Begin axes, which have ``sides`` positions, at positions ``shifts``, in a cycle."""
    if not isinstance(shifts[0], torch.Tensor):
        return x.roll([-shift for shift in shifts], axes) if any(shifts) else x
    # by index, because a roll takes no computed shift in ONNX
    for shift, axis, side in zip(shifts, axes, sides):
        x = x.index_select(axis, (torch.arange(side, device=x.device) + shift) % side)
    return x


def _roll_back(
    x: torch.Tensor,
    shifts: Sequence[int | torch.Tensor],
    padded: Sequence[int],
    size: Sequence[int],
) -> torch.Tensor:
    """Undo `_roll` on the axes 1 and 2, of ``padded`` positions, and cut them to ``size``."""
    if not is_traced():
        x = x.roll(shifts, (1, 2)) if any(shifts) else x
        return x[:, : size[0], : size[1]]
    for axis, (shift, whole, side) in enumerate(zip(shifts, padded, size), 1):
        x = x.index_select(axis, (torch.arange(side, device=x.device) - shift) % whole)
    return x


def _apart(size: int, window: int, shift: int | torch.Tensor, device: torch.device) -> torch.Tensor:
    """Find positions of a window that do not see each other along an axis.

    Args:
        size (int): Number of positions of the map; padding follows.
        window (int): Number of positions of a window.
        shift (int or Tensor): Position at which the first whole window begins.
        device (torch.device): Device of the result.

    Returns:
        Tensor: (windows, w, w), boolean.
    """
    count = (size + window - 1) // window
    places = torch.arange(count * window, device=device)
    regions = (places - shift).div(window, rounding_mode='floor')
    # padding sees itself, because a row of the softmax may not be empty
    regions = regions.masked_fill(places >= size, -2)
    # (windows, w)
    regions = _roll(regions, [shift], [0], [count * window]).unflatten(0, (count, window))
    return regions[:, :, None] != regions[:, None, :]
