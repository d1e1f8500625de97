"""Changes to a config that the options of tools/test.py ask for."""

import os.path as osp
from collections.abc import Callable
from functools import wraps

from mmengine.config import Config
from mmengine.visualization import Visualizer

from ..config_nodes import walk
from ..data_checks import data_folders
from ..errors import UserError
from ..libraries import find_library
from .preflight import check_display, ensure_writable


def use_tta(cfg: Config) -> None:
    """Change a config so that it tests with augmentation (``--tta``).

    Args:
        cfg (Config): A whole config; it is changed.

    Raises:
        UserError: If it does not define the augmentation.
    """
    lacking = [k for k in ('tta_model', 'tta_pipeline') if not cfg.get(k)]
    if lacking:
        raise UserError(
            f'--tta: the config has no {" and no ".join(lacking)}; '
            'configs/mmseg/_base_/datasets/ade20k.py and default_runtime.py '
            'beside it show them for a segmentor'
        )
    # walked, because data sets may be wrapped or concatenated
    for _, node in walk(cfg.get('test_dataloader') or {}):
        if 'pipeline' in node:
            node['pipeline'] = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def dump_predictions(cfg: Config, out: str) -> None:
    """Change a config so that it writes its predictions (``--out``).

    Args:
        cfg (Config): A whole config; it is changed.
        out (str): ``.pkl`` file. For a config of mmseg, a folder that gets an
            index PNG for each image; see `DumpLabelMaps`.

    Raises:
        UserError: If ``out`` is of the other kind or cannot be written, or
            if it is a folder of the data.
    """
    library = find_library(cfg)
    dump = dict(type=library.dump_metric)
    pickled = out.endswith(('.pkl', '.pickle'))
    if library.dumps_folder:
        if pickled:
            raise UserError(
                f'--out is the folder of the label maps for a config of {cfg.default_scope}, '
                f'got {out}'
            )
        place = osp.join(osp.realpath(out), '')
        for folder in data_folders(cfg, 'test'):
            if place.startswith(osp.join(osp.realpath(folder), '')):
                raise UserError(
                    f'--out {out} is a folder of the data, whose '
                    'files it would write over: give another'
                )
        ensure_writable(out, '--out')
        dump.update(out_dir=out, roots=list(data_folders(cfg, 'test', 'img_path')))
    else:
        if not pickled:
            raise UserError(f'--out must end in .pkl or .pickle, got {out}')
        folder = osp.dirname(osp.abspath(out))
        if not osp.isdir(folder):
            raise UserError(f'--out: there is no folder {folder}')
        dump.update(out_file_path=out)
    metrics = cfg.get('test_evaluator') or []
    metrics = metrics if isinstance(metrics, (list, tuple)) else [metrics]
    cfg.test_evaluator = [*metrics, dump]


def paint_predictions(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Change a config so that it paints (``--show`` and ``--show-dir``).

    Args:
        cfg (Config): A whole config; it is changed.
        show (bool): Show each image in a window.
        show_dir (str, optional): Folder for painted images. A relative one is
            below ``work_dir/TIMESTAMP`` for mmdet and mmrotate, and below the
            current folder for mmseg and mmpretrain. mmseg puts the images
            into its ``vis_data/vis_image``.
        wait_time (float): Seconds that an image is shown.

    Raises:
        UserError: If there is no screen, if the folder cannot be written,
            or if nothing in the config paints.
    """
    if show:
        check_display()
    library = find_library(cfg)
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise UserError(
            '--show and --show-dir need a visualization hook in the default_hooks of the config'
        )
    hook[library.draw_key] = True
    hook.update(show=show, wait_time=wait_time)
    if library.draw_interval is not None:
        hook['interval'] = library.draw_interval
    if show_dir is None:
        return
    if library.show_dir_key is not None:
        hook[library.show_dir_key] = show_dir
        return
    painter = cfg.get('visualizer')
    if not (painter or {}).get('vis_backends'):
        raise UserError(
            '--show-dir needs a visualizer in the config with '
            "vis_backends=[dict(type='LocalVisBackend')]"
        )
    ensure_writable(show_dir, '--show-dir')
    painter['save_dir'] = show_dir


def keep_subfolders(visualizer: Visualizer, cfg: Config) -> None:
    """Let a visualizer write into the subfolders that its images are in.

    The hooks of the libraries name a picture after its image alone, so that those
    of equal names in several folders overwrote each other.

    Args:
        visualizer (Visualizer): Visualizer of a test; its methods are wrapped.
        cfg (Config): The config of the test.
    """
    folders = [osp.abspath(folder) for folder in data_folders(cfg, 'test') if '://' not in folder]
    root = osp.commonpath(folders) if folders else None
    for name in ('add_datasample', 'visualize_cls'):
        paint = getattr(visualizer, name, None)
        if paint is not None and root is not None:
            setattr(visualizer, name, _into_subfolder(paint, root))


def _into_subfolder(paint: Callable, root: str) -> Callable:
    @wraps(paint)
    def painted(*args, data_sample=None, out_file=None, **kwargs):
        given = None if data_sample is None else data_sample.get('img_path')
        path = osp.abspath(given or root)
        if out_file is not None and path.startswith(osp.join(root, '')):
            folder, name = osp.split(out_file)
            out_file = osp.join(folder, osp.relpath(osp.dirname(path), root), name)
            out_file = osp.normpath(out_file)
        return paint(*args, data_sample=data_sample, out_file=out_file, **kwargs)

    return painted
