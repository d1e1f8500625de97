"""The check that COCO metrics have the annotations of the images they are given."""

import logging
import os.path as osp
from collections.abc import Iterator, Sequence

from mmengine.logging import print_log

from ...errors import UserError


def check_images(metrics: Sequence, dataset, samples: Sequence) -> None:
    """Check that each image of a data set is one of the metrics' annotation files.

    If a file has more images than the data set, a line in the log says so.

    Args:
        metrics (Sequence[BaseMetric]): Metrics; those without a COCO file are not
            checked.
        dataset (Dataset): The data set. Of one that does not list its images only
            the samples are checked.
        samples (Sequence): Some of its samples, with ``img_id`` and ``img_path``.

    Raises:
        UserError: If an image has another id or file name in the annotation file, or is
            not in it.
    """
    apis = [api for api in (getattr(m, '_coco_api', None) for m in metrics) if api is not None]
    if not apis:
        return
    for img_id, path in _images(dataset, samples):
        for api in apis:
            known = api.imgs.get(img_id)
            name = (known or {}).get('file_name')
            if known is not None and (not name or osp.basename(name) == osp.basename(path)):
                continue
            other = f'has {name} under its id {img_id}' if name else f'has no image of id {img_id}'
            raise UserError(
                f'val_dataloader and val_evaluator are of different sets: the annotation file of '
                f'the evaluator {other}, which is {path} in the loader: give val_evaluator.ann_file '
                'the ann_file of val_dataloader'
            )
    most = max(len(api.imgs) for api in apis)
    if most > len(dataset):
        print_log(
            f'val_dataloader has {len(dataset)} images and the annotation file of val_evaluator '
            f'{most}: objects in the others count as missed; give val_evaluator.ann_file a file of '
            'the same images',
            'current',
            logging.WARNING,
        )


def _images(dataset, samples) -> Iterator[tuple[int, str]]:
    if hasattr(dataset, 'get_data_info'):
        infos = map(dataset.get_data_info, range(len(dataset)))
    else:
        infos = iter(samples)
    for info in infos:
        img_id, path = info.get('img_id'), info.get('img_path')
        if img_id is not None and path:
            yield img_id, path
