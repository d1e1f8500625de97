"""Fixtures that tests of several folders share."""
import pytest
from mmengine.logging import MMLogger

from sparx_mm.datasets import make_shapes


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """A drawn set of 4 training and 3 validation images of 64 px."""
    root = tmp_path_factory.mktemp('data') / 'shapes'
    make_shapes(str(root), num_train=4, num_val=3, size=64)
    return root


@pytest.fixture(autouse=True)
def own_loggers():
    """Let no test log to the captured output of an earlier one."""
    MMLogger._instance_dict.clear()
