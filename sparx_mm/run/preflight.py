"""Checks before anything is built: data, weights, packages, device.

Each raises a `UserError` of one line that says what was looked for, where,
and what to type.
"""

import os
import os.path as osp
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from mmengine.config import Config
from mmengine.device import get_device
from torch.cuda import device_count

from ..checkpoint_io import CheckpointError, DownloadError, checkpoint_kind, fetch
from ..compat import torchvision_stub
from ..errors import UserError
from .config import walk
from .distributed import LAUNCHERS
from .seg_folders import check_seg_folders, find_deeper

# types in an init_cfg that read a checkpoint
_FROM_FILES = ('Pretrained', 'PretrainedSwin')
# sets of mmpretrain that download what they do not find
FETCHED = ('CIFAR10', 'CIFAR100', 'FashionMNIST', 'MNIST')


class Need(NamedTuple):
    """A file or folder that a config asks for.

    Args:
        path (str): Where it is expected.
        key (str): The config key that names it.
        option (str): What to give to ``--cfg-options`` for another place.
    """

    path: str
    key: str
    option: str


def check_packages(cfg: Config) -> None:
    """Check that the library which the config's scope names is installed.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If it, or mmcv with its operators, is missing.
    """
    scope = cfg.get('default_scope')
    if scope in (None, 'mmengine'):
        return
    names = scope, 'mmcv', 'mmcv._ext'
    remedy = "pip install -e '.[onedl]' in the clone and an environment that has torch"
    if scope == 'mmpretrain':
        names = *names, 'torchvision'
        # the extra would bring the torch that its torchvision is made for
        remedy = 'pip install onedl-mmpretrain and the torchvision of your torch'
        why_hidden = torchvision_stub.install()
        if why_hidden:
            raise UserError(
                'this config runs on mmpretrain, and torchvision '
                f'cannot be imported: {why_hidden}; install the '
                'one of this torch'
            )
    for name in names:
        try:
            found = find_spec(name) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            raise UserError(
                f'this config runs on {scope}, and {name} is not installed: '
                f'run `make setup`, or {remedy}'
            )


def check_launcher(cfg: Config) -> None:
    """Check that a distributed run was started by its launcher.

    Args:
        cfg (Config): A whole config, with ``launcher`` set.

    Raises:
        UserError: If it was not, or if there are more processes than GPUs.
    """
    launcher = LAUNCHERS.get(cfg.launcher)
    if launcher is None:
        return
    for variable in (launcher.rank, launcher.local_rank):
        if variable not in os.environ:
            raise UserError(
                f'--launcher {cfg.launcher}: {variable} is not set; start the '
                f'tool with {launcher.command}, or leave the option out'
            )
    if get_device() != 'cuda':
        return
    # each process takes the GPU of its number
    local_rank = int(os.environ[launcher.local_rank])
    needed = int(os.environ.get(launcher.local_size, local_rank + 1))
    visible = device_count()
    if max(needed, local_rank + 1) > visible:
        raise UserError(
            f'{needed} processes need a GPU each on this machine and '
            f'{visible} are visible: start {visible}, or run on the CPU with '
            'CUDA_VISIBLE_DEVICES= before the command'
        )


def check_work_dir(cfg: Config) -> None:
    """Create the folder of the run.

    Args:
        cfg (Config): A whole config, with ``work_dir`` set.

    Raises:
        UserError: If it cannot be written.
    """
    check_folder(cfg.work_dir, '--work-dir')


def check_folder(path: str, option: str) -> None:
    """Create a folder for what a run writes.

    Args:
        path (str): The folder.
        option (str): The option that chooses it.

    Raises:
        UserError: If it cannot be written.
    """
    try:
        os.makedirs(path, exist_ok=True)
        writable = os.access(path, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise UserError(
            f'{osp.abspath(path)} cannot be written: choose another folder with {option}'
        )


def check_device(cfg: Config) -> None:
    """Check that mmcv's operators run where mmengine would.

    Args:
        cfg (Config): A whole config; its packages are there.

    Raises:
        UserError: If they were compiled without those for its GPU.
    """
    if (
        cfg.get('default_scope') not in (None, 'mmengine')
        and get_device() == 'cuda'
        and not mmcv_has_cuda()
    ):
        raise UserError(
            "mmcv's operators were compiled for the CPU only: run on it "
            'with CUDA_VISIBLE_DEVICES= before the command, or install '
            'nvcc and run `make setup`'
        )


def check_amp(cfg: Config) -> None:
    """Check that the device can train in the precision asked for.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If float16 has no GPU.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    if wrapper.get('type') == 'AmpOptimWrapper' and get_device() == 'cpu':
        raise UserError(
            'float16 (AmpOptimWrapper) needs a GPU and none is visible: take '
            'bfloat16 with --amp-dtype bfloat16, or in the config with '
            "optim_wrapper.type='BFloat16OptimWrapper'"
        )


def mmcv_has_cuda() -> bool:
    """Whether mmcv's operators were compiled for CUDA too."""
    ops = import_module('mmcv._ext')
    return ops.get_compiling_cuda_version() != 'not available'


def check_display() -> None:
    """Check that there is a screen to show windows on.

    Raises:
        UserError: If there is none.
    """
    variables = ('DISPLAY', 'WAYLAND_DISPLAY')
    if sys.platform == 'linux' and not any(map(os.environ.get, variables)):
        raise UserError(
            '--show needs a screen and DISPLAY is not set: paint '
            'into a folder with --show-dir instead'
        )


def check_data(cfg: Config, splits: Sequence[str]) -> None:
    """Check that the annotation files and image folders are there.

    Of sets for semantic segmentation, the files in the folders too.

    Args:
        cfg (Config): A whole config.
        splits (Sequence[str]): Of ``'train'``, ``'val'`` and ``'test'``.

    Raises:
        UserError: If one is missing.
    """
    missing = [
        need for split in splits for need in data_needs(cfg, split) if not osp.exists(need.path)
    ]
    if missing:
        more = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
        deeper = find_deeper(missing[0].path)
        deeper = f', but there is {deeper}' if deeper else ''
        options = ' '.join(dict.fromkeys(need.option for need in missing))
        source = cfg.get('data_source')
        source = f' ({source})' if source else ''
        raise UserError(
            f'data set not found: {osp.abspath(missing[0].path)} '
            f'({missing[0].key}){more}{deeper}; put or link it there{source}, '
            f'or give its place: --cfg-options {options}'
        )
    for split in splits:
        for key, node, labelled in _seg_sets(cfg, split):
            check_seg_folders(node, key, labelled, cfg.get('default_scope'))


def data_needs(cfg: Config, split: str) -> Iterator[Need]:
    """List what the data of a split consists of.

    Args:
        cfg (Config): A whole config.
        split (str): ``'train'``, ``'val'`` or ``'test'``.

    Yields:
        Need: Each annotation file and data folder, those of wrapped and
        concatenated data sets too; nothing on remote storage.
    """
    loader = f'{split}_dataloader'
    for key, node in walk(cfg.get(loader) or {}, loader):
        if not {'ann_file', 'data_prefix', 'split'} & set(node):
            continue
        if _is_remote(node) or node.get('type') in FETCHED:
            continue
        root = node.get('data_root') or ''
        names = {'ann_file': node.get('ann_file')}
        prefixes = node.get('data_prefix') or {}
        if isinstance(prefixes, str) and cfg.get('default_scope') == 'mmpretrain':
            names['data_prefix'] = prefixes
        elif isinstance(prefixes, dict):
            for name, prefix in prefixes.items():
                names[f'data_prefix.{name}'] = prefix
        else:
            raise UserError(f'{key}.data_prefix must be a dict of folders, got {prefixes!r}')
        if node.get('type') == 'ImageNet' and not prefixes:
            # the folder of a split has its name
            names['split'] = node.get('split')
        for name, path in names.items():
            if path:
                yield Need(
                    osp.join(root, path),
                    f'{key}.{name}',
                    f'{key}.data_root=DIR' if root or name == 'split' else f'{key}.{name}=PATH',
                )
    evaluator = f'{split}_evaluator'
    for key, node in walk(cfg.get(evaluator) or {}, evaluator):
        if node.get('ann_file') and not _is_remote(node):
            yield Need(node['ann_file'], f'{key}.ann_file', f'{key}.ann_file=FILE')


def _seg_sets(cfg, split):
    """Yield key and config of each set, and whether its labels are read."""
    loader = f'{split}_dataloader'
    for key, node in walk(cfg.get(loader) or {}, loader):
        prefix = node.get('data_prefix') or {}
        if {'img_path', 'seg_map_path'} <= set(prefix) and not _is_remote(node):
            # a test split may have none
            steps = walk(node.get('pipeline') or [])
            labelled = any('Annotation' in str(step.get('type')) for _, step in steps)
            yield key, node, labelled and bool(prefix['seg_map_path'])


def _is_remote(node: dict) -> bool:
    backend = (node.get('backend_args') or {}).get('backend', 'local')
    paths = [node.get('data_root'), node.get('ann_file')]
    return backend != 'local' or any('://' in path for path in paths if path)


def check_weights(cfg: Config) -> None:
    """Check the files that a model is initialised from.

    Those of every ``Pretrained`` and ``PretrainedSwin`` in it.
    Those given by URL are downloaded here, where a failure can be told in
    one line.

    Args:
        cfg (Config): A whole config.

    Raises:
        UserError: If a file is missing or cannot be fetched.
    """
    for key, node in walk(cfg.get('model') or {}, 'model'):
        if node.get('type') in _FROM_FILES and node.get('checkpoint'):
            check_checkpoint(
                node['checkpoint'],
                f'{key}.checkpoint',
                f'give a file with --cfg-options {key}.checkpoint=FILE, or '
                f'train from scratch with {key}=None',
            )


def forget_weights(cfg: Config) -> None:
    """Drop the model's own files of weights: a checkpoint brings them all.

    Args:
        cfg (Config): A whole config; it is changed.
    """
    for _, node in walk(cfg.get('model') or {}):
        if node.get('init_cfg') is not None:
            several = isinstance(node['init_cfg'], (list, tuple))
            kept = node['init_cfg'] if several else [node['init_cfg']]
            kept = [one for one in kept if one.get('type') not in _FROM_FILES]
            node['init_cfg'] = kept or None


def check_checkpoint(path: str, what: str, remedy: str = '') -> None:
    """Check that a checkpoint is a file, or fetch it if it is a URL.

    Args:
        path (str): A file, an http(s) URL, or a name that mmengine resolves
            (``open-mmlab://...``), which is left to it.
        what (str): What the path was given as.
        remedy (str): What to do without it. Default: ``''``.

    Raises:
        UserError: If it is missing or cannot be fetched.
    """
    remedy = f'; {remedy}' if remedy else ''
    try:
        if path.startswith(('http://', 'https://')):
            fetch(path)
        elif '://' not in path:
            checkpoint_kind(path)
    except (CheckpointError, DownloadError) as error:
        raise UserError(f'{what}: {error}{remedy}') from error


def last_checkpoint(work_dir: str) -> str | None:
    """Find what ``--resume`` continues from.

    Args:
        work_dir (str): The folder of the run.

    Returns:
        str or None: The checkpoint saved last; None if there is none.

    Raises:
        UserError: If the folder names one that is gone.
    """
    pointer = osp.join(work_dir, 'last_checkpoint')
    if not osp.isfile(pointer):
        return None
    with open(pointer, errors='replace') as file:
        path = file.read().strip() or 'nothing'
    others: list[str] = sorted(name for name in os.listdir(work_dir) if name.endswith('.pth'))
    remedy = f'resume from another with --resume {work_dir}/FILE' + (
        f' (there are {", ".join(others)})' if others else ''
    )
    check_checkpoint(path, pointer, remedy)
    return path
