"""Fixtures that tests of several folders share."""

import os

import torch

# read when triton is imported, and torch's FLOP counter imports it; without a
# GPU the kernels run in the interpreter
if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')

import pytest
from classification import make_imagenet
from mmengine.logging import MMLogger
from rotated import make_dota
from segmentation import make_ade

from sparx_mm.demo import make_shapes


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A drawn set of 4 training and 3 validation images of 64 px."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(str(root), num_train=4, num_val=3, size=64)
    return root


@pytest.fixture(scope='session')
def ade(tmp_path_factory):
    """A drawn set in ADE20K's layout: 4 training and 3 validation images."""
    root = tmp_path_factory.mktemp('data') / 'ade'
    make_ade(root)
    return root


@pytest.fixture(scope='session')
def imagenet(tmp_path_factory):
    """A drawn set in ImageNet's layout, of six classes.

    Each has two training images and one for validation.
    """
    root = tmp_path_factory.mktemp('data') / 'imagenet'
    make_imagenet(root)
    return root


@pytest.fixture(scope='session')
def dota(tmp_path_factory):
    """Draw a set of 4 patches of 64 px in DOTA's layout."""
    root = tmp_path_factory.mktemp('data') / 'dota'
    make_dota(root)
    return root


@pytest.fixture(autouse=True)
def own_loggers():
    """Let no test log to the captured output of an earlier one."""
    MMLogger._instance_dict.clear()
