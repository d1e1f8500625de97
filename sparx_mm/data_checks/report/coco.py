"""The part of a report that an annotation file in COCO's format gives."""

from collections import Counter

from ..coco.categories import check_categories
from ..coco.checks import check_trained, chosen_classes, find_oddities
from ..coco.file import LAYOUTS, find_repeats, image_path, read_coco
from ..coco.objects import describe, describe_broken, inspect_coco
from ..coco.panoptic import check_segments, describe_segments
from ..wording import and_more
from .set_report import Fault, SetReport


def read_coco_set(report: SetReport) -> None:
    """Read the images and annotations of a set in COCO's format into its report.

    Args:
        report (SetReport): Report with the set, without samples; it is changed.

    Raises:
        UserError: If the file is not in that format.
    """
    dataset = report.coco
    labelled = dataset.trains and dataset.labelled
    content = read_coco(dataset.path, labelled, dataset.layout, unique=False)
    _note_repeats(report, content)
    counts = Counter(annotation['image_id'] for annotation in content['annotations'])
    report.samples = [
        dict(
            img_path=image_path(image, dataset.folder),
            height=image['height'],
            width=image['width'],
            instances=[None] * counts[image['id']],
        )
        for image in content['images']
    ]
    if not report.samples:
        report.faults.append(Fault(f'{dataset.path} lists no image'))
    if dataset.labelled or not dataset.trains:
        with report.collect():
            check_categories(dataset, content['categories'])
    if dataset.layout == 'panoptic':
        with report.collect():
            report.objects = check_segments(dataset, content)
            report.notes.append(describe_segments(report.objects, len(report.samples)))
        return
    found = inspect_coco(content, chosen_classes(dataset), dataset.with_mask, dataset.poly2mask)
    report.objects = found.objects
    report.notes += [
        describe(found, len(content['images'])),
        *find_oddities(dataset, found),
    ]
    names = {image['id']: image['file_name'] for image in content['images']}
    for i, kind in found.broken if dataset.plain else ():
        annotation = content['annotations'][i]
        text = describe_broken(annotation, names[annotation['image_id']], kind)
        report.faults.append(Fault(text, 'annotations', i))
    if labelled and dataset.plain:
        with report.collect():
            check_trained(dataset, content['images'], found)


def _note_repeats(report: SetReport, content: dict) -> None:
    """Note the items of one id.

    Copies of an item can be left out, and annotations that differ numbered anew: nothing
    refers to them by their ids, as annotations do to images and categories.
    """
    for part, keys in LAYOUTS[report.coco.layout].items():
        for one in find_repeats(content[part]) if 'id' in keys else ():
            for i in one.copies:
                text = f'{part}[{i}] is a copy of another one with the id {one.id}: leave one'
                report.faults.append(Fault(text, part, i))
            others = sorted(set(one.indices[1:]) - set(one.copies))
            shown = ' and '.join(f'{part}[{i}]' for i in (one.indices[0], *others[:4]))
            text = f'{shown}{and_more(len(others), 4)} have the id {one.id} and differ: '
            text += 'give each an id of its own'
            if part == 'annotations':
                report.faults += [Fault(text, part, i, renumber=True) for i in others]
            elif others:
                report.faults.append(Fault(text))
