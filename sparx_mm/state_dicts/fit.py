"""Whether a file covers a backbone: all of it, or an error that says why not.

A load that takes fewer tensors than file and model should share looks like
success and trains from noise. Here the backbone is held to its file; what may
differ between tasks is said in one line.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from ..errors import UserError
from .families.swin import find_swin_prefixes
from .keymap import find_prefixes, rename_released, strip_prefix, to_released
from .names import summarize
from .position_table import find_resized, resize_tables

# what a file of another task may lack or have more: the output norms (none in
# an ImageNet file, others for other out_indices), the attention's scale (in
# detectors only), and torch's counter of batches
_OPTIONAL = re.compile(r'norms\..*|.*\.proj\.scale|.*\.num_batches_tracked')
_TABLE = re.compile(r'stages\..*\.mixer\.relative_position_bias_table')
_STAGE = re.compile(r'(stages|downsamples)\.(\d+)\.')
_LAYER = re.compile(r'stages\.(\d+)\.layers\.(\d+)\.')


class CoverageError(UserError):
    """A file lacks weights that the model should have got from it."""


class Fit(NamedTuple):
    """What a backbone takes from a file.

    Args:
        weights (dict[str, Tensor]): Tensors by the backbone's own names.
        missing (list[str]): Own names that are legally not in the file.
        unused (list[str]): Names, as in the file without the prefix, that
            legally have no place in the backbone.
        resized (list[str]): Own names of what was made for another window.
    """

    weights: dict[str, torch.Tensor]
    missing: list[str]
    unused: list[str]
    resized: list[str]

    def __str__(self) -> str:
        """One line."""
        text = f'{len(self.weights)} tensors'
        if self.resized:
            text += f'; resized: {summarize(self.resized)}'
        if self.missing:
            text += f'; not loaded: {summarize(self.missing)}'
        if self.unused:
            text += f'; not used: {summarize(self.unused)}'
        return text


def fit_backbone(
    backbone: Mapping[str, torch.Tensor],
    file: Mapping[str, torch.Tensor],
    prefix: str,
    archs: Mapping[str, dict],
    elsewhere: str = 'did you mean prefix={}?',
) -> Fit:
    """Find a backbone's tensors in a file, and insist that they are there.

    Args:
        backbone (Mapping): The backbone's state dict.
        file (Mapping): The state dict of the file, names own or released.
        prefix (str): What the backbone's names begin with in the file,
            ``''`` or ending in a dot.
        archs (Mapping): Variants by name, to tell whose file it is; see
            ``HierarchicalBackbone.arch_zoo``.
        elsewhere (str): What to do if the file has a backbone under another
            prefix; ``{}`` stands for it, quoted, and is None for none.

    Returns:
        Fit: What fits.

    Raises:
        CoverageError: If the backbone would get fewer tensors than file and
            model should share, or one that is not finite. A tensor of
            another shape is one that is not there; a table of position
            biases is resized.
    """
    found = find_prefixes(file)
    if prefix not in found:
        swins = find_swin_prefixes(file)
        if not found and swins and any(map(_TABLE.fullmatch, backbone)):
            raise CoverageError(
                "it is a plain Swin: init_cfg=dict(type='PretrainedSwin', "
                f'checkpoint=FILE, prefix={swins[0] or None!r}) takes what '
                'matches'
            )
        raise CoverageError(not_there(file, prefix, found, elsewhere))
    given = rename_released(strip_prefix(file, prefix))
    own = resize_tables(given, backbone)
    weights = {
        name: own[name]
        for name, value in backbone.items()
        if name in own and fits(own[name], value)
    }
    missing = [name for name in backbone if name not in weights]
    unused = [name for name in own if name not in backbone]
    if any(map(_demanded, missing)) or any(_misplaced(unused, backbone)):
        raise CoverageError(_misfit(backbone, own, missing, unused, archs))
    demand_sound(weights, backbone)
    return Fit(
        weights,
        *([n for n in names if 'num_batches' not in n] for names in (missing, unused)),
        resized=find_resized(given, own),
    )


def fits(value: Any, own: torch.Tensor) -> bool:
    """Whether what a file has can stand in the place of a model's tensor."""
    return (
        isinstance(value, torch.Tensor)
        and value.shape == own.shape
        and value.is_floating_point() == own.is_floating_point()
    )


def is_sound(value: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether it is finite, or the model's own tensor is not either.

    Args:
        value (Tensor): A tensor of a file; it fits.
        own (Tensor): The model's; in its dtype the value will be.
    """
    return bool(value.to(own.dtype).isfinite().all() or not own.isfinite().all())


def demand_sound(weights: Mapping[str, torch.Tensor], backbone: Mapping[str, torch.Tensor]) -> None:
    """Insist that weights are finite; see `is_sound`.

    Args:
        weights (Mapping): Tensors of a file by the backbone's own names.
        backbone (Mapping): The backbone's.

    Raises:
        CoverageError: If one has NaN or infinity.
    """
    broken = [name for name, value in weights.items() if not is_sound(value, backbone[name])]
    if broken:
        raise CoverageError(
            f'it has NaN or infinity in {summarize(broken)}: the training '
            'that wrote it had diverged, or the file is damaged; take another'
        )


def _demanded(name):
    return not _OPTIONAL.fullmatch(name)


def _misplaced(unused, backbone) -> Iterable[str]:
    """Names of a SparX backbone that this one should have had."""
    built = len(layout(backbone))
    for name in unused:
        stage = _STAGE.match(name)
        # stages after the last of out_indices are not built
        beyond = stage and int(stage[2]) >= built - (stage[1] != 'stages')
        if to_released(name) and _demanded(name) and not beyond:
            yield name


def not_there(
    file: Mapping[str, Any],
    prefix: str,
    found: list[str],
    elsewhere: str = 'did you mean prefix={}?',
    what: str = 'SparX backbone',
) -> str:
    """Say that a file has no backbone under a prefix, and where it has one.

    Args:
        file (Mapping): The state dict of the file.
        prefix (str): Where it was looked for.
        found (list[str]): The prefixes it is under.
        elsewhere (str): What to do if there are some, see `fit_backbone`.
        what (str): What was looked for. Default: ``'SparX backbone'``.
    """
    under = f"under prefix '{prefix}'" if prefix else 'without a prefix'
    if found:
        others = ' or '.join(repr(other or None) for other in found)
        return f'it has no {what} {under}; {elsewhere.format(others)}'
    return (
        f'it holds no {what}; its tensors are {summarize(file)}' if file else 'it holds no tensors'
    )


def _misfit(backbone, own, missing, unused, archs):
    whose, ours = layout(own), layout(backbone)
    stages = len(ours)
    if whose[:stages] != ours:
        names = [_arch_name(one, archs) for one in (whose, ours)]
        if all(names):
            return "this is a '{}' file, the model is '{}'".format(*names)
        return (
            f'the file has layers and channels {layout_text(whose)} by '
            f'stage, the model {layout_text(ours)}'
        )
    parts = []
    reshaped = [
        f'{name} {form_of(own[name])} instead of {form_of(backbone[name])}'
        for name in missing
        if name in own
    ]
    absent = [n for n in missing if n not in own and _demanded(n)]
    wrong = list(_misplaced(unused, backbone))
    if absent:
        parts.append(f'it lacks {summarize(absent)}')
    if reshaped:
        more = f' and {len(reshaped) - 1} more' if len(reshaped) > 1 else ''
        parts.append(f'it has {reshaped[0]}{more}')
    if wrong:
        parts.append(f'the model has no place for {summarize(wrong)}')
    fitting = len(backbone) - len(missing)
    return (
        f'only {fitting} of {len(backbone)} tensors of the backbone fit: '
        f'{"; ".join(parts)}; give the file of this arch'
    )


def form_of(value: Any) -> str:
    """Shape of a tensor, with its dtype where that is not floating."""
    if not isinstance(value, torch.Tensor):
        return type(value).__name__
    kind = '' if value.is_floating_point() else f' of {value.dtype}'
    return f'{tuple(value.shape)}{kind}'


def layout(names: Mapping[str, torch.Tensor]) -> tuple[tuple[int, int], ...]:
    """Number of layers and of channels of each stage, by own names."""
    depths: dict[int, int] = {}
    dims: dict[int, int] = {}
    for name, value in names.items():
        layer = _LAYER.match(name)
        if layer:
            stage = int(layer[1])
            depths[stage] = max(depths.get(stage, 0), int(layer[2]) + 1)
            if name.endswith('.norm1.weight') and hasattr(value, 'shape'):
                dims[stage] = value.shape[0] if value.dim() else 0
    return tuple((depths[i], dims.get(i, 0)) for i in sorted(depths))


def _arch_name(stages, archs):
    for name, arch in archs.items():
        whole = tuple(zip(arch['depths'], arch['embed_dims']))
        if whole[: len(stages)] == stages:
            return name
    return None


def layout_text(stages: Iterable[tuple[int, int]]) -> str:
    """Layers and channels of stages, as in ``'2x96 2x192'``."""
    return ' '.join(f'{depth}x{dim}' for depth, dim in stages)
