"""Detection data that does not fit ends a run in one line, from workers too."""

import json
import shutil

import cv2
import pytest
from detection import ROOT, tiny_config
from PIL import Image

from sparx_mm.errors import UserError
from sparx_mm.run import build_runner, train

pytestmark = pytest.mark.stack
CONFIG = ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py'


@pytest.fixture
def root(shapes, tmp_path):
    """A set whose files may be changed."""
    return shutil.copytree(shapes, tmp_path / 'shapes')


def _batches(root, tmp_path, **options):
    options = {'train_dataloader__num_workers': 1, **options}
    cfg = tiny_config(CONFIG, root, str(tmp_path / 'out'), **options)
    loader = build_runner(cfg, ('train',)).train_dataloader
    return [sample.img_path for batch in loader for sample in batch['data_samples']]


@pytest.mark.tries('an image that is empty')
def test_an_image_that_a_worker_cannot_read(root, tmp_path):
    path = root / 'train/000001.png'
    path.write_bytes(b'')
    with pytest.raises(UserError) as error:
        _batches(root, tmp_path)
    assert str(error.value).startswith(f'image {path} is empty (0 bytes): put the whole image')
    assert '\n' not in str(error.value).strip()


@pytest.mark.tries('an image that is empty')
def test_training_goes_on_without_broken_images(root, tmp_path):
    path = root / 'train/000001.png'
    path.write_bytes(path.read_bytes()[:900])
    used = _batches(root, tmp_path, skip_broken=True)
    assert len(used) == 4 and str(path) not in used
    (log,) = (tmp_path / 'out').glob('*/*.log')
    assert f'image {path} is truncated, damaged or no image (900 bytes)' in log.read_text()
    assert 'skipped (1 so far)' in log.read_text()


def test_kinds_of_images_that_train(root, tmp_path):
    paths = sorted((root / 'train').iterdir())
    for path, mode in zip(paths, ('L', 'RGBA', 'P', 'CMYK')):
        image = Image.fromarray(cv2.imread(str(path))[..., ::-1]).convert(mode)
        image.save(path, format='TIFF' if mode == 'CMYK' else None)
    assert len(_batches(root, tmp_path, train_dataloader__num_workers=0)) == len(paths) == 4


@pytest.mark.tries('a COCO')
def test_a_file_that_mmdet_fails_at(root, tmp_path):
    """Told before anything is built."""
    path = root / 'annotations/instances_train.json'
    content = json.loads(path.read_text())
    tiny_config(CONFIG, root).dump(tmp_path / 'tiny.py')
    del content['annotations'][0]['area']
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=f'^{path}: annotation 1 of image 000000.png has no'):
        train(str(tmp_path / 'tiny.py'), work_dir=str(tmp_path / 'out'))
    assert not (tmp_path / 'out').exists()
