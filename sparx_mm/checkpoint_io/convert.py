"""Conversion of checkpoints between layouts and formats, bit by bit."""

import os.path as osp

import torch
from safetensors import SafetensorError
from safetensors.torch import save

from ..errors import UserError
from ..state_dicts import (
    FAMILIES,
    LAST_LAYERS,
    KeyMap,
    find_families,
    flatten_model,
    nest_model,
    strip_prefix,
    summarize,
)
from .publish import add_hash, strip_training
from .schemes import load_checkpoint
from .writer import write_whole

# names of a model as a whole, and of each backbone
LAYOUTS = dict(
    own=(lambda weights, key_map: weights, KeyMap.to_own),
    mmpretrain=(nest_model, KeyMap.to_own),
    mmseg=(nest_model, KeyMap.to_own),
    released=(flatten_model, KeyMap.to_released),
)
# mmengine's EMAHook keeps a second model, in a wrapper
_EMA, _WRAPPER = 'ema_state_dict', 'module.'


def convert_checkpoint(source: str, target: str, to: str = 'own', publish: bool = False) -> str:
    """Rename a backbone's weights and write them to another file.

    Values stay bit by bit; shapes change where those of the released files differ.
    Everything outside of the backbone stays: heads, the optimizer, the log. The
    exceptions are ImageNet classifiers and VM-UNet, whose released layout is flat: their
    heads are renamed with them, see `nest_model`. A safetensors file holds the
    weights alone. Config text, which a reader might evaluate, is left out.

    Args:
        source (str): A checkpoint of torch or safetensors, with own or
            released names, under any prefix; anything that `load_checkpoint` reads.
        target (str): The file to write, ``.pth`` or ``.safetensors``; it must
            not be there yet.
        to (str): ``'own'`` or ``'released'``, the names to write, or
            ``'mmpretrain'`` or ``'mmseg'``: own names, and a flat model as one of that
            library. Default: ``'own'``.
        publish (bool): Leave out the optimizer and all else that only the run needs,
            and put 8 digits of the file's SHA-256 into its name. Default: False.

    Returns:
        str: One line that says what was written.

    Raises:
        UserError: If the source cannot be read or holds no backbone, if ``to`` is the
            other library's, or if the target cannot be written.
    """
    if to not in LAYOUTS:
        raise UserError(f'to must be one of {sorted(LAYOUTS)}, got {to!r}')
    kind = osp.splitext(target)[1]
    if kind not in ('.pth', '.pt', '.safetensors'):
        raise UserError(f'{target}: the name must end in .pth, .pt or .safetensors')
    if osp.lexists(target):
        raise UserError(f'{osp.abspath(target)} is there already: give another name, or remove it')
    checkpoint = load_checkpoint(source, 'cpu')
    left_out = set(checkpoint)
    if publish:
        checkpoint = strip_training(checkpoint)
    weights = checkpoint['state_dict']
    if not _find_key_maps(weights):
        *others, last = [key_map.family for key_map in FAMILIES]
        raise UserError(
            f'{source} holds no {", ".join(others)} or {last} backbone; its tensors are '
            f'{summarize(weights)}'
        )
    checkpoint['state_dict'] = _rename(weights, to)
    if _EMA in checkpoint:
        ema = checkpoint[_EMA]
        averaged = _rename(strip_prefix(ema, _WRAPPER), to)
        checkpoint[_EMA] = {
            **{name: value for name, value in ema.items() if not name.startswith(_WRAPPER)},
            **{_WRAPPER + name: value for name, value in averaged.items()},
        }
    weights = checkpoint.pop('state_dict')
    left_out -= {'state_dict'}
    if kind != '.safetensors':
        left_out -= set(checkpoint)
        if checkpoint:
            weights = {**checkpoint, 'state_dict': weights}
    _write(weights, target, kind)
    if publish:
        target = add_hash(target)
    where = ', '.join(map(repr, _find_key_maps(weights.get('state_dict', weights))))
    rest = f'; left out: {", ".join(sorted(left_out))}' if left_out else ''
    return f'{target}: {to} names of the backbone under {where}{rest}'


def _rename(weights, to):
    """Give all backbones of a model, and the classifier, the names of a layout."""
    rename_whole, rename_backbone = LAYOUTS[to]
    for key_map in set(_find_key_maps(weights).values()):
        renamed = rename_whole(weights, key_map)
        if renamed.keys() != weights.keys():
            _check_library(renamed, to)
        weights = renamed
    for prefix, key_map in _find_key_maps(weights).items():
        weights = rename_backbone(key_map, weights, prefix)
    return weights


def _check_library(weights, to):
    """Raise if a model got the names of another library's heads."""
    for library, last in LAST_LAYERS.items():
        if to in LAST_LAYERS and to != library and any(name.startswith(last) for name in weights):
            raise UserError(
                f'--to {to} does not fit the head, which is of {library}: give --to {library}'
            )


def _find_key_maps(weights) -> dict[str, KeyMap]:
    """Find the map of each backbone by the prefix of its names."""
    found = {}
    for prefix, key_map in find_families(weights).items():
        if key_map is None:
            # own names that several families could have
            names = list(strip_prefix(weights, prefix))
            key_map = max(FAMILIES, key=lambda family: _count_known(family, names, weights))
        if key_map in FAMILIES:
            found[prefix] = key_map
    return found


def _count_known(family, names, weights):
    """Count the names of a backbone that a family has, and of the head beside it."""
    return len(family.released_names(names)) + len(family.head.find_released(list(weights)))


def _tensors(weights) -> dict[str, torch.Tensor]:
    # because the format has no views, and no tensor with two names
    return {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in weights.items()
        if isinstance(value, torch.Tensor)
    }


def _write(content, target, kind):
    try:
        with write_whole(target) as file:
            if kind == '.safetensors':
                file.write(save(_tensors(content), metadata=dict(format='pt')))
            else:
                torch.save(content, file)
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(f'{osp.abspath(target)} cannot be written ({error})') from error
