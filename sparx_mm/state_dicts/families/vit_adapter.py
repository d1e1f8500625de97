"""ViT-Adapter's tensors (https://arxiv.org/abs/2205.08534) in the file of a backbone."""

ADAPTER = (
    ('level_embed', 'adapter.level_embed'),
    ('spm.', 'adapter.prior.'),
    ('interactions.{}.injector.', 'adapter.injectors.{}.'),
    ('interactions.{}.extractor.ffn.dwconv.dwconv.', 'adapter.extractors.{}.ffn.dwconv.'),
    ('interactions.{}.extractor.', 'adapter.extractors.{}.'),
    # of the last of four groups
    (
        'interactions.3.extra_extractors.{}.ffn.dwconv.dwconv.',
        'adapter.extra_extractors.{}.ffn.dwconv.',
    ),
    ('interactions.3.extra_extractors.{}.', 'adapter.extra_extractors.{}.'),
    ('up.', 'adapter.up.'),
    *((f'ad_norm{i + 1}.', f'adapter.norms.{i}.') for i in range(4)),
)
ADAPTER_NAMES = r'adapter\..*'
# all but what makes the map of stride 4 and the norms of maps, which not every task reads
ADAPTER_CORE = r'adapter\.(?!up\.|norms\.|prior\.fc1\.).*'
