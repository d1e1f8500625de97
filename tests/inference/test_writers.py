"""Files of predictions are whole, or the reason is said."""

import cv2
import numpy as np
import pytest

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
