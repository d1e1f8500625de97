"""What the options of tools/test.py make of a config."""

import os.path as osp
from collections.abc import Iterator

from mmengine.config import Config

from ..errors import UserError
from .config import walk
from .preflight import check_display, check_folder

# by default_scope: the metric that dumps predictions, where it is not
# mmengine's own
DUMP_METRICS = dict(mmdet='DumpDetResults')


def use_tta(cfg: Config) -> None:
    """Change a config so that it tests with augmentation (``--tta``).

    Args:
        cfg (Config): A whole config; it is changed.

    Raises:
        UserError: If it does not say how.
    """
    lacking = [k for k in ('tta_model', 'tta_pipeline') if not cfg.get(k)]
    if lacking:
        raise UserError(
            f'--tta: the config has no {" and no ".join(lacking)}; '
            'configs/mmseg/_base_/datasets/ade20k.py and default_runtime.py '
            'beside it show them for a segmentor'
        )
    # wrapped and concatenated data sets too
    for _, node in walk(cfg.get('test_dataloader') or {}):
        if 'pipeline' in node:
            node['pipeline'] = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def dump_predictions(cfg: Config, out: str) -> None:
    """Change a config so that it writes what it predicts (``--out``).

    Args:
        cfg (Config): A whole config; it is changed.
        out (str): For a config of mmseg a folder, which gets an index PNG
            for each image, see `DumpLabelMaps`. For others a ``.pkl`` file.

    Raises:
        UserError: If ``out`` is of the other kind or cannot be written, or
            if it is a folder of the data.
    """
    metrics = cfg.get('test_evaluator') or []
    metrics = [*metrics] if isinstance(metrics, (list, tuple)) else [metrics]
    pickled = out.endswith(('.pkl', '.pickle'))
    if cfg.get('default_scope') == 'mmseg':
        if pickled:
            raise UserError(
                f'--out is the folder of the label maps for a config of mmseg, got {out}'
            )
        place = osp.join(osp.realpath(out), '')
        for folder in _data_folders(cfg):
            if place.startswith(osp.join(osp.realpath(folder), '')):
                raise UserError(
                    f'--out {out} is a folder of the data, whose '
                    'files it would write over: give another'
                )
        check_folder(out, '--out')
        dump = dict(type='DumpLabelMaps', out_dir=out, roots=list(_data_folders(cfg, 'img_path')))
    else:
        if not pickled:
            raise UserError(f'--out must end in .pkl or .pickle, got {out}')
        folder = osp.dirname(osp.abspath(out))
        if not osp.isdir(folder):
            raise UserError(f'--out: there is no folder {folder}')
        dump = dict(
            type=DUMP_METRICS.get(cfg.get('default_scope'), 'DumpResults'), out_file_path=out
        )
    cfg.test_evaluator = [*metrics, dump]


def _data_folders(cfg: Config, name: str | None = None) -> Iterator[str]:
    """Yield the folders of the test set, or those of one kind."""
    for _, node in walk(cfg.get('test_dataloader') or {}):
        prefix = node.get('data_prefix')
        for key, folder in (prefix or {}).items():
            if folder is not None and name in (None, key):
                yield osp.join(node.get('data_root') or '', folder)


def paint_predictions(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    """Change a config so that it paints (``--show`` and ``--show-dir``).

    Args:
        cfg (Config): A whole config; it is changed.
        show (bool): Show each image in a window.
        show_dir (str, optional): The folder for painted images. As in
            mmdet, a relative one is below ``work_dir/TIMESTAMP``. As in
            mmseg, a relative one is below the current folder, and the
            images are in its ``vis_data/vis_image``. As in mmpretrain, a
            relative one is below the current folder.
        wait_time (float): Seconds that an image is shown.

    Raises:
        UserError: If there is no screen, if the folder cannot be written,
            or if nothing in the config paints.
    """
    if show:
        check_display()
    scope = cfg.get('default_scope')
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        raise UserError(
            '--show and --show-dir need a visualization hook in the default_hooks of the config'
        )
    # mmpretrain has another word for it
    hook['enable' if scope == 'mmpretrain' else 'draw'] = True
    hook.update(show=show, wait_time=wait_time)
    if scope in ('mmpretrain', 'mmseg'):
        # they paint one image of many otherwise, mmseg 1.2 in a test too
        hook['interval'] = 1
    if show_dir is None:
        return
    if scope != 'mmseg':
        hook['test_out_dir' if scope == 'mmdet' else 'out_dir'] = show_dir
        return
    # mmseg's hook leaves the place to what the visualizer writes with
    painter = cfg.get('visualizer')
    if not (painter or {}).get('vis_backends'):
        raise UserError(
            '--show-dir needs a visualizer in the config with '
            "vis_backends=[dict(type='LocalVisBackend')]"
        )
    check_folder(show_dir, '--show-dir')
    painter['save_dir'] = show_dir
