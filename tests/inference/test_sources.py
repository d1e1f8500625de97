"""Every kind of input gives its images, and a broken one is named."""

import cv2
import numpy as np
import pytest

from sparx_mm.errors import UserError
from sparx_mm.image_files import walk_folders
from sparx_mm.inference.sources import find_sources

PIXELS = np.zeros((8, 16, 3), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('in/b.png', 'in/a.jpg', 'in/deep/a.jpg', 'in/.hidden.png', 'in/notes.md'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), PIXELS) if path.suffix != '.md' else path.write_text('x')
    (tmp_path / 'list.txt').write_text('in/b.png\n\nin/none.png\nin/deep\n')
    (tmp_path / 'in/beside.txt').write_text('a.jpg\n')
    return tmp_path


def film(path, frames=5):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (16, 8))
    for _ in range(frames):
        writer.write(PIXELS)
    writer.release()


@pytest.mark.parametrize(
    'inputs,names',
    [
        (['in/a.jpg'], ['a.jpg']),
        (['in'], ['a.jpg', 'b.png', 'deep/a.jpg']),
        (['in/*.jpg'], ['a.jpg']),
        (['in/**/a.jpg'], ['a.jpg', 'deep/a.jpg']),
        (['in/beside.txt'], ['a.jpg']),
        (['in/deep', 'in/b.png'], ['a.jpg', 'b.png']),
        (['in/deep', 'in/deep/../a.jpg'], ['deep/a.jpg', 'a.jpg']),
        (['in/deep', 'in/a.jpg', 'in'], ['deep/a.jpg', 'a.jpg', 'b.png']),
        (['in/deep', './in/deep/a.jpg'], ['a.jpg']),
    ],
)
def test_kinds_of_inputs(folder, inputs, names):
    sources = find_sources(inputs)
    assert sorted(frame.name for frame in sources.frames()) == sorted(names)
    assert sources.total == len(names)


def test_linked_folders(folder):
    """They are followed, but neither to a parent nor around a circle."""
    away, one, other = folder / 'elsewhere', folder / 'in/one', folder / 'in/other'
    for path in (away, one, other):
        path.mkdir()
    cv2.imwrite(str(away / 'c.png'), PIXELS)
    (one / 'away').symlink_to(away)
    (one / 'up').symlink_to(folder)
    (one / 'across').symlink_to(other)
    (other / 'across').symlink_to(one)
    # each but once, although it is before the one that it leads to
    (folder / 'in/first').symlink_to(other)
    walked = [place for place, _, _ in walk_folders('in')]
    assert sorted(walked) == ['in', 'in/deep', 'in/one', 'in/one/away', 'in/other']
    found = {frame.name for frame in find_sources(['in']).frames()}
    assert found == {'a.jpg', 'b.png', 'deep/a.jpg', 'one/away/c.png'}


def test_a_pattern_from_the_root(folder):
    part, *rest = folder.parts[1:]
    pattern = '/'.join(['', f'{part[:-1]}[{part[-1]}]', *rest, 'in/*.jpg'])
    (frame,) = find_sources([pattern]).frames()
    assert frame.name == str(folder / 'in/a.jpg')[1:]


def test_a_list_of_windows(folder):
    (folder / 'list.txt').write_text('in/b.png\r\n', encoding='utf-8-sig')
    (frame,) = find_sources(['list.txt']).frames()
    assert frame.image == 'in/b.png' and not frame.fault


@pytest.mark.parametrize('there', [True, False])
def test_a_number_in_a_list_is_a_path(folder, there):
    (folder / 'list.txt').write_text('0\n')
    if there:
        (folder / '0').write_bytes((folder / 'in/b.png').read_bytes())
    sources = find_sources(['list.txt'])
    (frame,) = sources.frames()
    assert sources.total == 1 and frame.name == '0' and not frame.video
    assert frame.fault == ('' if there else 'image ./0 does not exist')


def test_what_is_not_there_is_a_fault(folder):
    one, none, deep = find_sources(['list.txt']).frames()
    assert one.image == 'in/b.png' and not one.fault
    assert none.image is None and none.fault == 'image in/none.png does not exist'
    assert deep.fault == 'in/deep is a folder: name its images, not the folder'


def test_a_video(folder):
    film('film.avi')
    sources = find_sources(['film.avi'])
    frames = list(sources.frames())
    assert len(frames) == sources.total == 5
    assert frames[3].name == 'film.avi/000003.png' and frames[3].fps == 5
    assert frames[3].image.shape == (8, 16, 3)


def test_videos_that_are_broken(folder):
    film('film.avi', 60)
    whole = (folder / 'film.avi').read_bytes()
    (folder / 'cut.avi').write_bytes(whole[: len(whole) // 2])
    (folder / 'text.mp4').write_text('no video')
    *frames, cut = find_sources(['cut.avi']).frames()
    assert 0 < len(frames) < 60
    assert f'ends after {len(frames)} of 60 frames' in cut.fault
    (text,) = find_sources(['text.mp4']).frames()
    assert 'text.mp4 cannot be decoded' in text.fault
    (none,) = find_sources(['none.mp4']).frames()
    assert none.fault == 'video none.mp4 does not exist'


@pytest.mark.parametrize(
    'given,message',
    [
        ('in/notes.md', 'is no input'),
        ('images/', 'images/ is not there: give images, folders'),
        ('*.gif', 'no image or video matches'),
        ('none.txt', 'the list none.txt cannot be read'),
        ('empty', 'the folder empty has no image'),
    ],
)
def test_mistakes(folder, given, message):
    (folder / 'empty').mkdir()
    with pytest.raises(UserError, match=message):
        find_sources([given])
