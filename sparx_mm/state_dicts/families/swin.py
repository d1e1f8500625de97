"""Plain Swin files: the names and shapes that SparX has for the same parts.

Pure functions on names and tensors. Two families of names exist: the original
code's, ``layers.0.blocks.0.attn.qkv``, which timm has too, and OpenMMLab's,
``stages.0.blocks.0.attn.w_msa.qkv``.
"""

import re
from collections.abc import Iterable

import torch

_STEM = re.compile(r'patch_embed\.(?:(norm)|proj(?:ection)?)\.(weight|bias)')
_LAYER = re.compile(r'(?:layers|stages)\.(\d+)\.blocks\.(\d+)\.(.+)')
_DOWNSAMPLE = re.compile(
    r'(?:layers|stages)\.(\d+)\.downsample'
    r'\.((?:norm|reduction)\.(?:weight|bias))'
)
_NORM = re.compile(r'norm(\d*)\.(weight|bias)')
# (plain, own) within a layer, `attn.w_msa.` written as `attn.`
_PARTS = (
    ('norm1.', 'norm1.'),
    ('attn.qkv.', 'proj.'),
    ('attn.relative_position_bias_table', 'mixer.relative_position_bias_table'),
    ('attn.proj.', 'mixer.out_proj.'),
    ('norm2.', 'norm2.'),
    ('mlp.fc1.', 'ffn.fc1.'),
    ('mlp.fc2.', 'ffn.fc2.'),
    ('ffn.layers.0.0.', 'ffn.fc1.'),
    ('ffn.layers.1.', 'ffn.fc2.'),
)
# only the first version of Swin has its position bias in a table
_MARKS = re.compile(
    r'(|.*\.)(?:layers|stages)\.\d+\.blocks\.\d+\.attn\.'
    r'(?:w_msa\.)?relative_position_bias_table'
)
# made anew from the sizes of window and map
_DERIVED = re.compile(r'.*\.(relative_position_index|attn_mask)')


def find_swin_prefixes(names: Iterable[str]) -> list[str]:
    """Find what the names of plain Swin backbones begin with.

    Args:
        names (Iterable[str]): Names of a state dict.

    Returns:
        list[str]: Each prefix, for example ``'backbone.'``, or ``''``; empty
        if there is no Swin.
    """
    matches = map(_MARKS.fullmatch, names)
    return list(dict.fromkeys(match[1] for match in matches if match))


def swin_names(names: Iterable[str]) -> dict[str, str]:
    """Own names of the tensors of a plain Swin.

    Args:
        names (Iterable[str]): All names of a Swin, without a prefix.

    Returns:
        dict[str, str]: The own name of each, in their order. A name that has
        no counterpart (a classifier's head, for example) stands for itself;
        buffers that are made anew are left out.

    Example:
        >>> swin_names(['layers.0.blocks.1.attn.qkv.bias', 'head.bias'])
        ... # doctest: +NORMALIZE_WHITESPACE
        {'layers.0.blocks.1.attn.qkv.bias': 'stages.0.layers.1.proj.bias',
         'head.bias': 'head.bias'}
    """
    names = [name for name in names if not _DERIVED.fullmatch(name)]
    stages = [int(m[1]) for m in map(_LAYER.fullmatch, names) if m]
    merges = [int(m[1]) for m in map(_DOWNSAMPLE.fullmatch, names) if m]
    # it ends a stage, but in newer files of timm, where it starts the next
    first_merge = min(merges, default=0)
    last = max(stages, default=0)
    return {name: _own_name(name, first_merge, last) for name in names}


def _own_name(name, first_merge, last_stage):
    match = _STEM.fullmatch(name)
    if match:
        return f'stem.{match[1] or "proj"}.{match[2]}'
    match = _DOWNSAMPLE.fullmatch(name)
    if match:
        return f'downsamples.{int(match[1]) - first_merge}.{match[2]}'
    match = _NORM.fullmatch(name)
    if match:
        # a classifier has one, after its last stage
        return f'norms.{match[1] or last_stage}.{match[2]}'
    match = _LAYER.fullmatch(name)
    if match:
        stage, layer, part = match.groups()
        part = part.replace('attn.w_msa.', 'attn.', 1)
        for plain, own in _PARTS:
            if part.startswith(plain):
                rest = own + part[len(plain) :]
                return f'stages.{stage}.layers.{layer}.{rest}'
    return name


def to_own_layout(name: str, value: torch.Tensor) -> torch.Tensor:
    """Values of a plain Swin as SparX has them.

    Linear layers become 1x1 convolutions. The original patch merging has the
    four neighbours one after the other, column by column, each with its
    channels; ours, as OpenMMLab's, has the channels one after the other, each
    with its neighbours row by row.

    Args:
        name (str): Its name in the plain file, without a prefix.
        value (Tensor): Of any shape.

    Returns:
        Tensor: The same values.
    """
    merge = _DOWNSAMPLE.fullmatch(name)
    if merge and name.startswith('layers.') and value.shape[-1] % 4 == 0:
        # (..., dx, dy, C) -> (..., C, dy, dx)
        value = value.unflatten(-1, (2, 2, -1)).transpose(-1, -3).flatten(-3)
    if value.dim() == 2 and name.endswith('.weight'):
        # (out, in) -> (out, in, 1, 1)
        value = value[:, :, None, None]
    return value
