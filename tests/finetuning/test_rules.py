"""What is chosen by the number of images and the device."""

import re
from types import SimpleNamespace

import pytest
from detection import ROOT

from sparx_mm.errors import UserError
from sparx_mm.finetuning import rules
from sparx_mm.finetuning.device import use_device
from sparx_mm.finetuning.rules import Wishes, choose


@pytest.fixture(autouse=True)
def on_cpu(monkeypatch):
    monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cpu')


@pytest.fixture
def on_gpu(monkeypatch):
    """A GPU with a number of GiB free."""

    def on_gpu(gib):
        monkeypatch.setattr('mmengine.device.utils.DEVICE', 'cuda')
        cuda = SimpleNamespace(mem_get_info=lambda: (gib * 2**30, 80 * 2**30))
        monkeypatch.setattr(rules, 'torch', SimpleNamespace(cuda=cuda))

    return on_gpu


def pick(task='detection', images=1000, side=800, model='mask_rcnn_sparx_t', **wishes):
    return choose(task, images, side, model, Wishes(**wishes))


def test_the_page_has_the_rules():
    page = (ROOT / 'docs/fine_tuning.md').read_text()
    rows = re.findall(r'^\| ([\d,]+) \| (\d+) \|', page, re.M)
    assert [row[0] for row in rows] == ['50', '100', '300', '1,000', '3,000', '10,000', '100,000']
    for number, epochs in rows:
        assert pick(images=int(number.replace(',', ''))).epochs == int(epochs)


@pytest.mark.parametrize(
    'task,side,size',
    [
        ('detection', 2000, 800),
        ('detection', 128, 256),
        ('segmentation', 100, 224),
        ('classification', 32, 224),
    ],
)
def test_small_images_are_enlarged_twice_at_most(task, side, size):
    assert pick(task, side=side).size == size


def test_a_cpu_takes_few_images_and_no_workers():
    chosen = pick()
    assert (chosen.batch_size, chosen.workers) == (2, 0)
    # the root of 2 / 16
    assert chosen.lr == pytest.approx(3.5e-5)
    assert pick('classification').batch_size == 16


@pytest.mark.parametrize(
    'gib,kwargs,batch',
    [
        (80, {}, 8),
        (24, {}, 4),
        (24, dict(model='mask_rcnn_sparx_b'), 1),
        (5, {}, 1),
        (80, dict(images=20), 2),
        (80, dict(task='segmentation', model='upernet_sparx_t'), 16),
        (5, dict(task='segmentation', model='upernet_sparx_b'), 2),
        (80, dict(task='classification', model='sparx_t'), 64),
        (80, dict(size=1600), 2),
    ],
)
def test_a_batch_fits_the_memory_and_the_set(on_gpu, gib, kwargs, batch):
    on_gpu(gib)
    assert pick(**kwargs).batch_size == batch


def test_wishes_come_first():
    chosen = pick(size=64, epochs=3, batch_size=5, lr=0.5)
    assert (chosen.size, chosen.epochs, chosen.batch_size, chosen.lr) == (64, 3, 5, 0.5)


@pytest.mark.parametrize(
    'kwargs,message',
    [
        (dict(epochs=0), '--epochs must be positive, got 0'),
        (dict(lr=float('nan')), '--lr must be positive'),
        (dict(batch_size=9, images=8), '--batch-size 9 is more than the 8 training images'),
        (dict(task='segmentation', images=1), 'segmentation needs 2 training images'),
    ],
)
def test_wishes_that_cannot_be_met(kwargs, message):
    with pytest.raises(UserError, match=message):
        pick(**kwargs)


def test_devices():
    assert use_device('cpu').startswith('cpu, ')
    with pytest.raises(UserError, match='--device must be cpu, cuda or cuda:N, got tpu'):
        use_device('tpu')
    with pytest.raises(UserError, match='--device cuda:99: torch finds'):
        use_device('cuda:99')
