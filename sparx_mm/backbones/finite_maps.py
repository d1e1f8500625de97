"""A look at what a backbone computes in eval mode, for NaN and infinity."""

import warnings
from itertools import chain

import torch
from torch import nn

from ..state_dicts.names import summarize

# passes on a GPU between two looks at their results, each of which waits for the GPU
PERIOD = 50


class FiniteMaps:
    """Warn once if a backbone's last map has NaN or infinity, and say what is to blame.

    Detectors drop boxes with a score of NaN, so their predictions do not show it. The
    last map does, because it depends on every pixel and nearly every weight. On a CPU
    each pass is judged. Elsewhere the first is, and then `PERIOD` of them at a time,
    because reading a result waits for the device; the last of a run, `PERIOD` - 1 at most,
    are not. Nor are passes that are compiled, traced, exported or captured as a CUDA graph.
    """

    def __init__(self) -> None:
        self._pending = []
        self._passes = 0
        self._warned = False

    def __getstate__(self) -> dict:
        """Return the state without results on a device, which a file of a model would keep."""
        return {**vars(self), '_pending': []}

    def look(self, backbone: nn.Module, images: torch.Tensor, last: torch.Tensor) -> None:
        """Judge a pass, or remember its result until it is read.

        Args:
            backbone (nn.Module): The backbone, whose weights may be to blame.
            images (Tensor): Its input.
            last (Tensor): Its last map.
        """
        if self._warned or not _can_be_read(images):
            return
        finite = last.isfinite().all()
        if last.device.type == 'cpu':
            if not finite:
                self._warn(backbone, images.isfinite().all(), last.dtype)
            return
        self._pending.append(torch.stack([finite, images.isfinite().all()]))
        self._passes += 1
        if self._passes % PERIOD == 1:
            pending, self._pending = self._pending, []
            maps, pixels = zip(*(flags.tolist() for flags in pending))
            if not all(maps):
                self._warn(backbone, all(pixels), last.dtype)

    def _warn(self, backbone, pixels_are_finite, dtype):
        self._warned = True
        weights = [
            name
            for name, value in chain(backbone.named_parameters(), backbone.named_buffers())
            # a process has a part of a sharded tensor
            if not getattr(value, '_local_tensor', value).isfinite().all()
        ]
        if weights:
            cause = f'because its weights are, {summarize(weights)}: take another checkpoint'
        elif not pixels_are_finite:
            cause = 'because pixels of an image are'
        else:
            cause = (
                f'although pixels and weights are not: numbers are too large for {dtype}; see '
                'that images are normalised, or compute in bfloat16 or float32'
            )
        warnings.warn(
            f'what {type(backbone).__name__} computes is NaN or infinite, {cause}. Such '
            'predictions mean nothing; a detector gives no boxes',
            RuntimeWarning,
        )


def _can_be_read(images):
    # Dynamo and torch.export take this answer as a constant, so the graph does not break
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    # other types stand for tensors without values
    if type(images) is not torch.Tensor or images.is_meta:
        return False
    return not (images.is_cuda and torch.cuda.is_current_stream_capturing())
