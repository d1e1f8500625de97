"""What the options of tools/test.py make of a config."""
import os
import os.path as osp
from typing import Optional

from mmengine.config import Config, ConfigDict

from ..errors import UserError
from .preflight import check_display

# by default_scope: the metric that dumps predictions, where it is not
# mmengine's own
DUMP_METRICS = dict(mmdet='DumpDetResults')
# the metric of mmseg that writes label maps
MAP_METRIC = 'IoUMetric'


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
            'beside it show them for a segmentor')
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    while 'dataset' in dataset:
        dataset = dataset['dataset']
    dataset['pipeline'] = cfg.tta_pipeline
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)


def dump_predictions(cfg: Config, out: str) -> None:
    """Change a config so that it writes what it predicts (``--out``).

    Args:
        cfg (Config): A whole config; it is changed.
        out (str): For a config of mmseg a folder, which gets an index PNG
            for each image, with the labels that the data set's own files
            have. For others a ``.pkl`` file.

    Raises:
        UserError: If ``out`` is of the other kind or cannot be made, or if
            no metric of the config writes label maps.
    """
    metrics = cfg.get('test_evaluator') or []
    metrics = metrics if isinstance(metrics, list) else [metrics]
    pickled = out.endswith(('.pkl', '.pickle'))
    if cfg.get('default_scope') == 'mmseg':
        writers = [m for m in metrics if m.get('type') == MAP_METRIC]
        if not writers:
            raise UserError(f'--out needs an {MAP_METRIC} in test_evaluator, '
                            'which writes the label maps')
        try:
            if pickled:
                raise NotADirectoryError
            os.makedirs(out, exist_ok=True)
        except OSError as error:
            raise UserError('--out is the folder of the label maps for a '
                            f'config of mmseg, and {out} cannot be one') \
                from error
        for metric in writers:
            metric['output_dir'] = out
        return
    if not pickled:
        raise UserError(f'--out must end in .pkl or .pickle, got {out}')
    if not osp.isdir(osp.dirname(osp.abspath(out))):
        raise UserError('--out: there is no folder '
                        f'{osp.dirname(osp.abspath(out))}')
    dump = DUMP_METRICS.get(cfg.get('default_scope'), 'DumpResults')
    cfg.test_evaluator = [*metrics, dict(type=dump, out_file_path=out)]


def paint_predictions(cfg: Config, show: bool, show_dir: Optional[str],
                      wait_time: float) -> None:
    """Change a config so that it paints (``--show`` and ``--show-dir``).

    Args:
        cfg (Config): A whole config; it is changed.
        show (bool): Show each image in a window.
        show_dir (str, optional): The folder for painted images. As in
            mmdet, a relative one is below ``work_dir/TIMESTAMP``; as in
            mmseg, the images are in its ``vis_data/vis_image``.
        wait_time (float): Seconds that an image is shown.

    Raises:
        UserError: If there is no screen, or nothing in the config that
            paints.
    """
    if show:
        check_display()
    scope = cfg.get('default_scope')
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    painter = cfg.get('visualizer')
    if hook is None or (scope == 'mmseg' and painter is None):
        raise UserError('--show and --show-dir need a visualization hook in '
                        'the default_hooks of the config, and a visualizer')
    hook.update(draw=True, show=show, wait_time=wait_time)
    if show_dir is None:
        return
    if scope == 'mmseg':
        # mmseg's hook leaves the place to the visualizer's backends
        painter['save_dir'] = show_dir
    else:
        hook['test_out_dir' if scope == 'mmdet' else 'out_dir'] = show_dir
