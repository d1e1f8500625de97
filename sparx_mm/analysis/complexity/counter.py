"""Multiply-adds and parameters of a model, part by part."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ...backbones import HierarchicalBackbone
from ...errors import UserError
from .shape_run import run_on_shapes
from .table import Complexity, Part, Path

aten = torch.ops.aten


class Convention(NamedTuple):
    """What counts beside convolutions, products with weights and the scan.

    Args:
        text (str): Says so.
        norms (dict): By torch operator: multiply-adds an element.
        aggregator_attention (bool): Whether the products of queries, keys and
            values in aggregators count; those of other attention always do.
    """

    text: str
    norms: dict
    aggregator_attention: bool


_NORMS = {
    aten.native_batch_norm: 2,
    aten._native_batch_norm_legit: 2,
    aten._native_batch_norm_legit_no_training: 2,
    aten.native_group_norm: 5,
    aten.native_layer_norm: 5,
}
# products of two activations; those with weights are convolutions, mm, addmm
_ATTENTION = (aten.bmm, aten.baddbmm)
_ALWAYS = (
    'a multiply-add is 1. Counted are convolutions, matrix products, '
    'scaled shortcuts, and for each direction of a scan L*D*(9*N + 1 '
    '+ R), of L positions, D channels, N states and rank R of the step '
    'sizes; '
)
_NEVER = 'Not counted are activations, pooling, interpolation and RoIAlign'
CONVENTIONS = {
    'paper': Convention(
        f'{_ALWAYS}an element of a batch norm as 2, of another norm as 5. '
        f"{_NEVER}, nor the attention of SparX's aggregators.",
        _NORMS,
        False,
    ),
    'paper-attention': Convention(
        f'{_ALWAYS}an element of a batch norm as 2, of another norm as 5; all attention. {_NEVER}.',
        _NORMS,
        True,
    ),
    'plain': Convention(f'{_ALWAYS}all attention. {_NEVER}, nor norms.', {}, True),
}


def count_complexity(
    model: nn.Module, shape: tuple[int, int], convention: str = 'paper'
) -> Complexity:
    """Count the multiply-adds of one image, and parameters.

    Nothing is computed: any size takes about a second.

    Args:
        model (nn.Module): See `run_on_shapes`; it is left in eval mode.
        shape (tuple[int, int]): Height and width of the image.
        convention (str): ``'paper'``, that of SparX's published numbers,
            ``'paper-attention'``, that of some of them, or ``'plain'``; see
            ``CONVENTIONS``. Default: ``'paper'``.

    Returns:
        Complexity: By part: of a SparX backbone the stem, of each stage the
        mixers, projections (of normal layers), aggregators (of ganglion
        layers), FFNs and the rest, of another model its children.

    Raises:
        UserError: If the model cannot be run on this shape.
        ValueError: If the convention is unknown.

    Example:
        >>> from sparx_mm import SparXMamba
        >>> from sparx_mm.analysis import count_complexity
        >>> count_complexity(SparXMamba('tiny'), (224, 224)).total().params
        26540010
    """
    if convention not in CONVENTIONS:
        raise ValueError(f'convention must be one of {sorted(CONVENTIONS)}, got {convention!r}')
    if min(shape) < 1:
        raise UserError(f'the sides of the image must be at least 1, got {shape[0]} {shape[1]}')
    rules = CONVENTIONS[convention]
    whole = list(_parts(model))
    # every module's part is the innermost one around it
    places = {m: path for path, part in whole for m in part.modules()}
    with _counting(places, rules.norms) as flops:
        boxes = run_on_shapes(model, shape)
    params = Counter()
    # a tensor that several modules share is listed once
    owners = {
        param: places[module]
        for module in model.modules()
        for param in module.parameters(recurse=False)
    }
    for param, path in owners.items():
        params[path] += param.numel()
    parts = {}
    for path in dict.fromkeys(path for path, _ in whole):
        counts = flops.get(path, {})
        if not rules.aggregator_attention and path[-1:] == ('aggregator',):
            counts = {k: v for k, v in counts.items() if k not in _ATTENTION}
        # torch counts a multiply-add as 2
        part = Part(sum(counts.values()) // 2, params[path], runs=path in flops)
        if part.macs or part.params:
            parts[path] = part
    return Complexity(parts, tuple(shape), convention, rules.text, boxes)


def _parts(module: nn.Module, path: Path = ()):
    """Yield paths and modules, outer ones first; several share a path."""
    yield path, module
    if isinstance(module, HierarchicalBackbone):
        for inner, part in _backbone_parts(module):
            yield (*path, *inner), part
    # the children of the model, and of mmdet's second stage
    elif path in ((), ('roi_head',)):
        for name, child in module.named_children():
            yield from _parts(child, (*path, name))


def _backbone_parts(backbone: HierarchicalBackbone):
    yield ('stem',), backbone.stem
    for i, stage in enumerate(backbone.stages):
        name = f'stage {i}'
        # position encodings, norms and shortcuts remain to it
        yield (name,), stage
        if i > 0:
            yield (name, 'downsampling'), backbone.downsamples[i - 1]
        kinds = dict(projection=[], aggregator=[], mixer=[], ffn=[])
        for layer, sources in zip(stage.layers, stage.sources):
            kinds['aggregator' if sources else 'projection'].append(layer.proj)
            kinds['mixer'].append(layer.mixer)
            kinds['ffn'].append(layer.ffn)
        for kind, modules in kinds.items():
            yield from (((name, kind), module) for module in modules)
    yield ('output norms',), backbone.norms


@contextmanager
def _counting(places: dict[nn.Module, Path], norms: dict) -> Iterator[dict[Path, Counter]]:
    """Book every operator on the part of the module that runs it."""
    formulas = {op: _per_element(count) for op, count in norms.items()}
    # a shortcut's scale and bias
    formulas[aten.addcmul] = _per_output_element
    counter = FlopCounterMode(display=False, custom_mapping=formulas)
    flops, running, booked = defaultdict(Counter), [()], Counter()

    def book():
        new = Counter(counter.flop_counts['Global']) - booked
        flops[running[-1]].update(new)
        booked.update(new)

    def enter(module, args):
        book()
        running.append(places[module])

    def leave(module, args, output):
        book()
        running.pop()

    # of all modules: mm models call some heads by forward, past the hooks
    hooks = [
        hook
        for module in places
        for hook in (module.register_forward_pre_hook(enter), module.register_forward_hook(leave))
    ]
    try:
        with counter:
            yield flops
            book()
    finally:
        for hook in hooks:
            hook.remove()


def _per_element(count):

    def formula(shape, *args, **kwargs):
        return 2 * count * prod(shape)

    return formula


def _per_output_element(*args, out_shape, **kwargs):
    return 2 * prod(out_shape)
