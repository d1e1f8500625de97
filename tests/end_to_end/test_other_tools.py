"""The recipes of docs/other_tools.md run, and models survive what other programs do to them."""

import copy
import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from detection import ROOT, tiny_config
from mmengine.registry import MODELS, DefaultScope, init_default_scope

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba

PAGE = (ROOT / 'docs/other_tools.md').read_text()
# by the heading above
BLOCKS = re.findall(r'^```python\n(.*?)^```', PAGE, re.M | re.S)
PACKAGES = ('huggingface_hub', 'torchinfo', 'safetensors')


@pytest.mark.parametrize('text', BLOCKS, ids=range(len(BLOCKS)))
def test_the_page(text, tmp_path, monkeypatch):
    for package in PACKAGES:
        if package in text:
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HF_HUB_OFFLINE', '1')
    # a program has no scope of an earlier test
    monkeypatch.setattr(DefaultScope, '_instance_dict', {})
    # a small one, with as many channels for a head
    arch = dict(PICO, embed_dims=(16, 24, 32, 512))
    monkeypatch.setitem(SparXMamba.arch_zoo, 'tiny', arch)
    exec(compile(text, 'docs/other_tools.md', 'exec'), {'__name__': 'recipe'})
    if 'save_pretrained' in text:
        (card,) = tmp_path.glob('*/README.md')
        assert card.read_text().startswith('---\nlibrary_name: sparx_mm\nlicense: apache-2.0\n')


NETWORKS = [
    (SparXMamba, PICO),
    (SparXSwin, PICO_SWIN),
    (VMamba, PICO_VMAMBA),
    (VSSD, PICO_VSSD),
    (GroupMamba, PICO_GROUPMAMBA),
    (PlainMamba, PICO_PLAINMAMBA),
]


@pytest.fixture(
    params=[*NETWORKS, 'detector'],
    ids=['mamba', 'swin', 'vmamba', 'vssd', 'groupmamba', 'plainmamba', 'detector'],
)
def model(request):
    """A model, and a function from it to its maps of an image."""
    torch.manual_seed(0)
    if request.param == 'detector':
        shapes = request.getfixturevalue('shapes')
        init_default_scope('mmdet')
        cfg = tiny_config(ROOT / 'configs/mmdet/mask_rcnn_sparx_t_1x.py', shapes)
        return MODELS.build(cfg.model).eval(), lambda m: m.extract_feat(torch.ones(1, 3, 64, 64))
    family, arch = request.param
    return family(arch).eval(), lambda m: m(torch.ones(1, 3, 64, 64))


def through_a_file(model, folder):
    torch.save(model, folder / 'model.pth')
    return torch.load(folder / 'model.pth', weights_only=False)


@pytest.mark.parametrize('copied', [lambda m, folder: copy.deepcopy(m), through_a_file])
def test_copies(model, copied, tmp_path):
    model, maps = model
    with torch.no_grad():
        wanted = maps(model)
        other = copied(model, tmp_path)
        assert type(other) is type(model) and not other.training
        assert all(a.equal(b) for a, b in zip(maps(other), wanted))
        # nothing is shared
        for parameter in other.parameters():
            parameter.zero_()
        assert all(a.equal(b) for a, b in zip(maps(model), wanted))


def test_a_spawned_process():
    model = SparXMamba(PICO).eval().requires_grad_(False)
    image = torch.rand(1, 3, 64, 64)
    with ProcessPoolExecutor(1, mp_context=get_context('spawn')) as pool:
        found = pool.submit(model, image).result()
        assert all(a.equal(b) for a, b in zip(found, model(image)))
