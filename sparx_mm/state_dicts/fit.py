"""A backbone's tensors from a file, or an error that says why not.

A load that takes fewer tensors than file and model should share looks like
success and trains from noise. Here the model is held to its file; differences
that are legal between tasks are reported in one line.
"""

import re
from collections.abc import Iterable, Mapping

import torch

from .families import SWIN, VMAMBA, find_families
from .keymap import OWN_LAYER, KeyMap, starts_neutral
from .match import CoverageError, Report, match, require_finite
from .names import summarize
from .nesting import strip_prefix
from .position_table import POSITION_TABLE
from .rows import compile_name

_LAYER = compile_name(OWN_LAYER)
# of a backbone without stages; the start alone is that of Swin's stages too
_PLAIN_LAYER = re.compile(r'layers\.(\d+)\.((?:norm1|proj|mixer|conv|conv_norm)\..+)')
# of a backbone without stages whose last layer is built
_LAST_NORM = 'norms.last.'
_STAGE = re.compile(r'(stages|downsamples)\.(\d+)\.')
_PART = re.compile(r'stem|\w+\.\d+')
# types of an init_cfg that take parts of a file, by its family
PARTIAL_INITS = {SWIN: 'PretrainedSwin', VMAMBA: 'PretrainedVMamba'}


def fit(
    own: Mapping[str, torch.Tensor],
    file: Mapping[str, torch.Tensor],
    key_map: KeyMap,
    prefix: str = '',
    archs: Mapping[str, dict] = {},
    hint: str = 'did you mean prefix={}?',
    in_parts: bool = False,
) -> Report:
    """Fit the tensors of a file to a backbone, and insist on their coverage.

    A file of the backbone's own family must have all that the two should share.
    ``in_parts``, the file is of another family with layers of the same kind: layer j
    of a stage of the file is layer j of that stage, and a part (a shortcut with what it
    goes around, a stem, a downsampling, a norm) is taken whole or not at all, because
    half of an attention is noise. An aggregator has its own input projection, and
    the rest of its attention is taken.

    Args:
        own (Mapping): The backbone's tensors by name.
        file (Mapping): The state dict of the file, with own or released names.
        key_map (KeyMap): Names of the file's family.
        prefix (str): Start of the backbone's names in the file, ``''`` or
            ending in a dot. Default: ``''``.
        archs (Mapping): Archs by name, to tell whose file it is; see
            ``HierarchicalBackbone.arch_zoo``. Default: none.
        hint (str): What to do if the file has such a backbone under another
            prefix; ``{}`` stands for it, quoted, and is None for none.
            Default: ``'did you mean prefix={}?'``.
        in_parts (bool): Take only the parts that fit as they are. Default: False.

    Returns:
        Report: The tensors to load and the differences.

    Raises:
        CoverageError: If the backbone would get fewer tensors than it should, or
            one that is not finite. A tensor of another shape counts as missing;
            a table of position biases is resized.
    """
    found = find_families(file)
    given = key_map.to_own(key_map.drop_derived(strip_prefix(file, prefix)))
    if in_parts:
        is_there = found.get(prefix) is key_map
    else:
        is_there = any(name in own and _is_mixing(name) for name in given)
    if not is_there:
        raise CoverageError(_absent_message(own, file, key_map, prefix, found, hint, in_parts))
    report = match(own, given)
    if in_parts:
        report = _keep_parts(report, given, key_map)
    elif key_map.required_names(own.keys() - report.weights.keys(), given) or any(
        _unexpected_names(report, key_map)
    ):
        other = found.get(prefix)
        if other not in (None, key_map):
            raise CoverageError(_family_message(own, key_map, other, prefix, in_parts))
        raise CoverageError(_misfit_message(report, given, key_map, archs))
    require_finite(report)
    return report


def _keep_parts(report, given, key_map):
    """Leave out the tensors of parts that do not fit as a whole."""
    differing = {_part(name) for name in report.reshaped}
    # a part with tensors that the other does not have is another kind of part,
    # but an aggregator may have the place of a projection
    differing |= {
        _part(name)
        for name in given.keys() ^ report.own.keys()
        if not (_is_proj(name) or starts_neutral(name))
    }
    weights = {k: v for k, v in report.weights.items() if _part(k) not in differing}
    if not weights:
        raise CoverageError(
            f'nothing of this {key_map.family} fits: it has layers and channels '
            f'{_layout_text(given)} by stage, the model {_layout_text(report.own)}; give the '
            'file of another, or start without one'
        )
    return report._replace(
        weights=weights,
        resized=[name for name in report.resized if name in weights],
        adapted=[name for name in report.adapted if name in weights],
        left_out=[name for name in report.weights if name not in weights],
        in_parts=True,
    )


def _in_layer(name):
    """Return a tensor's stage, layer and name in it, None outside of layers."""
    layer = _LAYER.fullmatch(name)
    if layer:
        return layer.groups()
    layer = _PLAIN_LAYER.fullmatch(name)
    return layer and ('0', *layer.groups())


def _part(name):
    """Return the part that a tensor is in: half a layer, or a module outside of them."""
    layer = _in_layer(name)
    if layer:
        # a layer's two shortcuts go around its mixer and its FFN
        stage, index, rest = layer
        return stage, index, rest.startswith(('norm2.', 'ffn.'))
    part = _PART.match(name)
    return part[0] if part else name


def _is_proj(name):
    layer = _in_layer(name)
    return layer and layer[2].startswith('proj.')


def _is_mixing(name):
    # a mixer may have no parameters; the norm before it has
    layer = _in_layer(name)
    return layer and layer[2].startswith(('norm1.', 'mixer.'))


def _unexpected_names(report, key_map) -> Iterable[str]:
    """Yield names of a backbone's tensors that this one should have had."""
    built = _layout(report.own)
    released = key_map.released_names(report.unused)
    for name in report.unused:
        stage, layer = _STAGE.match(name), _PLAIN_LAYER.match(name)
        # other names are those of a head
        if name not in released and not stage and not name.startswith('stem.'):
            continue
        # stages and layers after the last of out_indices are not built
        beyond = (stage and int(stage[2]) >= len(built) - (stage[1] != 'stages')) or (
            layer and int(layer[1]) >= built[0][0] and not _has_last_layer(report.own)
        )
        if key_map.is_part(name) and not beyond:
            yield name


def _absent_message(own, file, key_map, prefix, found, hint, in_parts):
    # own names of no particular family may be those of the model
    alike = (key_map,) if in_parts else (key_map, None)
    prefixes = [p for p, family in found.items() if family in alike and p != prefix]
    others = [p for p, family in found.items() if family not in alike]
    if others and not prefixes:
        where = prefix if prefix in others else others[0]
        return _family_message(own, key_map, found[where], where, in_parts)
    what = key_map.family if in_parts else f'{key_map.family} backbone'
    return _missing_message(file, what, prefix, prefixes, hint)


def _missing_message(file, what, prefix, prefixes, hint):
    """Say that a file has no backbone under a prefix, and where it has one."""
    under = f"under prefix '{prefix}'" if prefix else 'without a prefix'
    if prefixes:
        others = ' or '.join(repr(other or None) for other in prefixes)
        return f'it has no {what} {under}; {hint.format(others)}'
    return (
        f'it holds no {what}; its tensors are {summarize(file)}' if file else 'it holds no tensors'
    )


def _family_message(own, key_map, other, prefix, in_parts):
    """Say that a file is of another family, and what loads it."""
    file = f'this is a {other.family} file' if other else 'this is a file with own names'
    start = f'checkpoint=FILE, prefix={prefix or None!r})'
    if in_parts:
        return (
            f"{file}, and type='{PARTIAL_INITS[key_map]}' reads a {key_map.family}: init_cfg=dict("
            f"type='Pretrained', {start} loads all of a file of the model's family"
        )
    text = f'{file}, the model is {key_map.family}'
    if other is SWIN and any(name.endswith(POSITION_TABLE) for name in own):
        return f"{text}: init_cfg=dict(type='PretrainedSwin', {start} takes what matches"
    return f'{text}: give a file of {key_map.family}'


def _misfit_message(report, given, key_map, archs):
    """Say what a file of the right family lacks, or whose it is."""
    theirs, ours = _layout(given), _layout(report.own)
    if not _has_layers(theirs, ours, report.own):
        names = [_arch_name(layout, archs) for layout in (theirs, ours)]
        if all(names) and names[0] != names[1] and len(theirs) >= len(ours):
            return "this is a '{}' file, the model is '{}'".format(*names)
        return (
            f'the file has layers and channels {_layout_text(given)}{" by stage" * (len(ours) > 1)}'
            f', the model {_layout_text(report.own)}'
        )
    parts = []
    absent = key_map.required_names(report.missing, given)
    if absent:
        parts.append(f'it lacks {summarize(absent)}')
    if report.reshaped:
        name, shapes = next(iter(report.reshaped.items()))
        more = len(report.reshaped) - 1
        parts.append(f'it has {name} {shapes}' + (f' and {more} more' if more else ''))
    unexpected = list(_unexpected_names(report, key_map))
    if unexpected:
        parts.append(f'the model has no place for {summarize(unexpected)}')
    return (
        f'only {len(report.weights)} of {len(report.own)} tensors of the backbone fit: '
        f'{"; ".join(parts)}; give the file of this arch'
    )


def _has_layers(theirs, ours, own):
    """Return True if a file has the layers that are built of the model, or more behind them."""
    if any(map(_PLAIN_LAYER.match, own)) and not _has_last_layer(own):
        return len(theirs) == 1 and theirs[0][0] >= ours[0][0] and theirs[0][1] == ours[0][1]
    return theirs[: len(ours)] == ours


def _has_last_layer(own):
    return any(name.startswith(_LAST_NORM) for name in own)


def _layout(tensors: Mapping[str, torch.Tensor]) -> tuple[tuple[int, int], ...]:
    """Count the layers and channels of each stage, by own names."""
    depths: dict[int, int] = {}
    dims: dict[int, int] = {}
    for name, value in tensors.items():
        layer = _in_layer(name)
        if layer:
            stage, index, rest = int(layer[0]), int(layer[1]), layer[2]
            depths[stage] = max(depths.get(stage, 0), index + 1)
            if rest in ('norm1.weight', 'norm2.weight') and hasattr(value, 'shape'):
                dims[stage] = value.shape[0] if value.dim() else 0
    return tuple((depths[i], dims.get(i, 0)) for i in sorted(depths))


def _layout_text(tensors):
    """Describe layers and channels by stage, as in ``'2x96 2x192'``."""
    return ' '.join(f'{depth}x{dim}' for depth, dim in _layout(tensors))


def _arch_name(layout, archs):
    for name, arch in archs.items():
        if 'num_layers' in arch:
            whole = ((arch['num_layers'], arch['embed_dims']),)
        else:
            whole = tuple(zip(arch.get('depths', ()), arch.get('embed_dims', ())))
        if whole[: len(layout)] == layout:
            return name
    return None
