"""The paper's variants of SparX-Mamba-T, as what each changes in its arch.

Tables 5 to 8 and 10. `SparXMamba` has each by name: ``arch='tiny-dgc'``.
"""

from .sparx_swin import SparXSwin

# paper Table 10, section 4.5: patches for convolutions, no position encoding,
# as in SparX-Swin
_OTHER_SCAN = {
    key: SparXSwin.arch_defaults[key] for key in ('stem', 'downsample', 'dpe', 'skip_scale')
}


def _aggregator(kind, **options):
    return dict(aggregator=dict(type=kind, **options))


ABLATIONS = {
    # Table 5: a ganglion layer reads all layers before it
    'dgc': dict(sources='all'),
    # each layer reads all layers before it; in stage 0 too
    'dsn': dict(strides=(1, 1, 1, 1), starts=(0, 0, 0, 0), windows=(None, None, None, None)),
    # Table 6: other ways to aggregate
    'concat': _aggregator('ConcatAggregator'),
    'no-cgca': _aggregator('ValueAggregator'),
    'csa': _aggregator('CSA'),
    'sra': _aggregator('SRA'),
    'sca': _aggregator('SCA'),
    # Table 7: no ganglion layers, at comparable cost
    'plainnet': dict(embed_dims=(96, 192, 384, 576), starts=(None, None, None, None)),
    # the counts printed for S=1 are those of a window of 4
    's1': dict(strides=(1, 1, 1, 1), windows=(None, None, 4, None)),
    's3': dict(strides=(1, 1, 3, 1)),
    's4': dict(strides=(1, 1, 4, 1)),
    'm2': dict(windows=(None, None, 2, None)),
    # seven layers have no fourth ganglion layer to be read: the counts printed
    # for M=4 are those of a window of 3 with the stage's input as a member
    'm4': dict(input_in_window=(False, False, True, False)),
    # Table 8
    'no-dpe': dict(dpe=False),
    'no-skip': _aggregator('DMCA', skip=False),
    'no-sr': dict(reduction=(1, 1, 1, 1)),
    # Table 10
    'ssm': dict(mixer=dict(type='SSM', d_state=8), **_OTHER_SCAN),
    'bissm': dict(mixer=dict(type='BiSSM', d_state=8), **_OTHER_SCAN),
}
