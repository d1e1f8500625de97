"""Inference on files, as tools/infer.py does it."""

import os.path as osp
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from typing import NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import UserError
from ..run.preflight import ensure_writable
from .loading import load
from .panoptic import PanopticWriter, is_panoptic
from .predictor import Predictor
from .sources import Sources, find_sources
from .writers import WRITERS, DrawnWriter

# broken inputs that the last line names; each is named when it is met, too
NAMED = 3


class Summary(NamedTuple):
    """What a run of inference did.

    Args:
        images (int): Images and frames that were predicted.
        seconds (float): Time from the first to the last.
        faults (list[str]): Inputs that were skipped, and why.
        paths (list[str]): Files and folders of the results.
    """

    images: int
    seconds: float
    faults: list[str]
    paths: list[str]

    def __str__(self) -> str:
        speed = self.images / max(self.seconds, 1e-9)
        count = f'{self.images} image{"s" * (self.images != 1)}'
        return f'{count}, {speed:.3g} images/s: {", ".join(self.paths)}'

    def require_all(self) -> None:
        """Raise unless every input was predicted.

        Raises:
            UserError: If some were skipped; it names the first ones.
        """
        if self.faults:
            named = '; '.join(self.faults[:NAMED])
            more = len(self.faults) - NAMED
            raise UserError(
                f'{len(self.faults)} of {self.images + len(self.faults)} inputs were skipped: '
                f'{named}{f"; and {more} more" if more > 0 else ""}'
            )


def infer(
    config: str | None,
    checkpoint: str,
    inputs: Sequence[str],
    out_dir: str = 'predictions',
    score_thr: float = 0.3,
    draw: bool = True,
    batch_size: int = 1,
    tile: int | None = None,
    overlap: float = 0.2,
    **kwargs,
) -> Summary:
    """Predict files, and write what was found beside pictures of it.

    Args:
        config (str, optional): Config file; see `load`.
        checkpoint (str): File or URL of the weights.
        inputs (Sequence[str]): See `find_sources`.
        out_dir (str): Folder of the results. Default: ``'predictions'``.
        score_thr (float): Score above which instances are written and drawn. Default: 0.3.
        draw (bool): Draw pictures. Default: True.
        batch_size (int): See `Predictor.predict`. Default: 1.
        tile (int, optional): See `Predictor.predict`. Default: None.
        overlap (float): See `Predictor.predict`. Default: 0.2.
        **kwargs: More arguments of `load`.

    Returns:
        Summary: What was done. Inputs that are broken are named and left out.

    Raises:
        UserError: If an argument, the config or the checkpoint is wrong, or if nothing can be
            written.
    """
    if not 0 <= score_thr <= 1:
        raise UserError(f'--score-thr is a score from 0 to 1, got {score_thr}')
    sources = find_sources(inputs)
    _check_places(sources, out_dir)
    predictor = load(config, checkpoint, **kwargs)
    ensure_writable(out_dir, '--out-dir')
    options = dict(batch_size=batch_size, score_thr=score_thr, tile=tile, overlap=overlap)
    try:
        return _write_all(predictor, sources, out_dir, draw, options)
    except OSError as error:
        # inputs that cannot be read are skipped before
        where = error.filename or osp.abspath(out_dir)
        raise UserError(f'{where} cannot be written ({error.strerror or error})') from error


def _check_places(sources: Sources, out_dir: str) -> None:
    """Refuse to write over what is read."""
    for folder in ('drawn', 'labels', 'panoptic'):
        place = osp.join(osp.realpath(osp.join(out_dir, folder)), '')
        inside = [path for path in sources.names if osp.realpath(path).startswith(place)]
        if inside:
            raise UserError(
                f'the input {inside[0]} is in {place}, where results go: give another --out-dir'
            )


def _write_all(predictor: Predictor, sources: Sources, out_dir, draw, options) -> Summary:
    kind = PanopticWriter if is_panoptic(predictor.model) else WRITERS[predictor.task]
    writer = kind(out_dir, predictor.metainfo)
    drawn, number, faults, start = DrawnWriter(out_dir), 0, [], time.monotonic()
    with ExitStack() as stack:
        # after Ctrl-C too
        stack.enter_context(closing(writer))
        stack.enter_context(closing(drawn))
        bar = stack.enter_context(_make_bar())
        task = bar.add_task('', total=sources.total or None, speed=0.0)
        # Ctrl-C is the end of a webcam, which is no fault
        stack.enter_context(nullcontext() if sources.total else suppress(KeyboardInterrupt))
        for frame, pixels, sample in predictor.stream(sources.frames(), **options):
            if sample is None:
                faults.append(frame.fault)
                bar.console.print(
                    f'skipped: {frame.fault}', markup=False, highlight=False, soft_wrap=True
                )
            else:
                number += 1
                writer.add(frame.name, pixels.shape[:2], sample)
                if draw:
                    drawn.add(frame, predictor.draw(pixels, sample, options['score_thr']))
            speed = number / (time.monotonic() - start)
            bar.update(task, advance=1, speed=speed)
    paths = [writer.path] + ([drawn.path] if draw and number else [])
    return Summary(number, time.monotonic() - start, faults, paths)


def _make_bar() -> Progress:
    return Progress(
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn('{task.fields[speed]:.1f} images/s'),
        TimeRemainingColumn(),
    )
