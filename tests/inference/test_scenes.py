"""Large scenes, tile by tile: what is predicted of the whole, and where it is on the ground."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from sparx_mm.demo import AERIAL_CLASSES, draw_aerial
from sparx_mm.errors import UserError
from sparx_mm.inference import predictor as predictor_module
from sparx_mm.inference import scenes, writers
from sparx_mm.inference.predictor import Predictor
from sparx_mm.inference.sources import find_sources

METAINFO = dict(
    classes=AERIAL_CLASSES, palette=[(i, 40 * i, 0) for i in range(6)], reduce_zero_label=True
)
# no multiple of a tile's step
HEIGHT, WIDTH = 150, 213


class PixelNet(nn.Module):
    """A segmentor without any context: each pixel's logits are of its colour alone."""

    def __init__(self):
        super().__init__()
        self.decode_head = nn.Conv2d(3, len(AERIAL_CLASSES), 1)
        # centred, so that one class does not win everywhere
        nn.init.normal_(self.decode_head.weight)
        self.sizes = []

    def test_step(self, data):
        samples = []
        for image, sample in zip(data['inputs'], data['data_samples']):
            self.sizes.append(tuple(image.shape[1:]))
            logits = self.decode_head(image[None].float() / 127.5 - 1)[0]
            sample.seg_logits = PixelData(data=logits)
            sample.pred_sem_seg = PixelData(data=logits.argmax(0, keepdim=True))
            samples.append(sample)
        return samples


@pytest.fixture
def segmentor():
    init_default_scope('mmseg')
    torch.manual_seed(0)
    steps = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    return Predictor(PixelNet(), Config(dict(default_scope='mmseg')), METAINFO, steps)


@pytest.fixture(scope='module')
def scene():
    """Pixels in BGR."""
    return draw_aerial(np.random.default_rng(0), WIDTH).image[:HEIGHT].copy()


def _labels(sample):
    return sample.pred_sem_seg.data


@pytest.mark.parametrize('tile, overlap', [(64, 0), (64, 0.25), (70, 0.5), (500, 0.2)])
def test_tiles_are_the_whole(segmentor, scene, tile, overlap):
    (whole,) = segmentor.predict(scene)
    (tiled,) = segmentor.predict(scene, tile=tile, overlap=overlap, batch_size=3)
    assert len(_labels(whole).unique()) > 2
    assert _labels(tiled).equal(_labels(whole))
    assert tiled.ori_shape == (HEIGHT, WIDTH)


def test_a_large_label_map_is_drawn_smaller(segmentor, scene, monkeypatch):
    (sample,) = segmentor.predict(scene)
    whole = segmentor.draw(scene, sample)
    assert whole.shape == scene.shape
    monkeypatch.setattr(predictor_module, 'DRAWN', 110)
    small = segmentor.draw(scene, sample)
    assert small.shape == whole[::2, ::2].shape
    # but for the names of classes, whose letters keep their size
    assert (small == whole[::2, ::2]).mean() > 0.8
    assert isinstance(sample, SegDataSample) and _labels(sample).shape == (1, HEIGHT, WIDTH)


def _write_all(predictor, path, folder, **options):
    """Predict a file, and return the label map that is written and the frame's fault."""
    writer = writers.LabelMapWriter(str(folder), METAINFO)
    ((frame, pixels, sample),) = predictor.stream(find_sources([str(path)]).frames(), **options)
    if sample is not None:
        writer.add(frame.name, pixels.shape[:2], sample)
    return pixels, frame.fault


@pytest.mark.tries('a GeoTIFF where rasterio is missing')
def test_without_rasterio_the_loss_is_named(segmentor, scene, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(writers, 'print_log', lambda line, *_: lines.append(line))
    monkeypatch.setattr(scenes, 'find_spec', lambda name: None)
    # the size of a pixel on the ground, and the place of one
    tags = {33550: (0.09, 0.09, 0.0), 33922: (0.0, 0.0, 0.0, 497000.0, 5419000.0, 0.0)}
    for name, info in (('geo', tags), ('plain', {})):
        path = tmp_path / f'{name}.tif'
        Image.fromarray(scene[..., ::-1]).save(path, tiffinfo=info)
        _write_all(segmentor, path, tmp_path, tile=64)
        labels = cv2.imread(str(tmp_path / f'labels/{name}.png'), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(labels, _labels(segmentor.predict(scene)[0])[0].numpy() + 1)
    (line,) = lines
    assert 'geo.png does not say where' in line and 'geo.tif is on the ground: pip' in line


@pytest.mark.parametrize('beside', ['a.tfw', 'a.TFW', 'a.wld', 'a_RPC.TXT'])
def test_without_rasterio_files_beside_are_lost(scene, tmp_path, monkeypatch, beside):
    monkeypatch.setattr(scenes, 'find_spec', lambda name: None)
    path = str(tmp_path / 'a.tif')
    Image.fromarray(scene).save(path)
    assert not scenes.loses_ground(path)
    (tmp_path / beside).touch()
    assert scenes.loses_ground(path)


@pytest.fixture
def rasterio():
    return pytest.importorskip('rasterio', reason='GeoTIFFs need rasterio, of the extra geo')


@pytest.fixture
def geotiff(rasterio, scene, tmp_path):
    """A function that writes pixels of shape (bands, H, W), and returns file and place."""

    def write(bands, name='a.tif', **options):
        place = dict(
            crs='EPSG:25832',
            transform=rasterio.Affine(0.09, 0, 497000, 0, -0.09, 5419000),
        )
        place.update(options)
        count, height, width = bands.shape
        kind = dict(driver='GTiff', dtype=bands.dtype, count=count, height=height, width=width)
        with rasterio.open(tmp_path / name, 'w', **kind, **place) as file:
            file.write(bands)
        return tmp_path / name

    return write


def _bands(scene, number):
    """(H, W, 3) in BGR -> (number, H, W) in RGB, with a fourth one of infrared."""
    rgb = scene[..., ::-1].transpose(2, 0, 1)
    return np.concatenate([rgb, 255 - rgb[:1]])[:number]


@pytest.mark.parametrize('number, alpha', [(1, 'no'), (3, 'no'), (4, 'no'), (4, 'yes')])
def test_a_geotiff_is_read_by_windows(segmentor, scene, geotiff, number, alpha):
    kind = 'RGB' if number > 1 else 'MINISBLACK'
    path = str(geotiff(_bands(scene, number), photometric=kind, alpha=alpha))
    (whole,) = segmentor.predict(path)
    segmentor.model.sizes.clear()
    ((_, pixels, tiled),) = segmentor.stream(find_sources([path]).frames(), tile=64)
    assert isinstance(pixels, scenes.Scene) and set(segmentor.model.sizes) == {(64, 64)}
    assert _labels(tiled).equal(_labels(whole))
    # what OpenCV loads
    assert np.array_equal(pixels[:, :], cv2.imread(path))
    assert pixels[::4, ::4].shape == cv2.imread(path)[::4, ::4].shape


def test_the_ground_is_kept(segmentor, scene, geotiff, rasterio, tmp_path):
    path = geotiff(_bands(scene, 3))
    for options in (dict(tile=64), {}):
        _write_all(segmentor, path, tmp_path, **options)
        with rasterio.open(path) as given, rasterio.open(tmp_path / 'labels/a.tif') as found:
            assert found.crs == given.crs and found.transform == given.transform
            assert (found.shape, found.count, found.dtypes) == (given.shape, 1, ('uint8',))
            labels = found.read(1)
        assert np.array_equal(labels, _labels(segmentor.predict(scene)[0])[0].numpy() + 1)


def test_points_on_the_ground_are_kept(segmentor, scene, geotiff, rasterio, tmp_path):
    point = rasterio.control.GroundControlPoint(row=1, col=2, x=497000, y=5419000)
    path = geotiff(_bands(scene, 3), transform=None, gcps=[point])
    _write_all(segmentor, path, tmp_path, tile=64)
    with rasterio.open(tmp_path / 'labels/a.tif') as found:
        (kept,), system = found.gcps
        assert (kept.row, kept.col, kept.x, kept.y) == (1, 2, 497000, 5419000)
        assert system.to_epsg() == 25832


def test_the_camera_is_kept(segmentor, scene, geotiff, rasterio, tmp_path, monkeypatch):
    scales = dict.fromkeys(('height', 'lat', 'long', 'line', 'samp'), 2.0)
    camera = rasterio.rpc.RPC(
        **{f'{name}_{key}': n for name, n in scales.items() for key in ('off', 'scale')},
        **{
            f'{axis}_{part}_coeff': [1.0 + i for i in range(20)]
            for axis in ('line', 'samp')
            for part in ('num', 'den')
        },
    )
    path = geotiff(_bands(scene, 3), crs=None, transform=None, rpcs=camera)
    _write_all(segmentor, path, tmp_path, tile=64)
    with rasterio.open(path) as given, rasterio.open(tmp_path / 'labels/a.tif') as found:
        assert found.rpcs.to_dict() == given.rpcs.to_dict()
    monkeypatch.setattr(scenes, 'find_spec', lambda name: None)
    assert scenes.loses_ground(str(path))


def test_gray_that_is_not_from_black_to_255_is_read_whole(scene, geotiff):
    gray = _bands(scene, 1)
    white = geotiff(gray, 'white.tif', photometric='MINISWHITE')
    few = geotiff(gray // 16, 'few.tif', nbits=4)
    assert scenes.open_scene(str(white)) is None and scenes.open_scene(str(few)) is None
    few = geotiff(_bands(scene, 3) // 16, 'few.tif', nbits=4, photometric='RGB')
    assert scenes.open_scene(str(few)) is None


@pytest.mark.parametrize('value', [3, 6])
def test_a_tiff_that_exif_turns_is_read_whole(scene, geotiff, value):
    path = str(geotiff(_bands(scene, 3)))
    with Image.open(path) as file:
        file.load()
        exif = file.getexif()
        exif[0x0112] = value
        file.save(path, exif=exif)
    assert scenes.open_scene(path) is None and scenes.find_ground(path) == {}


def test_jpeg_is_decoded_alike(scene, geotiff):
    path = str(geotiff(_bands(scene, 3), compress='JPEG', photometric='YCBCR', jpeg_quality=90))
    difference = np.abs(scenes.open_scene(path)[:, :].astype(int) - cv2.imread(path))
    assert 0 < difference.mean() < 1


def test_what_windows_do_not_take_is_read_whole(segmentor, scene, geotiff, tmp_path):
    wide = geotiff(_bands(scene, 3).astype(np.uint16) * 200, 'wide.tif')
    assert scenes.open_scene(str(wide)) is None
    assert scenes.open_scene(str(tmp_path / 'none.tif')) is None
    plain = geotiff(_bands(scene, 3), 'plain.tif', crs=None, transform=None)
    assert scenes.open_scene(str(plain)) is not None and scenes.find_ground(str(plain)) == {}


@pytest.mark.tries('a TIFF that is damaged inside')
def test_a_damaged_window_is_named(segmentor, scene, geotiff, tmp_path):
    path = geotiff(_bands(scene, 3), tiled=True, blockxsize=64, blockysize=64)
    path.write_bytes(path.read_bytes()[:60_000])
    _, fault = _write_all(segmentor, path, tmp_path, tile=64)
    assert 'a.tif is damaged in the rows' in fault and not (tmp_path / 'labels').exists()
    with pytest.raises(UserError, match='is damaged'):
        segmentor.predict(str(path), tile=64)
