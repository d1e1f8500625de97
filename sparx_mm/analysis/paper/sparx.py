"""SparX's printed multiply-adds and parameters.

https://arxiv.org/abs/2409.09649. Numbers are strings as they are printed, so
that their rounding is known.
"""

from enum import Enum

from .table import PaperRow, make_rows

_PADDING = (
    "Here what pads maps to whole windows is not projected. Swin's implementations project it, "
    'which is {} G more and gives {}. '
)


class Reason(Enum):
    """Reasons why a number is not the one printed."""

    ATTENTION = (
        'Met with the attention of the aggregators counted, which other rows like this one '
        'leave out.'
    )
    NO_ATTENTION = (
        'Met without the attention of the aggregators, which other rows like this one count.'
    )
    INTERPOLATION = (
        'Met with the attention of the aggregators and interpolation counted, the latter of which '
        'other rows leave out.'
    )
    UNKNOWN = (
        'Met neither with nor without the attention of the aggregators and interpolation; what '
        'else the paper counts was not found.'
    )
    CUT = '77.67 M, cut where other rows are rounded.'
    SWAPPED = 'The paper has exchanged the numbers of these two rows: each is met by the other.'
    PADDED_DETECTOR = (
        _PADDING.format('2.9', '269.7')
        + "45 M do not fit the paper's own 57 M of UperNet: the backbone that has these makes 46 M."
    )
    PADDED_SEGMENTOR = _PADDING.format('3.5', '946.5') + 'What else the paper counts was not found.'
    BASE = 'No connections of 88 M were found that have 16.2 G.'
    PADDED_BASE = (
        'See the row on ImageNet. With what pads maps to whole windows there are 13 G more, '
        'which is more than printed.'
    )
    INPUT = (
        '27.5 M are met by a window of 3 that includes the input of the stage; seven layers '
        'have no fourth ganglion layer to read.'
    )
    DENSE = (
        'The nearest reading of "all preceding layers": all layers are ganglions, also of '
        'stages 0 and 1. With those of stage 1 as in T and none in stage 0 there are 30.5 M '
        'and 5.8 G.'
    )
    VALUE = (
        'Queries and values joined as section 4.4 says; where the other 0.1 M are was not found.'
    )
    SPATIAL = (
        "The paper does not say how the attention is built in; of the readings of FcaFormer's "
        'this one has its parameters. With the products of its attention there are 5.56 G.'
    )
    ENCODING = 'Without the position encodings there are 0.04 M less than 30.83.'


def _learnable(name):
    """Return an arch of the released detectors, which learn the attention's scale."""
    return dict(base=name, connections=dict(aggregator=dict(attn_scale='learnable')))


# on ImageNet all numbers but one leave out the attention of the aggregators.
# Of detectors and segmentors more are met with it, except in the tables of
# ablations and other scans
ROWS: tuple[PaperRow, ...] = (
    *make_rows(
        '2',
        'SparXMamba',
        ['ImageNet'],
        [
            ('SparX-Mamba-T', 'tiny', ('5.2', '27')),
            ('SparX-Mamba-S', 'small', ('9.3', '47')),
            ('SparX-Mamba-B', 'base', ('15.9', '84')),
        ],
    ),
    *make_rows(
        '3',
        'SparXMamba',
        ['Mask R-CNN'],
        [
            ('SparX-Mamba-T', _learnable('tiny'), ('279', '47')),
            ('SparX-Mamba-S', _learnable('small'), ('361', '67')),
            ('SparX-Mamba-B', _learnable('base'), ('498', '103')),
        ],
        'paper-attention',
    ),
    *make_rows(
        '4',
        'SparXMamba',
        ['Semantic FPN', 'UperNet'],
        [
            ('SparX-Mamba-T', 'tiny', ('197', '31'), ('954', '57', Reason.NO_ATTENTION)),
            ('SparX-Mamba-S', 'small', ('281', '51'), ('1039', '77', Reason.CUT)),
            (
                'SparX-Mamba-B',
                'base',
                ('422', '87', Reason.INTERPOLATION),
                ('1181', '115', Reason.INTERPOLATION),
            ),
        ],
        'paper-attention',
    ),
    *make_rows(
        '5',
        'SparXMamba',
        ['ImageNet'],
        [
            ('DGC-Mamba-T', 'tiny-dgc', ('5.5', '28.8')),
            ('DSN-Mamba-T', 'tiny-dsn', ('6.0', '30.9', Reason.DENSE)),
            ('SparX-Mamba-T', 'tiny', ('5.2', '27.1')),
        ],
    ),
    *make_rows(
        '6',
        'SparXMamba',
        ['ImageNet'],
        [
            ('Concat', 'tiny-concat', ('5.5', '27.9')),
            ('w/o CGCA', 'tiny-no-cgca', ('5.3', '26.4', Reason.VALUE)),
            ('CSA', 'tiny-csa', ('5.2', '26.0')),
            ('SRA', 'tiny-sra', ('5.3', '27.0')),
            ('SCA', 'tiny-sca', ('5.2', '27.9', Reason.SPATIAL)),
            ('DMCA', 'tiny', ('5.2', '27.1')),
        ],
    ),
    *make_rows(
        '7',
        'SparXMamba',
        ['ImageNet', 'Semantic FPN'],
        [
            ('Baseline', 'tiny', ('5.2', '27.1'), ('197', '30.8', Reason.ATTENTION)),
            ('PlainNet', 'tiny-plainnet', ('5.4', '27.4'), ('199', '31.1')),
            ('S=1', 'tiny-s1', ('5.7', '29.9'), ('206', '33.7')),
            ('S=3', 'tiny-s3', ('5.1', '26.3'), ('194', '30.1')),
            ('S=4', 'tiny-s4', ('5.1', '25.8'), ('193', '29.6', Reason.ATTENTION)),
            ('M=2', 'tiny-m2', ('5.2', '26.8'), ('197', '30.6', Reason.INTERPOLATION)),
            ('M=4', 'tiny-m4', ('5.5', '27.5', Reason.INPUT), ('198', '31.2')),
        ],
    ),
    *make_rows(
        '8',
        'SparXMamba',
        ['ImageNet', 'Semantic FPN'],
        [
            ('w/o DPE', 'tiny-no-dpe', ('5.2', '27.0'), ('196', '30.7', Reason.ENCODING)),
            ('w/o Skip', 'tiny-no-skip', ('5.2', '27.0'), ('200', '30.8', Reason.SWAPPED)),
            ('w/o SR', 'tiny-no-sr', ('5.4', '27.0'), ('196', '30.8', Reason.SWAPPED)),
        ],
    ),
    *make_rows(
        '9',
        'SparXSwin',
        ['ImageNet', 'UperNet', 'Mask R-CNN'],
        [
            (
                'SparX-Swin-T',
                'tiny',
                ('4.7', '26', Reason.ATTENTION),
                ('948', '57', Reason.PADDED_SEGMENTOR),
                ('270', '45', Reason.PADDED_DETECTOR),
            ),
            (
                'SparX-Swin-B',
                'base',
                ('16.2', '88', Reason.BASE),
                ('1201', '118', Reason.PADDED_BASE),
                ('518', '107', Reason.PADDED_BASE),
            ),
        ],
        'paper-attention',
    ),
    *make_rows(
        '10',
        'SparXMamba',
        ['ImageNet', 'UperNet'],
        [
            ('SparX-Mamba-T (SSM)', 'tiny-ssm', ('4.8', '25'), ('946', '55', Reason.UNKNOWN)),
            ('SparX-Mamba-T (Bi-SSM)', 'tiny-bissm', ('5.1', '25'), ('951', '55')),
            ('SparX-Mamba-T (SS2D)', 'tiny', ('5.2', '27'), ('954', '57')),
        ],
    ),
    *(
        PaperRow(
            '15',
            f'SparX-Mamba-T at {side}',
            'SparXMamba',
            'tiny',
            'ImageNet',
            flops,
            '27.1',
            'paper',
            side=side,
        )
        for side, flops in [
            (224, '5.2'),
            (384, '15.4'),
            (512, '27.4'),
            (640, '42.8'),
            (768, '61.7'),
            (1024, '109.6'),
        ]
    ),
)
