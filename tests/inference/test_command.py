"""tools/infer.py writes pictures and files of predictions, and names what it skips."""

import json
import re
import runpy
import shlex
import shutil
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import torch
from classification import CONFIGS as CLASSIFIERS
from classification import tiny_config as tiny_classifier
from detection import ROOT, tiny_config
from pycocotools.coco import COCO
from segmentation import CONFIGS as SEGMENTORS
from segmentation import tiny_config as tiny_segmentor

import sparx_mm
from sparx_mm.demo import CLASSES
from sparx_mm.engine.saving.test_settings import KEY, collect_settings
from sparx_mm.errors import UserError
from sparx_mm.inference import Frame, infer
from sparx_mm.inference.places import find_place
from sparx_mm.inference.writers import DrawnWriter
from sparx_mm.run import load_config


def save(cfg, folder):
    """Write a config and a checkpoint of random weights."""
    folder.mkdir(exist_ok=True)
    cfg.dump(folder / 'config.py')
    torch.manual_seed(0)
    model = sparx_mm.load(cfg, device='cpu').model
    torch.save(dict(state_dict=model.state_dict()), folder / 'a.pth')
    return str(folder / 'config.py'), str(folder / 'a.pth')


@pytest.fixture(scope='module')
def detector(shapes, tmp_path_factory):
    cfg = tiny_config(
        ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes, model__test_cfg__rcnn__max_per_img=3
    )
    return save(cfg, tmp_path_factory.mktemp('saved') / 'detector')


@pytest.fixture
def inputs(shapes, tmp_path):
    """A folder with images of one name, a video, and what is broken."""
    folder = tmp_path / 'in'
    (folder / 'deep').mkdir(parents=True)
    pixels = cv2.imread(str(next((shapes / 'val').glob('*.png'))))
    for name in ('a.png', 'a.jpg', 'deep/a.png'):
        cv2.imwrite(str(folder / name), pixels)
    (folder / 'b.jpg').write_bytes((folder / 'a.jpg').read_bytes()[:300])
    writer = cv2.VideoWriter(
        str(folder / 'film.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 5, pixels.shape[1::-1]
    )
    for _ in range(3):
        writer.write(pixels)
    writer.release()
    return folder


def written(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())


def test_a_detector(detector, inputs, tmp_path, capsys):
    out = tmp_path / 'out'
    given = [str(inputs), str(inputs / 'film.avi')]
    options = dict(out_dir=str(out), score_thr=0.0, batch_size=2, device='cpu')
    summary = infer(*detector, given, **options)
    drawn = ['drawn/a.jpg', 'drawn/a.png', 'drawn/deep/a.png', 'drawn/film.mp4']
    assert written(out) == [*drawn, 'predictions.json']
    assert summary.images == 6 and 'b.jpg' in summary.faults[0]
    assert 'skipped: image ' in capsys.readouterr().out
    with pytest.raises(UserError, match=r'1 of 7 inputs were skipped: image .*b\.jpg is trunc'):
        summary.require_all()
    film = cv2.VideoCapture(str(out / 'drawn/film.mp4'))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and film.get(cv2.CAP_PROP_FPS) == 5
    coco = COCO(out / 'predictions.json')
    names = [image['file_name'] for image in coco.dataset['images']]
    assert names == ['a.jpg', 'a.png', 'deep/a.png', *(f'film.avi/{i:06d}.png' for i in range(3))]
    assert [c['name'] for c in coco.dataset['categories']][0] == 'circle'
    # each is what the model found, in COCO's terms
    predictor = sparx_mm.load(*detector, device='cpu')
    (found,) = predictor.predict(str(inputs / 'a.png'))
    annotations = coco.imgToAnns[2]
    assert len(annotations) == len(found.pred_instances) > 0
    for one, box, label, mask in zip(
        annotations,
        found.pred_instances.bboxes.tolist(),
        found.pred_instances.labels.tolist(),
        found.pred_instances.masks,
    ):
        x, y, width, height = one['bbox']
        assert [x, y, x + width, y + height] == pytest.approx(box, abs=0.02)
        assert one['category_id'] == label + 1 and one['area'] == float(mask.sum())
        assert (coco.annToMask(one) == mask.numpy()).all()


def test_a_segmentor(ade, tmp_path):
    path = next(path for path in SEGMENTORS if path.stem == 'semantic_fpn_sparx_t')
    saved = save(tiny_segmentor(path, ade), tmp_path)
    image = str(next((ade / 'images/validation').glob('*.jpg')))
    summary = infer(*saved, [image], out_dir=str(tmp_path / 'out'), draw=False, device='cpu')
    (name,) = written(tmp_path / 'out')
    labels = cv2.imread(str(tmp_path / 'out' / name), cv2.IMREAD_UNCHANGED)
    (sample,) = sparx_mm.load(*saved, device='cpu').predict(image)
    # ids of ADE20K's files begin with 1
    assert (labels == sample.pred_sem_seg.data[0].numpy() + 1).all()
    assert name.startswith('labels/') and summary.paths == [str(tmp_path / 'out/labels')]


# the second has a teacher, whose file is not there
@pytest.mark.parametrize('name', ['sparx_t_in1k', 'groupmamba_t_in1k'])
def test_a_classifier(imagenet, tmp_path, name):
    path = next(path for path in CLASSIFIERS if path.stem == name)
    cfg = tiny_classifier(path, imagenet)
    if 'teacher' in cfg.model:
        cfg.model.teacher = load_config(str(path)).model.teacher
    saved = save(cfg, tmp_path)
    infer(*saved, [str(imagenet / 'val')], out_dir=str(tmp_path / 'out'), device='cpu')
    lines = (tmp_path / 'out/predictions.jsonl').read_text().splitlines()
    found = [json.loads(line) for line in lines]
    images = [name for name in written(tmp_path / 'out') if name.startswith('drawn')]
    assert sorted(f'drawn/{one["file_name"]}' for one in found) == images and len(found) == 6
    for one in found:
        assert len(one['top']) == 5 and one['class'] == one['top'][0]['class']


# inductor compiles for minutes
@pytest.mark.faults
@pytest.mark.tries('a backbone that tools/infer.py --compile')
def test_a_compiled_backbone_finds_the_same(imagenet, tmp_path):
    path = next(path for path in CLASSIFIERS if path.stem == 'sparx_t_in1k')
    saved = save(tiny_classifier(path, imagenet), tmp_path)
    found = []
    for compile in (False, True):
        out = tmp_path / str(compile)
        infer(
            *saved,
            [str(imagenet / 'val')],
            out_dir=str(out),
            draw=False,
            device='cpu',
            compile=compile,
        )
        lines = (out / 'predictions.jsonl').read_text().splitlines()
        found.append([json.loads(line) for line in lines])
    for plain, compiled in zip(*found, strict=True):
        assert plain['label'] == compiled['label']
        assert plain['score'] == pytest.approx(compiled['score'], abs=1e-5)


@pytest.mark.tries('an input of tools/infer.py')
def test_the_tool(detector, inputs, tmp_path, monkeypatch, capsys):
    path = str(ROOT / 'tools/infer.py')

    def run(*args):
        monkeypatch.setattr(sys, 'argv', [path, *args, '--device', 'cpu', '--no-draw'])
        runpy.run_path(path, run_name='__main__')
        return capsys.readouterr()

    monkeypatch.chdir(tmp_path)
    out = run(*detector, str(inputs / 'a.png'), '--out-dir', 'out').out
    assert '1/1' in out and 'images/s: out/predictions.json' in out
    with pytest.raises(SystemExit, match='1'):
        run(*detector, str(inputs), '--out-dir', 'out')
    error = capsys.readouterr().err
    assert error.startswith('error: 1 of 4 inputs were skipped: image ')
    # what was predicted of the others is there
    assert len(COCO('out/predictions.json').dataset['images']) == 3


@pytest.mark.tries('Ctrl-C in tools/infer.py')
def test_ctrl_c_keeps_what_was_predicted(detector, inputs, tmp_path, monkeypatch):
    """It is how a webcam ends."""

    class Stopped(DrawnWriter):
        def add(self, frame, picture):
            super().add(frame, picture)
            if frame.name.endswith('000001.png'):
                raise KeyboardInterrupt

    monkeypatch.setattr('sparx_mm.inference.command.DrawnWriter', Stopped)
    film, out = str(inputs / 'film.avi'), tmp_path / 'out'
    with pytest.raises(KeyboardInterrupt):
        infer(*detector, [film], out_dir=str(out), device='cpu')
    assert len(COCO(out / 'predictions.json').dataset['images']) == 2
    # of a webcam, which has no end of its own
    monkeypatch.setattr('sparx_mm.inference.sources._count', lambda path: 0)
    summary = infer(*detector, [film], out_dir=str(tmp_path / 'webcam'), device='cpu')
    assert summary.images == 2 and not summary.faults
    assert cv2.VideoCapture(str(out / 'drawn/film.mp4')).get(cv2.CAP_PROP_FRAME_COUNT) == 2


@pytest.mark.parametrize('ending', ['.png', '.pgm', '.tif'])
def test_names_do_not_collide(tmp_path, ending):
    writer, pixels = DrawnWriter(str(tmp_path)), np.zeros((4, 4, 3), np.uint8)
    for name in ('a.jpg', 'b/a.png', f'b/a{ending}', 'b/a.webp', 'b/a.JPG'):
        writer.add(Frame(name, pixels), pixels)
    expected = {'a.jpg', 'b/a.png', f'b/a{ending}.png', 'b/a.webp.png', 'b/a.JPG'}
    expected -= {'b/a.png.png'}
    assert set(written(tmp_path / 'drawn')) == expected


def test_second_choices_of_names_do_not_collide(tmp_path):
    used = {}
    names = ('a.jpg', 'a.png', 'a.png.jpg', 'a.png.png', 'a.jpg')
    paths = [find_place(str(tmp_path), name, '.png', used) for name in names]
    assert len(set(paths)) == 4 and paths[0] == paths[-1] == str(tmp_path / 'a.png')


@pytest.fixture
def page(shapes, tmp_path, monkeypatch):
    """A folder with the files that docs/inference.md names."""
    cfg = tiny_config(
        ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes, model__test_cfg__rcnn__max_per_img=3
    )
    config, checkpoint = save(cfg, tmp_path)
    content = torch.load(checkpoint)
    meta = dict(dataset_meta=dict(classes=CLASSES), **{KEY: collect_settings(cfg)})
    # SAHI refuses masks without an area
    content['state_dict']['roi_head.mask_head.conv_logits.bias'] += 5
    torch.save(dict(content, meta=meta), tmp_path / 'epoch_12.pth')
    shutil.copytree(shapes / 'val', tmp_path / 'images')
    next((tmp_path / 'images').glob('*.png')).rename(tmp_path / 'images/a.png')
    monkeypatch.chdir(tmp_path)
    return (ROOT / 'docs/inference.md').read_text()


def test_the_page(page, tmp_path, monkeypatch):
    blocks = re.findall(r'```(python|shell)\n(.*?)```', page, re.S)
    names = {}
    assert [kind for kind, _ in blocks].count('shell') == 3
    for kind, text in blocks:
        if kind == 'python' and ('sahi' not in text or find_spec('sahi')):
            exec(text, names)
        elif kind == 'shell':
            _, tool, *args = shlex.split(text)
            monkeypatch.setattr(sys, 'argv', [tool, *args, '--device', 'cpu'])
            runpy.run_path(str(ROOT / tool), run_name='__main__')
    assert len(names['samples']) == 3 and (tmp_path / 'drawn.png').is_file()
    assert names['found']['predictions'][0]['scores']
    assert (tmp_path / 'inferencer/vis/a.png').is_file()
    assert len(COCO('predictions/predictions.json').dataset['images']) == 3


@pytest.mark.parametrize(
    'options,message',
    [
        (dict(score_thr=2), '--score-thr is a score from 0 to 1'),
        (dict(batch_size=0), 'the batch size is at least 1'),
        (dict(tile=8), 'at least 32 pixels'),
        (dict(out_dir='/dev/null/x'), '--out-dir'),
        (dict(out_dir='{folder}/blocked'), 'blocked/drawn.* cannot be written'),
        (dict(out_dir='{folder}'), r'is in .*/drawn/, where results go: give another --out-dir'),
    ],
)
def test_mistakes(detector, tmp_path, options, message):
    (tmp_path / 'drawn').mkdir()
    (tmp_path / 'blocked').mkdir()
    (tmp_path / 'blocked/drawn').write_text('a file')
    image = str(tmp_path / 'drawn/a.png')
    cv2.imwrite(image, np.zeros((8, 8, 3), np.uint8))
    options = {k: v.format(folder=tmp_path) if k == 'out_dir' else v for k, v in options.items()}
    options = dict(dict(out_dir=str(tmp_path / 'out'), device='cpu'), **options)
    with pytest.raises(UserError, match=message):
        infer(*detector, [image], **options)
