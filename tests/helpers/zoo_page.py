"""The page of the model zoo, written from the metafiles."""

from sparx_mm.analysis import PAPERS
from sparx_mm.model_index import read_models

# keeps a cell on one line
NBSP = '\N{NO-BREAK SPACE}'
TASKS = {
    'configs/mmdet': (
        'Detection',
        'Mask R-CNN and RetinaNet on COCO, counted at 800x1280. Box / mask AP.',
    ),
    'configs/mmseg': (
        'Segmentation',
        'UperNet and Semantic FPN on ADE20K. Names with an aerial set (also VM-UNet and CVMH-UNet) '
        'end in the size of a crop. Counted at 512x2048, parameters with the auxiliary head. mIoU at '
        'one scale / at several, each also flipped.',
    ),
    'configs/mmpretrain': ('Classification', 'ImageNet-1k at 224. Top-1 accuracy.'),
    'configs/mmrotate': ('Rotated detection', 'Oriented R-CNN on DOTA v1.0, counted at 1024x1024.'),
}
DEMOS = dict(
    shapes='[the demo](results/demo.md)', demo_aerial='[drawn towns](remote_sensing.md#drawn-towns)'
)
HEAD = """# Model zoo

Every config that comes with the package, as `model-index.yml` and the metafiles in `configs/` list them for OpenMMLab's tools.

- A name is a config of `configs/`; the `vssd_*_mesa_in1k` are other weights of `vssd_*_in1k`. Our tools and `sparx_mm.load` take it from any folder as `sparx_mm::NAME`, and the
  file of its authors as `sparx_mm://NAME` ([names](package.md#names-of-configs-and-weights)).
- Parameters and multiply-adds are those of the whole model, as `tools/get_flops.py sparx_mm::NAME` counts them. The papers leave
  some operators out: [the paper's tables](results/paper_tables.md) count by their conventions, beside the printed ones.
- **Printed** are the authors' numbers. **Here** is what was reproduced with this code.
- Files are the authors'. Digits are the first of a file's SHA-256, where they are known; downloads are verified against them.

The files of UperNet on SparX-Mamba are of a later training than the printed numbers: 50.2, 51.4 and 52.5 are reported for them.
[VSSD's page](vssd.md#released-files) says which weights of its files are taken, and that the names of the two of
`VSSD_ICCV_weights` are inferred. Of [GroupMamba](groupmamba.md#released-files) no detector or segmentor was released: its printed
numbers there are of networks that may differ from ours. The name of its `base` file is inferred, and the cards of its files say both MIT and
"non-commercial".
"""
# released classifiers of archs without a config: file and top-1 accuracy
VMAMBA = 'https://github.com/MzeroMiko/VMamba/releases/download/%23'
OTHERS = {
    'tiny-s2l5': ('v2cls/vssm_tiny_0230_ckpt_epoch_262', 82.49),
    'small-s1l20': ('v2cls/vssm1_small_0229s_ckpt_epoch_240', 83.34),
    'base-s1l20': ('v2cls/vssm1_base_0229s_ckpt_epoch_225', 83.79),
    'tiny-v0': ('v0cls/vssmtiny_dp01_ckpt_epoch_292', 82.17),
    'small-v0': ('v0cls/vssmsmall_dp03_ckpt_epoch_238', 83.46),
    'base-v0': ('v0cls/vssmbase_dp06_ckpt_epoch_241', 83.73),
}
TAIL = """## Other files of VMamba

Classifiers that were released for other archs of `VMamba`; a backbone loads them by `init_cfg`, with `arch` as named.
The counts are the authors', which ours meet: `tools/get_flops.py --paper vmamba`.

| arch | parameters | GMACs | printed | weights |
|-|-|-|-|-|
"""


def make_page():
    """Write the page: a table for each task, and one of files without a config."""
    lines = [HEAD]
    for folder, (title, text) in TASKS.items():
        lines += [f'## {title}\n\n{text}\n']
        lines += ['| model | trained | parameters | GMACs | printed | here | weights |']
        lines += ['|-|-|-|-|-|-|-|']
        models = read_models().values()
        lines += [_row(model) for model in models if model['Config'].startswith(folder)]
        lines += ['']
    counts = {row.arch: row for row in PAPERS['vmamba'] if row.task == 'ImageNet'}
    lines += [TAIL.rstrip()]
    for arch, (file, accuracy) in OTHERS.items():
        row = counts[arch]
        link = f'[file]({VMAMBA}{file}.pth)'
        lines += [f'| `{arch}` | {row.params} M | {row.flops} | {accuracy} | {link} |']
    return '\n'.join(lines) + '\n'


def _row(model):
    facts = model['Metadata']
    printed = [
        str(value) for result in model.get('Results', ()) for value in result['Metrics'].values()
    ]
    weights = f'[file]({model["Weights"]})' if 'Weights' in model else ''
    if 'SHA-256' in facts:
        weights += f' `{facts["SHA-256"][:8]}`'
    length = (
        f'{facts["Epochs"]}{NBSP}epochs'
        if 'Epochs' in facts
        else f'{facts["Iterations"]}{NBSP}steps'
    )
    here = facts.get('Reproduced', 'not yet')
    cells = (
        f'`{model["Name"]}`',
        length,
        f'{facts["Parameters"] / 1e6:.1f}{NBSP}M',
        f'{facts["FLOPs"] / 1e9:.1f}',
        f'{NBSP}/{NBSP}'.join(printed),
        next((page for data, page in DEMOS.items() if data in model['Name']), here),
        weights,
    )
    return f'| {" | ".join(cells)} |'.replace('|  |', '| |')
