"""A folder of images, and one of annotations that belong to them."""

import json

import pytest
from own_data import save_image


@pytest.fixture
def images(tmp_path):
    """A folder of two images, a.png and sub/b.jpg."""
    folder = tmp_path / 'images'
    save_image(folder / 'a.png')
    save_image(folder / 'sub/b.jpg')
    return folder


@pytest.fixture
def write(tmp_path):
    """Write files below the folder of annotations."""

    def write(files):
        folder = tmp_path / 'annotations'
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return folder

    return write
