"""The report of a test, as a page (``tools/test.py --report``)."""

import io
import os
import os.path as osp
import tempfile
from collections.abc import Iterator

import cv2
import numpy as np
from mmengine.runner import Runner

from ..checkpoint_io import write_text
from ..errors import UserError
from .cases import Case, CaseRecorder, confusion_matrix, rank
from .class_table import class_rows, confusion_rows, draw_confusion, record_class_ap
from .curves import choose_keys, draw_curves
from .judging import IOU_THR, SCORE_THR
from .page import make_case, make_image, make_numbers, make_page, make_table
from .run_logs import find_logs, read_run
from .samples import Painter, read_picture

# pixels: height of the pictures in the page
MAX_HEIGHT = 560
QUALITY = dict(
    pred_instances=f'Instances count from a score of {SCORE_THR:g}, and are found from an IoU of '
    f'{IOU_THR:g}. Images are ranked by the mean IoU of what was found, lessened by misses and '
    'false alarms (panoptic quality).',
    pred_sem_seg='Images are ranked by the mean IoU of the classes in them.',
    pred_label='Images are ranked by the score of their true class.',
)


def check_report(path: str) -> None:
    """Check that a report can be written, and make its folder if there is none.

    Args:
        path (str): File of the page, which ends in ``.html``.

    Raises:
        UserError: If the file has another ending or cannot be written.
    """
    if not path.lower().endswith('.html'):
        raise UserError(f'--report must end in .html, got {path}')
    try:
        folder = osp.dirname(osp.abspath(path))
        os.makedirs(folder, exist_ok=True)
        # an older report stays until the test has ended
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(
            f'--report {path} cannot be written: {error.strerror}; give another place'
        ) from error


class Report:
    """Report of a test that is about to run.

    Args:
        runner (Runner): Runner of the test; its evaluator gets a metric that remembers
            how each image went, and measures the AP of each class.

    Raises:
        UserError: If the test set has no classes.
    """

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.recorder = CaseRecorder()
        self.metainfo = runner.test_loop.dataloader.dataset.metainfo
        self.recorder.dataset_meta = self.metainfo
        if not self.metainfo.get('classes'):
            raise UserError('--report needs the classes of the test set: give metainfo.classes')
        evaluator = runner.test_loop.evaluator
        self.aps: dict[str, dict[str, float]] = {}
        for metric in evaluator.metrics:
            if type(metric).__name__ == 'CocoMetric':
                self.aps = record_class_ap(metric)
        evaluator.metrics.append(self.recorder)

    def write(self, path: str, metrics: dict[str, float], checkpoint: str | None) -> None:
        """Write the page after the test.

        Args:
            path (str): File of the page.
            metrics (dict): Metrics of the test by name.
            checkpoint (str, optional): File of the weights. Curves are those of the log
                beside it, or in the folder above.

        Raises:
            WriteError: If it cannot be written.
        """
        cases = self.recorder.cases
        best, worst = rank(cases)
        config = self.runner.cfg.filename
        title = f'Test of {osp.splitext(osp.basename(config))[0] if config else "a model"}'
        facts = [f'{len(cases)} images. Weights: {checkpoint or "untrained"}.']
        kind = next((k for case in (*best, *worst) for k in QUALITY if k in case.sample), None)
        if kind:
            facts.append(QUALITY[kind])
        numbers = {name: _text(value) for name, value in metrics.items()}
        sections = [('Metrics', make_numbers(numbers))]
        sections += self._curves(checkpoint)
        sections += self._classes(cases, kind == 'pred_sem_seg')
        painter = Painter(self.metainfo)
        for heading, shown in (('Worst images', worst), ('Best images', best)):
            figures = ''.join(_figure(painter, case) for case in shown)
            if figures:
                sections.append((heading, f'<div class="cases">{figures}</div>'))
        page = make_page(title, facts, sections)
        write_text(path, page)

    def _curves(self, checkpoint) -> Iterator[tuple[str, str]]:
        if checkpoint is None or '://' in checkpoint:
            return
        beside = osp.dirname(osp.abspath(checkpoint))
        for folder in (beside, osp.dirname(beside)):
            if find_logs(folder):
                try:
                    run = read_run(folder)
                except UserError:
                    # of a test, or too short: the page has no curves then
                    continue
                # a figure for each, because a phone shows them below each other
                figures = {key: draw_curves([run], [key]) for key in choose_keys([run])}
                images = ''.join(_svg(figure, f'curve of {key}') for key, figure in figures.items())
                yield 'Training', f'<div class="curves">{images}</div>'
                return

    def _classes(self, cases, of_pixels) -> Iterator[tuple[str, str]]:
        names = tuple(self.metainfo['classes'])
        matrix = confusion_matrix(cases, len(names))
        if not matrix.any():
            return
        head, rows = class_rows(matrix, names, of_pixels, self.aps)
        yield 'Classes', make_table(head, rows)
        html = _svg(draw_confusion(matrix, names), 'confusion matrix')
        if matrix[-1].any() or matrix[:, -1].any():
            html += '<p>none: a miss as a prediction, a false alarm as the truth</p>'
        listed = confusion_rows(matrix, names)
        if listed:
            html += make_table(['true', 'predicted', 'times', 'share of the true class'], listed)
        yield 'Confusions', html


def _text(value) -> str:
    if not isinstance(value, (int, float, np.number)):
        return str(value)
    # -1 is COCO's for a size that no object has
    return '-' if value == -1 else f'{value:.4g}'


def _svg(figure, alt) -> str:
    # imported lazily: most who import this package draw nothing
    from matplotlib import style

    file = io.BytesIO()
    # the salt makes generated ids the same each time
    with style.context(['default', {'svg.hashsalt': 'sparx_mm'}]):
        figure.savefig(file, format='svg', metadata=dict(Date=None, Creator=None))
    return make_image(file.getvalue(), 'svg+xml', alt)


def _figure(painter: Painter, case: Case) -> str:
    image, pictures = read_picture(case.path, case.sample.get('ori_shape')), {}
    # a classifier's name is drawn once, because the note has both
    sides = ('prediction',) if 'pred_label' in case.sample else ('ground truth', 'prediction')
    for side in sides if image is not None else ():
        drawn = painter.draw(image, case.sample, truth=side == 'ground truth')
        pictures[side] = make_image(_jpeg(drawn), 'jpeg', f'{side} of {osp.basename(case.path)}')
    if len(pictures) == 2:
        legend = painter.legend([case.sample], 640)
        if legend is not None:
            pictures['classes'] = make_image(_jpeg(legend), 'jpeg', 'colors of the classes')
    return make_case(osp.basename(case.path), case.verdict.note, pictures)


def _jpeg(picture: np.ndarray) -> bytes:
    if len(picture) > MAX_HEIGHT:
        width = max(round(picture.shape[1] * MAX_HEIGHT / len(picture)), 1)
        picture = cv2.resize(picture, (width, MAX_HEIGHT), interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
