"""Files of predictions are whole, or the reason is said."""

import resource

import cv2
import numpy as np
import pytest

from sparx_mm.errors import UserError
from sparx_mm.inference import Frame
from sparx_mm.inference.writers import DrawnWriter


def write_film(folder, fps, pixels, count=3):
    """Write a video of frames that are all the same."""
    writer = DrawnWriter(str(folder))
    for i in range(count):
        writer.add(Frame(f'a.mp4/{i}.png', pixels, video='a.mp4', fps=fps), pixels)
    writer.close()
    return cv2.VideoCapture(str(folder / 'drawn/a.mp4'))


@pytest.mark.parametrize('fps, written', [(29.97, 29.97), (66.6667, 67), (119.873, 120)])
def test_any_frame_rate_is_written(tmp_path, fps, written):
    film = write_film(tmp_path, fps, np.zeros((48, 64, 3), np.uint8))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert film.get(cv2.CAP_PROP_FPS) == pytest.approx(written)


@pytest.mark.tries('a video of tools/infer.py')
@pytest.mark.parametrize('size', [5_000, 50_000])
def test_a_video_that_is_cut_off_is_said(tmp_path, size):
    """At its only block, which holds the index too, or in the midst of the frames."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(UserError, match=r'drawn/a\.mp4 cannot be written: is the disk full\?'):
            write_film(tmp_path, 25, pixels, size // 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # it is the size that is to blame
    film = write_film(tmp_path, 25, pixels, size // 1000)
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == size // 1000
