"""What a library says of a data set while it is built names the remedy too."""

import re
import socket
import urllib.error
import urllib.request

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from sparx_mm.errors import UserError
from sparx_mm.run.mistakes import REMEDIES, config_errors


def _problem(scope, dataset):
    cfg = Config(dict(train_dataloader=dict(dataset=dataset), default_scope=scope))
    with DefaultScope.overwrite_default_scope(scope):
        with pytest.raises(UserError) as error, config_errors(cfg.to_dict()):
            DATASETS.build(cfg.train_dataloader.dataset)
    line = str(error.value)
    assert line.startswith('config: train_dataloader.dataset: ') and '\n' not in line
    return line


@pytest.mark.stack
@pytest.mark.tries('reduce_zero_label')
def test_sets_of_different_classes(ade):
    node = dict(type='ADE20KDataset', data_root=str(ade), data_prefix=dict(img_path='images'))
    other = dict(node, metainfo=dict(classes=('wall', 'building')))
    line = _problem('mmseg', dict(type='ConcatDataset', datasets=[node, other]))
    # it names the key that comes first in a set of strings, which is another in each process
    assert 'in the 2-th dataset' in line or 'of the 2-th dataset' in line
    assert line.endswith('ignore_keys of the ConcatDataset')


@pytest.mark.tries('reduce_zero_label')
@pytest.mark.parametrize(
    'text',
    [
        'The type dict of label_map in the 2-th dataset should be the same with the first dataset',
        'palette does not in the meta information of the 2-th dataset',
        'The meta information of the 2-th dataset does not match meta information of the first',
    ],
)
def test_every_way_in_which_sets_may_differ(text):
    remedy = next(remedy for found, remedy in REMEDIES.items() if re.search(found, text))
    assert remedy.endswith('ignore_keys of the ConcatDataset')


@pytest.mark.stack
@pytest.mark.tries('reduce_zero_label')
def test_a_palette_that_is_too_short(ade):
    info = dict(classes=('wall', 'building', 'sky'), palette=[[0, 0, 0], [1, 1, 1]])
    node = dict(type='ADE20KDataset', data_root=str(ade), data_prefix=dict(img_path='images'))
    line = _problem('mmseg', dict(node, metainfo=info))
    assert line.endswith(
        'give one colour for each class in metainfo.palette, or leave the palette out'
    )
    assert len(line) < 700


@pytest.mark.tries('reduce_zero_label')
@pytest.mark.parametrize('kind', ['CIFAR10', 'CIFAR100', 'MNIST', 'FashionMNIST'])
def test_a_download_without_a_network(tmp_path, monkeypatch, kind):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError(socket.gaierror(-2, 'Name or service not known'))

    monkeypatch.setattr(urllib.request, 'urlopen', unreachable)
    node = dict(type=kind, data_root=str(tmp_path / 'data'), split='train')
    line = _problem('mmpretrain', node)
    assert line.endswith('there is no network: put its files into its data_root')
