"""Small drawn sets in the layouts that mmseg's converters give four aerial sets."""

import cv2
import numpy as np

from sparx_mm.data_checks.segmentation.areas import AREA_LISTS, write_area_lists
from sparx_mm.demo import draw_aerial, make_aerial

# side of a patch
SIZE = 64
# the four corners in the name of a patch
BOX = f'0_0_{SIZE}_{SIZE}'
VAIHINGEN = [area for areas in AREA_LISTS['vaihingen'].lists.values() for area in areas]
NAMES = dict(
    potsdam=dict(
        train=[f'{area}_{BOX}' for area in (*AREA_LISTS['potsdam'].lists['train'], '7_10')],
        val=[f'2_13_{BOX}', f'2_14_{BOX}'],
    ),
    vaihingen=dict(train=[f'area{area}_{BOX}' for area in VAIHINGEN]),
    loveda=dict(train=['0', '1', '2'], val=['2522', '2523']),
    isaid=dict(
        train=[f'P000{i}_0_{SIZE}_0_{SIZE}' for i in range(3)], val=[f'P0003_0_{SIZE}_0_{SIZE}']
    ),
)
SETS = (*NAMES, 'aerial')


def make_set(root, name) -> None:
    """Draw a set.

    Args:
        root (Path): Its folder.
        name (str): One of `SETS`.
    """
    if name == 'aerial':
        make_aerial(str(root), 3, 2, SIZE)
        return
    for split, patches in NAMES[name].items():
        for folder in ('img_dir', 'ann_dir'):
            (root / folder / split).mkdir(parents=True)
        for i, patch in enumerate(patches):
            image, labels = draw_aerial(np.random.default_rng(i), SIZE)
            # the corner has no class; iSAID's 0 is one
            labels[:4, :4] = 0
            ending = '_instance_color_RGB' if name == 'isaid' else ''
            cv2.imwrite(str(root / f'img_dir/{split}/{patch}.png'), image)
            cv2.imwrite(str(root / f'ann_dir/{split}/{patch}{ending}.png'), labels)
    if name in AREA_LISTS:
        write_area_lists(name, str(root))


def find_set(stem) -> str | None:
    """Return the set that a config is named by, None if it is another."""
    return next((name for name in SETS if name in stem.split('_')), None)
