"""What a SparX backbone can start from in a plain Swin file.

The parts that both have, and only those that fit as they are. A part is taken
whole or not at all: half of an attention is noise.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch

from .families.swin import find_swin_prefixes, swin_names, to_own_layout
from .fit import CoverageError, demand_sound, fits, form_of, layout, layout_text, not_there
from .keymap import find_prefixes, strip_prefix
from .names import summarize
from .position_table import find_resized, resize_tables

# a layer's two shortcuts go around its attention and its FFN
_PART = re.compile(
    r'(stages\.\d+\.layers\.\d+)\.(?:(norm2|ffn)\.)?.*'
    r'|(stem)\..*|((?:downsamples|norms)\.\d+)\..*'
)
_GROUP = re.compile(r'stages\.\d+|[^.]+')
# an aggregator may have its place
_PROJECTION = re.compile(r'stages\.\d+\.layers\.\d+\.proj\.')


class SwinFit(NamedTuple):
    """What a backbone takes from a plain Swin.

    Args:
        weights (dict[str, Tensor]): What is taken, by own names.
        own (Mapping): All parameters of the backbone.
        resized (list[str]): Of these, what was made for another window.
        reshaped (dict[str, str]): What has another shape in the file, and
            which.
        beside (list[str]): Own names of what would fit beside those.
        missing (list[str]): Own names of what the file does not have.
        unused (list[str]): Names in the file, without the prefix, of what has
            no place in the backbone.
    """

    weights: dict[str, torch.Tensor]
    own: Mapping[str, torch.Tensor]
    resized: list[str]
    reshaped: dict[str, str]
    beside: list[str]
    missing: list[str]
    unused: list[str]

    def __str__(self) -> str:
        """One line."""
        taken, own = (
            sum(v.numel() for v in some.values()) / 1e6 for some in (self.weights, self.own)
        )
        groups: dict = {}
        for name in self.own:
            group = groups.setdefault(_GROUP.match(name)[0], [0, 0])
            group[0] += name in self.weights
            group[1] += 1
        counts = ', '.join(f'{k} {n}/{all_}' for k, (n, all_) in groups.items())
        text = (
            f'{len(self.weights)} of {len(self.own)} tensors ({taken:.2f} '
            f'of {own:.2f} M parameters) of a plain Swin: {counts}'
        )
        if self.resized:
            text += f'; resized: {summarize(self.resized)}'
        if self.reshaped:
            first = next(iter(self.reshaped.values()))
            text += f'; of another shape: {summarize(self.reshaped)}, {first}'
        if self.beside:
            text += f'; left with those: {summarize(self.beside)}'
        if self.missing:
            text += f'; not in the file: {summarize(self.missing)}'
        if self.unused:
            text += f'; no place for: {summarize(self.unused)}'
        return text


def fit_swin(
    own: Mapping[str, torch.Tensor], file: Mapping[str, torch.Tensor], prefix: str
) -> SwinFit:
    """Find what a backbone shares with a plain Swin.

    Layer j of a stage of the file is layer j of that stage. In a ganglion
    layer an aggregator has the place of queries, keys and values, which are
    left out; the rest of its attention is taken.

    Args:
        own (Mapping): The backbone's parameters by name.
        file (Mapping): The state dict of the file, with the names of the
            original code, timm or OpenMMLab.
        prefix (str): What Swin's names begin with in the file, ``''`` or
            ending in a dot.

    Returns:
        SwinFit: What fits.

    Raises:
        CoverageError: If there is no Swin, if nothing of it fits, or if what
            fits is not finite.
    """
    found = find_swin_prefixes(file)
    if prefix not in found:
        sparx = find_prefixes(file)
        if sparx and not found:
            raise CoverageError(
                'it holds a SparX backbone: all of it is loaded by '
                "init_cfg=dict(type='Pretrained', checkpoint=FILE, "
                f'prefix={sparx[0] or None!r})'
            )
        raise CoverageError(not_there(file, prefix, found, what='plain Swin'))
    plain = strip_prefix(file, prefix)
    names = swin_names(plain)
    theirs = {
        name: to_own_layout(key, plain[key])
        for key, name in names.items()
        if isinstance(plain[key], torch.Tensor)
    }
    asis, theirs = theirs, resize_tables(theirs, own)
    reshaped = {
        k: f'{form_of(theirs[k])} instead of {form_of(own[k])}'
        for k in own
        if k in theirs and not fits(theirs[k], own[k])
    }
    out = {_part(k) for k in reshaped}
    # a part with tensors that the other does not have is another kind of part
    out |= {_part(k) for k in theirs.keys() ^ own.keys() if not _PROJECTION.match(k)}
    fitting = [k for k in own if k in theirs and k not in reshaped]
    weights = {k: theirs[k] for k in fitting if _part(k) not in out}
    if not weights:
        raise CoverageError(
            'nothing of this plain Swin fits: it has layers and channels '
            f'{layout_text(layout(theirs))} by stage, the model '
            f'{layout_text(layout(own))}; give the file of another, or start '
            'without one'
        )
    demand_sound(weights, own)
    return SwinFit(
        weights,
        own,
        resized=[k for k in find_resized(asis, theirs) if k in weights],
        reshaped=reshaped,
        beside=[k for k in fitting if k not in weights],
        missing=[k for k in own if k not in theirs],
        unused=[k for k, name in names.items() if name not in own],
    )


def _part(name):
    match = _PART.fullmatch(name)
    if not match:
        return name
    layer, ffn, *others = match.groups()
    return (layer, bool(ffn)) if layer else next(filter(None, others))
