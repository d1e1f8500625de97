"""Checkpoints from one layout or format to another, bit by bit the same."""

import os
import os.path as osp
import tempfile

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ..errors import UserError
from ..state_dicts import (
    find_prefixes,
    flatten_classifier,
    nest_classifier,
    rename_released,
    rename_to_released,
    summarize,
)
from .reader import read_checkpoint

# what becomes of a classifier as a whole, and of each backbone
LAYOUTS = dict(
    own=(dict, rename_released),
    mmpretrain=(nest_classifier, rename_released),
    released=(flatten_classifier, rename_to_released),
)
# what mmengine's EMAHook keeps besides
_STATE_DICTS = ('state_dict', 'ema_state_dict')


def convert_checkpoint(source: str, target: str, to: str = 'own') -> str:
    """Rename a backbone's weights and write them to another file.

    The tensors and all that is not the backbone's stay as they are: heads,
    the optimizer, what was logged. The exception is an ImageNet classifier,
    whose released layout is flat: its head is renamed with it, see
    `nest_classifier`. A safetensors file holds the weights alone. Config
    text, which a reader might evaluate, is left out.

    Args:
        source (str): A checkpoint of torch or safetensors, with own or
            released names, under any prefix.
        target (str): The file to write, ``.pth`` or ``.safetensors``; it must
            not be there yet.
        to (str): ``'own'`` or ``'released'``, the names to write, or
            ``'mmpretrain'``: own names, and a flat classifier as one of
            mmpretrain. Default: ``'own'``.

    Returns:
        str: One line that says what was written.

    Raises:
        UserError: If the source cannot be read or holds no SparX backbone, or
            if the target cannot be written.
    """
    if to not in LAYOUTS:
        raise UserError(f'to must be one of {sorted(LAYOUTS)}, got {to!r}')
    kind = osp.splitext(target)[1]
    if kind not in ('.pth', '.pt', '.safetensors'):
        raise UserError(f'{target}: the name must end in .pth, .pt or .safetensors')
    if osp.lexists(target):
        raise UserError(f'{osp.abspath(target)} is there already: give another name, or remove it')
    checkpoint = read_checkpoint(source, 'cpu')
    prefixes = find_prefixes(checkpoint['state_dict'])
    if not prefixes:
        raise UserError(
            f'{source} holds no SparX backbone; its tensors are '
            f'{summarize(checkpoint["state_dict"])}'
        )
    rename_whole, rename_backbone = LAYOUTS[to]
    checkpoint['state_dict'] = rename_whole(checkpoint['state_dict'])
    prefixes = find_prefixes(checkpoint['state_dict'])
    for key in _STATE_DICTS:
        for prefix in find_prefixes(checkpoint.get(key) or ()):
            checkpoint[key] = rename_backbone(checkpoint[key], prefix)
    weights = checkpoint.pop('state_dict')
    left_out = ''
    if kind == '.safetensors':
        if checkpoint:
            left_out = f'; left out: {", ".join(sorted(checkpoint))}'
    elif checkpoint:
        weights = {**checkpoint, 'state_dict': weights}
    _write(weights, target, kind)
    where = ', '.join(repr(prefix) for prefix in prefixes)
    return f'{target}: {to} names of the backbone under {where}{left_out}'


def _tensors(weights) -> dict[str, torch.Tensor]:
    # the format knows no views, and no tensor under two names
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in weights.items()
        if isinstance(value, torch.Tensor)
    }


def _write(content, target, kind):
    partial = None
    try:
        # beside the target, so that it can be renamed
        handle, partial = tempfile.mkstemp(suffix='.partial', dir=osp.dirname(osp.abspath(target)))
        os.close(handle)
        if kind == '.safetensors':
            save_file(_tensors(content), partial, metadata=dict(format='pt'))
        else:
            torch.save(content, partial)
        # as a file that is simply opened has it
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(partial, 0o666 & ~mask)
        os.replace(partial, target)
    except (KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise UserError(f'{osp.abspath(target)} cannot be written ({error})') from error
    finally:
        if partial is not None and osp.exists(partial):
            os.remove(partial)
