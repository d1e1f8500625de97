"""What is compared with what, and what is claimed of it."""

from typing import NamedTuple

# the learning rates that each network chooses from
RATES = (1e-3, 2e-3, 4e-3, 8e-3)
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
        rate (float): Factor of the learning rate. Default: 1.
        batch (int): Images of a batch. Default: 32.
        bfloat16 (bool): Compute in mixed precision. Default: False.
        with_cp (bool): Checkpoint activations. Default: False.
    """

    rate: float = 1.0
    batch: int = 32
    bfloat16: bool = False
    with_cp: bool = False


BASE = 'float32'
# with the iterations of the base; the rate of a smaller batch is that of its root
CONDITIONS = {
    BASE: Condition(),
    'bfloat16': Condition(bfloat16=True),
    'with_cp': Condition(with_cp=True),
    'batch 16': Condition(rate=0.5**0.5, batch=16),
    'batch 2': Condition(rate=0.25, batch=2),
    'rate x4': Condition(rate=4),
    'rate x8': Condition(rate=8),
}


class Comparison(NamedTuple):
    """Networks that are trained side by side.

    Args:
        networks (tuple[str]): Keys of ``NETWORKS``.
        conditions (tuple[str]): Keys of ``CONDITIONS``. Default: the base alone.
        claims (tuple[Claim]): What is said of the networks. Default: none.
    """

    networks: tuple[str, ...]
    conditions: tuple[str, ...] = (BASE,)
    claims: tuple[Claim, ...] = ()


def _against(text, worse):
    return Claim(text, 'SparX-Mamba', worse)


COMPARISONS = {
    'families': Comparison(FAMILIES),
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
        tuple(CONDITIONS),
    ),
}
