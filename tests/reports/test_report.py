"""The page of a test, as a file and in a browser."""

import json
import re
import resource
import shutil
import subprocess
from html import unescape
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_options as classifier_options
from detection import CONFIGS as DETECTORS
from detection import tiny_config
from oracle import Oracle
from run_log_files import evaluation, step, write_log
from segmentation import CONFIGS as SEGMENTORS
from segmentation import tiny_options as segmentor_options

from sparx_mm.errors import UserError
from sparx_mm.reports import Report, check_report
from sparx_mm.run import load_runner, runner

BROWSER = next(
    filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None
)
OPTIONS = (
    '--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking '
    '--disable-component-update --disable-sync --hide-scrollbars'
).split()


@pytest.fixture(scope='module')
def page(shapes, tmp_path_factory):
    """Test a detector that takes squares for stars; the page and the metrics."""
    folder = tmp_path_factory.mktemp('report')
    write_log(folder, '1', [step(2, loss=5.0), evaluation(1, **{'coco/bbox_mAP': 0.1})])
    cfg = tiny_config(DETECTORS[0], shapes, str(folder / 'test'))
    built = load_runner(cfg, None)
    built.test_loop.runner.model = Oracle(dict(type='mmdet.DetDataPreprocessor'))
    report = Report(built)
    metrics = built.test()
    report.write(str(folder / 'page.html'), metrics, str(folder / 'epoch_1.pth'))
    return folder / 'page.html', metrics


def _cells(page, heading):
    """Return the texts of the table below a heading."""
    section = page.partition(f'<h2>{heading}</h2>')[2].partition('</section>')[0]
    rows = re.findall('<tr>(.*?)</tr>', section)
    return [[unescape(cell) for cell in re.findall('<t[hd]>(.*?)</t[hd]>', row)] for row in rows]


def test_curves_are_of_the_weights_alone(tmp_path):
    write_log(tmp_path, '1', [step(2, loss=5.0), evaluation(1, **{'coco/bbox_mAP': 0.1})])
    report = Report.__new__(Report)
    report.runner = SimpleNamespace(work_dir=str(tmp_path))
    for checkpoint in (None, 'https://a.org/a.pth', '/nowhere/else/a.pth'):
        assert not list(report._curves(checkpoint))
    for place in ('a.pth', 'best/a.pth'):
        assert [heading for heading, _ in report._curves(str(tmp_path / place))] == ['Training']


def test_classes_and_confusions_are_those_of_the_predictions(page, shapes):
    content = json.loads((shapes / 'annotations/instances_val.json').read_text())
    counts = [
        sum(a['category_id'] == c['id'] for a in content['annotations'])
        for c in content['categories']
    ]
    text = page[0].read_text()
    head, *rows = _cells(text, 'Classes')
    assert head == ['class', 'objects', 'precision', 'recall', 'bbox AP', 'segm AP']
    rows = {row[0]: row[1:] for row in rows}
    right = {'triangle': counts[2], 'ring': counts[4]}
    assert min(right.values()) > 0 and counts[0] == counts[5] == 0
    for name, count in right.items():
        assert rows.pop(name) == [str(count), '100.0%', '100.0%', '1.000', '1.000']
    squares, stars = counts[1], counts[3]
    assert rows.pop('square') == [str(squares), '-', '0.0%', '0.000', '0.000']
    assert rows.pop('star')[:3] == [str(stars), f'{stars / (stars + squares):.1%}', '100.0%']
    # classes that do not occur have no row
    assert not rows
    assert _cells(text, 'Confusions')[1:] == [['square', 'star', str(squares), '100.0%']]


def test_the_metrics_are_those_of_the_test(page):
    path, metrics = page
    boxes = path.read_text().partition('class="numbers"')[2].partition('</section>')[0]
    shown = {
        re.sub('<wbr>', '', name): value
        for value, name in re.findall('<b>(.*?)</b><span>(.*?)</span>', boxes)
    }
    assert (
        shown.keys() == metrics.keys()
        and shown['coco/bbox_mAP'] == f'{metrics["coco/bbox_mAP"]:.4g}'
    )
    assert 0 < metrics['coco/bbox_mAP'] < 1
    # those of single classes are in their table
    assert not any(name.endswith('_precision') for name in metrics)


def test_it_is_one_file_without_links(page):
    text = page[0].read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', text)
    assert not re.findall(r'<script|@import|url\(|<link(?! rel="icon" href="data:,")', text)
    # curves of loss and AP, confusions, ground truth and prediction of three images
    assert text.count('data:image/svg+xml') == 3 and text.count('data:image/jpeg') == 6


@pytest.mark.skipif(BROWSER is None, reason='there is no chromium')
def test_a_browser_shows_it(page, tmp_path):
    """Both widths: what was found is written, and the pictures are loaded."""
    path, _ = page

    def browser(*options):
        arguments = [
            f'--user-data-dir={tmp_path / "profile"}',
            '--host-resolver-rules=MAP * ~NOTFOUND',
        ]
        command = [BROWSER, *OPTIONS, *arguments, *options, path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    dom = browser('--dump-dom')
    assert re.search(r'<figcaption><b>00000\d\.png</b><br>\d found', dom)
    assert dom.count('<img ') == 9 and '<h2>Worst images</h2>' in dom
    for width in (1280, 500):
        browser(f'--window-size={width},4000', f'--screenshot={tmp_path}/{width}.png')
        shot = cv2.imread(f'{tmp_path}/{width}.png')
        assert shot.shape == (4000, width, 3)
        # pictures of shapes have colors that nothing else of the page has
        below = shot[shot.shape[0] // 3 :].reshape(-1, 3)
        assert (np.ptp(below.astype(int), axis=1) > 100).mean() > 0.05


def test_a_segmentor(shapes, tmp_path):
    config = next(path for path in SEGMENTORS if 'shapes' in path.stem)
    page = tmp_path / 'deep/page.html'
    metrics = runner.test(
        str(config),
        None,
        report=str(page),
        work_dir=str(tmp_path / 'work'),
        cfg_options=segmentor_options(config, shapes),
    )
    head, *rows = _cells(page.read_text(), 'Classes')
    assert head == ['class', 'pixels', 'precision', 'recall', 'IoU']
    ious = [float(row[-1].rstrip('%')) for row in rows]
    assert np.mean(ious) == pytest.approx(metrics['mIoU'], abs=0.1)
    # ground truth, prediction and legend of three images
    assert page.read_text().count('data:image/jpeg') == 9


def test_a_classifier(imagenet, tmp_path):
    config, page = CLASSIFIERS[0], tmp_path / 'page.html'
    metrics = runner.test(
        str(config),
        None,
        report=str(page),
        work_dir=str(tmp_path / 'work'),
        cfg_options=classifier_options(config, imagenet),
    )
    _, *rows = _cells(page.read_text(), 'Classes')
    right = sum(float(row[3].rstrip('%')) * int(row[1]) for row in rows if row[3] != '-')
    assert right / sum(int(row[1]) for row in rows) == pytest.approx(
        metrics['accuracy/top1'], abs=0.1
    )
    assert page.read_text().count('data:image/jpeg') == 6


@pytest.mark.tries('a test with --report')
@pytest.mark.parametrize(
    'name,message',
    [('page.pdf', 'must end in .html, got .*page.pdf'), ('file/page.html', 'cannot be written: ')],
)
def test_a_place_that_does_not_fit_is_one_line(tmp_path, name, message):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match=f'^--report .*{message}'):
        check_report(str(tmp_path / name))


@pytest.mark.tries('a test with --report')
def test_an_older_report_stays_until_there_is_a_new_one(tmp_path):
    (tmp_path / 'page.html').write_text('older')
    check_report(str(tmp_path / 'page.html'))
    assert [path.name for path in tmp_path.iterdir()] == ['page.html']
    assert (tmp_path / 'page.html').read_text() == 'older'
    report = Report.__new__(Report)
    report.runner = SimpleNamespace(cfg=SimpleNamespace(filename='a.py'))
    report.recorder, report.metainfo = SimpleNamespace(cases=[]), dict(classes=('a', 'b'))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a disk that fills up
    resource.setrlimit(resource.RLIMIT_FSIZE, (99, before[1]))
    try:
        with pytest.raises(UserError, match='page.html cannot be written'):
            report.write(str(tmp_path / 'page.html'), {}, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (tmp_path / 'page.html').read_text() == 'older'
