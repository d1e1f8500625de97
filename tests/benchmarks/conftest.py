"""The programs' modules, which find one another as they do when run."""

import sys

import pytest
import torch
from archs import PICO, PICO_GROUPMAMBA, PICO_PLAINMAMBA, PICO_SWIN, PICO_VMAMBA, PICO_VSSD
from detection import ROOT

from sparx_mm import VSSD, GroupMamba, PlainMamba, SparXMamba, SparXSwin, VMamba
from sparx_mm.analysis import peers


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'benchmarks')
    # the environment of a developer must not choose what is tested
    monkeypatch.delenv('SPARX_MM_KERNELS', raising=False)
    torch.manual_seed(0)


@pytest.fixture
def small(monkeypatch):
    """Let the tiny networks, and those that they are compared with, be small ones."""
    import networks

    for name in ('tiny-ssm', 'tiny-bissm'):
        arch = {**SparXMamba.arch_zoo[name], **PICO}
        monkeypatch.setitem(SparXMamba.arch_zoo, name, arch)
    for family, arch in (
        (SparXMamba, PICO),
        (SparXSwin, PICO_SWIN),
        (VMamba, PICO_VMAMBA),
        (VSSD, PICO_VSSD),
        (GroupMamba, PICO_GROUPMAMBA),
        (PlainMamba, PICO_PLAINMAMBA),
    ):
        name = 'l2' if family is PlainMamba else 'tiny'
        monkeypatch.setitem(family.arch_zoo, name, arch)
    swin = dict(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 1, 1, 1))
    convnext = dict(arch=dict(depths=[1, 1, 1, 1], channels=[8, 12, 16, 20]))
    for name, options in (('mmdet Swin-T', swin), ('mmpretrain ConvNeXt-T', convnext)):
        cfg = {**networks.PEERS['tiny'][name], **options}
        monkeypatch.setitem(networks.PEERS['tiny'], name, cfg)
        monkeypatch.setitem(peers.PEERS['tiny'], name.split()[1], cfg)
    monkeypatch.setattr(networks, 'SMALL', (2, 3, 32, 32))
    return networks


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a program here, to its status, stdout and stderr."""

    def run(main, *args):
        monkeypatch.setattr(sys, 'argv', ['program', *map(str, args)])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = stopped.code
        return status, *capsys.readouterr()

    return run
