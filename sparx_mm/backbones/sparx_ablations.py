"""The paper's variants of SparX-Mamba-T, as what each changes in its arch.

Tables 5 to 8 and 10. `SparXMamba` has each by name: ``arch='tiny-dgc'``.
"""

from .arch import REDUCTION

# Table 10, section 4.5: patches instead of convolutions and no position
# encoding, as in SparX-Swin
_PATCHES = dict(
    stem=dict(type='PatchEmbed'),
    downsample=dict(type='PatchMerging'),
    dpe=False,
    skip_scale=False,
)


def _connections(**changes):
    return dict(connections=changes)


def _aggregator(kind, **options):
    return _connections(aggregator=dict(type=kind, **options))


ABLATIONS = {
    # Table 5: a ganglion layer reads all layers before it
    'dgc': _connections(sources='all'),
    # each layer reads all layers before it; in stage 0 too
    'dsn': _connections(strides=1, starts=0, windows=None),
    # Table 6: other ways to aggregate
    'concat': _aggregator('ConcatAggregator'),
    'no-cgca': _aggregator('ValueAggregator'),
    'csa': _aggregator('CSA', reduction=REDUCTION),
    'sra': _aggregator('SRA', reduction=REDUCTION),
    'sca': _aggregator('SCA', reduction=REDUCTION),
    # Table 7: no ganglion layers, at comparable cost
    'plainnet': dict(embed_dims=(96, 192, 384, 576), connections=None),
    # the counts printed for S=1 are those of a window of 4
    's1': _connections(strides=1, windows=(None, None, 4, None)),
    's3': _connections(strides=(1, 1, 3, 1)),
    's4': _connections(strides=(1, 1, 4, 1)),
    'm2': _connections(windows=(None, None, 2, None)),
    # seven layers have no fourth ganglion layer to be read: the counts printed
    # for M=4 are those of a window of 3 with the stage's input as a member
    'm4': _connections(input_in_window=(False, False, True, False)),
    # Table 8
    'no-dpe': dict(dpe=False),
    'no-skip': _aggregator('DMCA', skip=False),
    'no-sr': _aggregator('DMCA', reduction=1),
    # Table 10
    'ssm': dict(mixer=dict(type='SSM', d_state=8), **_PATCHES),
    'bissm': dict(mixer=dict(type='BiSSM', d_state=8), **_PATCHES),
}
