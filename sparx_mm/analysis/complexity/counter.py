"""Multiply-adds and parameters of a model, part by part."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from ...backbones import Backbone, PlainBackbone
from ...errors import UserError
from .shape_run import run_on_noise, run_on_shapes
from .table import Complexity, Part, Path

aten = torch.ops.aten


class Convention(NamedTuple):
    """Rules of what counts beside convolutions, products with weights and the scan.

    Args:
        text (str): Rules in words.
        formulas (dict): By torch operator, the formula of its count, as
            `FlopCounterMode` takes them.
        aggregator_attention (bool): Count the products of queries, keys and
            values in aggregators. Those of other attention always count.
        layers_alone (bool): Count what the layers in `LAYERS` run, and their
            parameters, and nothing else. Default: False.
    """

    text: str
    formulas: dict
    aggregator_attention: bool
    layers_alone: bool = False


# what programs count that know types of layers, thop among them
LAYERS = (
    nn.modules.conv._ConvNd,
    nn.Linear,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LayerNorm,
)


def _per_input_element(count):

    def formula(shape, *args, **kwargs):
        # torch counts a multiply-add as 2
        return 2 * count * prod(shape)

    return formula


def _per_output_element(count):

    def formula(*args, out_shape, **kwargs):
        return 2 * count * prod(out_shape)

    return formula


_NORMS = {
    aten.native_batch_norm: _per_input_element(2),
    aten._native_batch_norm_legit: _per_input_element(2),
    aten._native_batch_norm_legit_no_training: _per_input_element(2),
    aten.native_group_norm: _per_input_element(5),
    aten.native_layer_norm: _per_input_element(5),
}
# of thop's numbers, the one for norms with a scale and a bias
_LAYER_NORMS = dict.fromkeys(_NORMS, _per_input_element(4))
_INTERPOLATION = {
    aten.upsample_bilinear2d: _per_output_element(4),
    # what deformable attention reads between the cells of a map
    aten.grid_sampler_2d: _per_output_element(4),
    aten.upsample_nearest2d: _per_output_element(1),
    # by overload too, because torch decomposes it otherwise
    aten.upsample_nearest2d.default: _per_output_element(1),
}


def _product(shape, first, second, *args, **kwargs):
    return 2 * first[0] * first[1] * second[1]


def _attention(queries, keys, values, *args, **kwargs):
    return sdpa_flop_count(queries, keys, values)


_EVERYWHERE = {
    # a shortcut's scale and bias
    aten.addcmul: _per_output_element(1),
    # what mmcv's deformable convolutions multiply by on the CPU, and torch does not count
    aten.addmm_: _product,
    # nor does it count its own attention there
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}
# products of two activations; those with weights are convolutions, mm, addmm
_ATTENTION = (aten.bmm, aten.baddbmm, aten._scaled_dot_product_flash_attention_for_cpu)
_ALWAYS = (
    'a multiply-add is 1. Counted are convolutions, matrix products, scaled shortcuts, and for '
    'each direction of a scan L*D*(9*N + 1 + R), of L positions, D channels, N states and rank R '
    'of the step sizes; '
)
_NORM_TEXT = 'an element of a batch norm as 2, of another norm as 5'
_NEVER = 'Not counted are activations, pooling, interpolation and RoIAlign'
_ON_NOISE = (
    'The model needs data, so it ran on the CPU on an image of noise; what it samples at offsets '
    'is not counted beside the products.'
)
CONVENTIONS = {
    'paper': Convention(
        f"{_ALWAYS}{_NORM_TEXT}. {_NEVER}, nor the attention of SparX's aggregators.",
        _NORMS,
        False,
    ),
    'paper-attention': Convention(
        f'{_ALWAYS}{_NORM_TEXT}; all attention. {_NEVER}.',
        _NORMS,
        True,
    ),
    'paper-interpolation': Convention(
        f'{_ALWAYS}{_NORM_TEXT}, one made by bilinear interpolation as 4, by nearest as 1; all '
        'attention. Not counted are activations, pooling and RoIAlign.',
        {**_NORMS, **_INTERPOLATION},
        True,
    ),
    'plain': Convention(f'{_ALWAYS}all attention. {_NEVER}, nor norms.', {}, True),
    'layers': Convention(
        'a multiply-add is 1. Counted are convolutions and linear layers, an element of a norm '
        'as 4, and the parameters of these, close to what thop counts; not counted is all else, the '
        'scan among it, the projections of its step sizes and states, and its parameters.',
        _LAYER_NORMS,
        True,
        layers_alone=True,
    ),
}


def count_complexity(
    model: nn.Module, shape: tuple[int, int], convention: str = 'paper'
) -> Complexity:
    """Count the multiply-adds of one image, and the parameters.

    Nothing is computed, so any size takes about a second; except by a model whose forward
    pass depends on data or runs operators that know no shapes, as those of DINO, Mask2Former
    and deformable convolutions: it runs on the CPU.

    Args:
        model (nn.Module): Model to count, see `run_on_shapes`. It is left in
            eval mode.
        shape (tuple[int, int]): Height and width of the image.
        convention (str): Name of what counts, see ``CONVENTIONS``:
            ``'paper'`` and ``'paper-attention'`` as in SparX's published
            numbers, ``'paper-interpolation'`` as in VMamba's, ``'plain'``, or
            ``'layers'`` close to thop. Default: ``'paper'``.

    Returns:
        Complexity: Counts by part. The parts of a backbone are its stem, in
        each stage the mixers, projections (of normal layers), aggregators (of
        ganglion layers), FFNs and the rest; those of another model are its
        children.

    Raises:
        UserError: If the model runs neither on this shape nor on the CPU.
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
    # later pairs win, so a module's part is the innermost one around it
    places = {m: path for path, part in whole for m in part.modules()}
    flops, boxes, text = _run_and_count(model, shape, places, rules)
    params = Counter()
    # by tensor, because several modules may share one
    owners = {
        param: places[module]
        for module in model.modules()
        if not rules.layers_alone or isinstance(module, LAYERS)
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
    return Complexity(parts, tuple(shape), convention, text, boxes)


def _run_and_count(model, shape, places, rules):
    """Return the counts by path, the boxes of each extractor, and what counts, in words."""
    try:
        with _counting(places, rules) as flops:
            return flops, run_on_shapes(model, shape), rules.text
    except UserError as error:
        reasons = [error]
    for mode in ('tensor', 'predict'):
        try:
            with _counting(places, rules) as flops:
                run_on_noise(model, shape, mode)
            return flops, {}, f'{rules.text} {_ON_NOISE}'
        except UserError as error:
            reasons.append(error)
    raise UserError(f'{reasons[0]}; {reasons[1]}') from reasons[1]


def _parts(module: nn.Module, path: Path = ()):
    """Yield paths and modules, outer ones first; several modules may share a path."""
    yield path, module
    if isinstance(module, Backbone):
        for inner, part in _backbone_parts(module):
            yield (*path, *inner), part
    # the children of the model, and of mmdet's second stage
    elif path in ((), ('roi_head',)):
        for name, child in module.named_children():
            yield from _parts(child, (*path, name))


def _backbone_parts(backbone: Backbone):
    yield ('stem',), backbone.stem
    if isinstance(backbone, PlainBackbone):
        name = 'layers'
        yield (name,), backbone.layers
        yield from _layer_parts(name, backbone.layers)
    else:
        yield from _stage_parts(backbone)
    adapter = getattr(backbone, 'adapter', None)
    if adapter is not None:
        yield ('adapter',), adapter
    yield ('output norms',), backbone.norms


def _stage_parts(backbone):
    for i, stage in enumerate(backbone.stages):
        name = f'stage {i}'
        # keeps the position encodings, norms and shortcuts
        yield (name,), stage
        if i > 0:
            yield (name, 'downsampling'), backbone.downsamples[i - 1]
        yield from _layer_parts(name, stage.layers)


def _layer_parts(name, layers):
    kinds = dict(projection=[], aggregator=[], mixer=[], ffn=[])
    for layer in layers:
        kinds['aggregator' if layer.num_sources else 'projection'].append(layer.proj)
        kinds['mixer'].append(layer.mixer)
        if layer.ffn is not None:
            kinds['ffn'].append(layer.ffn)
    for kind, modules in kinds.items():
        yield from (((name, kind), module) for module in modules)


@contextmanager
def _counting(places: dict[nn.Module, Path], rules: Convention) -> Iterator[dict[Path, Counter]]:
    """Book every operator on the part of the module that runs it, None for what is left out."""
    counter = FlopCounterMode(display=False, custom_mapping={**rules.formulas, **_EVERYWHERE})
    flops, booked = defaultdict(Counter), Counter()
    running = [None if rules.layers_alone else ()]

    def book():
        new = Counter(counter.flop_counts['Global']) - booked
        flops[running[-1]].update(new)
        booked.update(new)

    def enter(module, args):
        book()
        counts = isinstance(module, LAYERS) or not rules.layers_alone
        running.append(places[module] if counts else None)

    def leave(module, args, output):
        book()
        running.pop()

    # on all modules, because mm models call forward of some heads past their hooks
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
