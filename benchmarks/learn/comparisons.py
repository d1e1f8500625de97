"""What is compared with what, and what is claimed of it."""

from typing import NamedTuple

from sparx_mm.finetuning.weights import FAN_IN

# the learning rates that each network chooses from
RATES = (3e-4, 1e-3, 3e-3, 9e-3, 2.7e-2)
# ``init_cfg`` of the weights that it chooses from: as its family draws them, and of variance
# 1 / K for K inputs
INITS = {'own': None, 'fan-in': FAN_IN}
FAMILIES = (
    'SparX-Mamba',
    'PlainNet',
    'DSN',
    'SparX-Swin',
    'VMamba',
    'VSSD',
    'GroupMamba',
    'PlainMamba',
    'Swin',
    'ConvNeXt',
    'ResNet',
)


class Claim(NamedTuple):
    """Statement that one network learns better than another.

    Args:
        text (str): The statement.
        better (str): Name of a network.
        worse (str): Name of another one.
    """

    text: str
    better: str
    worse: str


class Condition(NamedTuple):
    """Change of the recipe.

    Args:
        rate (float): Factor of the learning rate that was chosen. Default: 1.
        batch (int): Images of a batch. Default: 32.
        bfloat16 (bool): Compute in mixed precision. Default: False.
        warm_up (float): Part of the iterations in which the rate rises. Default: 0.05.
        weight_decay (float, optional): Of AdamW, for all but vectors. Default: the schedules'.
        layer_decay (float): Ratio of a layer's rate to that of the next one. Default: 1.
        backbone (dict, optional): Options of the backbone. Default: none.
        pretrained (bool): Start from the backbone of the same seed that has learned
            ``PRETRAINING``. Default: False.
        init (str, optional): Key of ``INITS``. Default: the one that is chosen.
        tuned (bool): Choose the learning rate in this condition; if not, in the base. Default: False.
        equal_time (bool): Train for the CPU time of ``PACER`` in the base, in place of for as
            many iterations. Default: False.
    """

    rate: float = 1.0
    batch: int = 32
    bfloat16: bool = False
    warm_up: float = 0.05
    weight_decay: float | None = None
    layer_decay: float = 1.0
    backbone: dict | None = None
    pretrained: bool = False
    init: str | None = None
    tuned: bool = False
    equal_time: bool = False


# whose backbones others start from
PRETRAINING = 'shapes-objects'
BASE = 'float32'
# whose CPU time others are given
PACER = 'SparX-Mamba'
EQUAL_TIME = 'equal CPU time'


def _pretrained(layer_decay=1.0, **backbone):
    return Condition(
        layer_decay=layer_decay, backbone=backbone, pretrained=True, init='own', tuned=True
    )


# with the iterations of the base; the rate of a smaller batch is that of its root
ROBUSTNESS = {
    'bfloat16': Condition(bfloat16=True),
    'with_cp': Condition(backbone=dict(with_cp=True)),
    'batch 16': Condition(rate=0.5**0.5, batch=16),
    'batch 2': Condition(rate=0.25, batch=2),
    'rate x4': Condition(rate=4),
    'rate x8': Condition(rate=8),
}
DEFAULTS = {
    'own init': Condition(init='own'),
    'fan-in init': Condition(init='fan-in'),
    'no warm-up': Condition(warm_up=0.0),
    'warm-up 20 %': Condition(warm_up=0.2),
    'no weight decay': Condition(weight_decay=0.0),
    'weight decay 0.2': Condition(weight_decay=0.2),
    'drop path 0.1': Condition(backbone=dict(drop_path_rate=0.1)),
}
TRANSFER = {
    'pretrained': _pretrained(),
    'pretrained, 1 stage frozen': _pretrained(frozen_stages=1),
    'pretrained, 2 stages frozen': _pretrained(frozen_stages=2),
    'pretrained, all stages frozen': _pretrained(frozen_stages=4),
    'pretrained, layer decay 0.9': _pretrained(layer_decay=0.9),
    'pretrained, layer decay 0.8': _pretrained(layer_decay=0.8),
}
CONDITIONS = {
    BASE: Condition(),
    EQUAL_TIME: Condition(equal_time=True),
    **ROBUSTNESS,
    **DEFAULTS,
    **TRANSFER,
}


class Comparison(NamedTuple):
    """Networks that are trained side by side.

    Args:
        networks (tuple[str]): Keys of ``NETWORKS``.
        conditions (tuple[str]): Keys of ``CONDITIONS``. Default: the base alone.
        claims (tuple[Claim]): What is said of the networks. Default: none.
        is_stress (bool): The question is which networks fall over; if not, which conditions
            are better than others. Default: False.
        references (tuple[str]): Conditions that the others are judged against. Default: the
            base alone.

    Attributes:
        is_transfer (bool): Networks start from others that are trained before.
    """

    networks: tuple[str, ...]
    conditions: tuple[str, ...] = (BASE,)
    claims: tuple[Claim, ...] = ()
    is_stress: bool = False
    references: tuple[str, ...] = (BASE,)

    @property
    def is_transfer(self):
        return any(CONDITIONS[name].pretrained for name in self.conditions)


def _against(text, worse):
    return Claim(text, 'SparX-Mamba', worse)


COMPARISONS = {
    'families': Comparison(FAMILIES, (BASE, EQUAL_TIME)),
    'connections': Comparison(
        (
            'SparX-Mamba',
            'PlainNet',
            'DGC',
            'DSN',
            'S=1',
            'S=3',
            'M=2',
            'M=4',
            'Concat',
            'no CGCA',
            'WeightedAverage',
            'weighted inputs',
        ),
        claims=(
            _against('Connections help', 'PlainNet'),
            _against('Sparse connections are better than dense ganglion connections', 'DGC'),
            _against('Sparse connections are better than those of all layers', 'DSN'),
            _against('S = 2 is better than S = 1', 'S=1'),
            _against('S = 2 is better than S = 3', 'S=3'),
            _against('M = 3 is better than M = 2', 'M=2'),
            _against('M = 3 is better than M = 4', 'M=4'),
            _against('DMCA is better than concatenation', 'Concat'),
            _against('DMCA is better than its values without attention', 'no CGCA'),
            _against('DMCA is better than a weighted average', 'WeightedAverage'),
        ),
    ),
    'directions': Comparison(
        ('1 direction', '2 directions', '4 directions'),
        claims=(
            Claim('Two directions are better than one', '2 directions', '1 direction'),
            Claim('Four directions are better than two', '4 directions', '2 directions'),
        ),
    ),
    'robustness': Comparison(
        ('SparX-Mamba', 'PlainNet', 'SparX-Swin', 'VMamba', 'Swin', 'ConvNeXt', 'ResNet'),
        (BASE, *ROBUSTNESS),
        is_stress=True,
    ),
    'defaults': Comparison(
        ('SparX-Mamba', 'SparX-Swin', 'VMamba', 'VSSD', 'GroupMamba'), (BASE, *DEFAULTS)
    ),
    'transfer': Comparison(
        ('SparX-Mamba', 'SparX-Swin', 'VMamba'),
        (BASE, *TRANSFER),
        references=(BASE, 'pretrained'),
    ),
}
