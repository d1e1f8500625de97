"""One row for each library of the OpenMMLab family that a config may run on.

Support for another library is another row, an extra in setup.cfg and a line in
`sparx_mm.info`, which works without mmengine.
"""

from typing import NamedTuple

from mmengine.config import Config


class Library(NamedTuple):
    """Facts about the library that ``default_scope`` of a config names.

    The defaults are those of a library without a row.

    Args:
        packages (tuple[str, ...]): Import packages that its configs need.
        remedy (str): What to type when one of them is missing.
        count_shape (tuple[int, int]): Image height and width in pixels at
            which its models are usually counted.
        dump_metric (str): Metric that writes predictions, for ``--out``.
        dumps_folder (bool): True if ``--out`` is a folder of label maps,
            False if it is a ``.pkl`` file.
        draw_key (str): Argument of the visualization hook that switches it
            on.
        draw_interval (int, optional): Argument ``interval`` of the
            visualization hook by which every image is drawn. None: the hook
            draws every image anyway.
        show_dir_key (str, optional): Argument of the visualization hook for
            ``--show-dir``. None if its visualizer has the folder, as
            ``save_dir``.
        plain_data_prefix (bool): True if the ``data_prefix`` of its data
            sets may be a string.
        split_is_folder (tuple[str, ...]): Data sets whose ``split`` names
            their folder when there is no ``data_prefix``.
        auto_downloaded (tuple[str, ...]): Data sets that download what is
            missing.
        checked_loaders (tuple[str, ...]): Modules of `sparx_mm.engine.transforms`
            whose ``install`` makes its pipelines name files that do not fit.
        label_metrics (tuple[str, ...]): Metrics that compare with label maps,
            unless they have ``format_only``.
        needs_gpu (tuple[str, ...]): Parts of its models that cannot be
            trained on a CPU, because their operators in mmcv are for CUDA
            alone.
        task (str): What its models predict: ``'detection'``, ``'segmentation'`` or
            ``'classification'``; ``''`` if it is unknown.
        visualizer (str): Type that draws its predictions.
        empty_set (str): Type of data set that knows classes without a file.
        parts (tuple[str, ...]): Modules of this package that register parts in it and are
            not imported with the package.
        tta_model (dict, optional): Config of its model for test-time augmentation, for
            configs that define none. None if it has no such model.
    """

    packages: tuple[str, ...] = ()
    remedy: str = "pip install -e '.[onedl]' in the clone and an environment that has torch"
    count_shape: tuple[int, int] = (224, 224)
    dump_metric: str = 'DumpResults'
    dumps_folder: bool = False
    draw_key: str = 'draw'
    draw_interval: int | None = None
    show_dir_key: str | None = 'out_dir'
    plain_data_prefix: bool = False
    split_is_folder: tuple[str, ...] = ()
    auto_downloaded: tuple[str, ...] = ()
    checked_loaders: tuple[str, ...] = ('load_image',)
    label_metrics: tuple[str, ...] = ()
    needs_gpu: tuple[str, ...] = ()
    task: str = ''
    visualizer: str = 'Visualizer'
    empty_set: str = 'BaseDataset'
    parts: tuple[str, ...] = ()
    tta_model: dict | None = None


LIBRARIES = dict(
    mmdet=Library(
        packages=('mmdet', 'mmcv', 'mmcv._ext'),
        count_shape=(800, 1280),
        dump_metric='DumpDetResults',
        show_dir_key='test_out_dir',
        task='detection',
        visualizer='DetLocalVisualizer',
        empty_set='BaseDetDataset',
        tta_model=dict(
            type='DetTTAModel',
            tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
        ),
    ),
    mmseg=Library(
        packages=('mmseg', 'mmcv', 'mmcv._ext'),
        count_shape=(512, 2048),
        dump_metric='DumpLabelMaps',
        dumps_folder=True,
        checked_loaders=('load_image', 'load_seg_map'),
        draw_interval=1,
        show_dir_key=None,
        label_metrics=('IoUMetric', 'SelectiveIoUMetric', 'CityscapesMetric'),
        task='segmentation',
        visualizer='SegLocalVisualizer',
        empty_set='BaseSegDataset',
        parts=('sparx_mm.decode_heads',),
        tta_model=dict(type='SegTTAModel'),
    ),
    mmpretrain=Library(
        packages=('mmpretrain', 'mmcv', 'mmcv._ext', 'torchvision'),
        # the extra would install the torch that its torchvision is made for
        remedy='pip install onedl-mmpretrain and the torchvision of your torch',
        draw_key='enable',
        draw_interval=1,
        plain_data_prefix=True,
        split_is_folder=('ImageNet',),
        auto_downloaded=('CIFAR10', 'CIFAR100', 'FashionMNIST', 'MNIST'),
        task='classification',
        visualizer='UniversalVisualizer',
        empty_set='CustomDataset',
        parts=('sparx_mm.distillation',),
        tta_model=dict(type='AverageClsScoreTTA'),
    ),
    mmrotate=Library(
        packages=('mmrotate', 'mmdet', 'mmcv', 'mmcv._ext', 'torchvision'),
        remedy="pip install -e '.[onedl,rotate]' in the clone and the torchvision of your torch",
        count_shape=(1024, 1024),
        # mmdet's, as its visualization hook is
        dump_metric='mmdet.DumpDetResults',
        show_dir_key='test_out_dir',
        needs_gpu=(
            'RotatedIoULoss',
            'ConvexGIoULoss',
            'BCConvexGIoULoss',
            'MaxConvexIoUAssigner',
            'SASAssigner',
            'RotatedRepPointsHead',
            'OrientedRepPointsHead',
            'SAMRepPointsHead',
        ),
        task='detection',
        visualizer='RotLocalVisualizer',
        empty_set='mmdet.BaseDetDataset',
    ),
)


def find_library(cfg: Config) -> Library:
    """Find the library that a config runs on.

    Args:
        cfg (Config): A whole config.

    Returns:
        Library: Its row; without packages for a config of mmengine alone.
    """
    scope = cfg.get('default_scope')
    if scope in (None, 'mmengine'):
        return Library(checked_loaders=())
    return LIBRARIES.get(scope) or Library(packages=(scope, 'mmcv', 'mmcv._ext'))
