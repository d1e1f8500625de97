"""mmengine's preprocessor takes images of one channel, and changes no others."""

import pytest
import torch
from mmengine.model import ImgDataPreprocessor

from sparx_mm.compat import gray_images

pytestmark = pytest.mark.stack


@pytest.fixture
def preprocessor():
    gray_images.install()
    return ImgDataPreprocessor(mean=[1, 2, 3], std=[1, 1, 1], bgr_to_rgb=True)


def test_gray_images_are_widened(preprocessor):
    gray = torch.arange(6.0).reshape(1, 2, 3)
    wanted = preprocessor(dict(inputs=[gray.repeat(3, 1, 1)]))['inputs']
    assert preprocessor(dict(inputs=[gray]))['inputs'].equal(wanted)
    assert preprocessor(dict(inputs=gray[None]))['inputs'].equal(wanted)


def test_colours_stay(preprocessor):
    image = torch.rand(3, 4, 4)
    (found,) = preprocessor(dict(inputs=[image]))['inputs']
    assert found.equal(image[[2, 1, 0]] - torch.tensor([1.0, 2, 3])[:, None, None])


def test_a_model_of_one_channel_stays():
    gray_images.install()
    preprocessor = ImgDataPreprocessor(mean=[1], std=[1])
    assert preprocessor(dict(inputs=[torch.ones(1, 4, 4)]))['inputs'].shape == (1, 1, 4, 4)
