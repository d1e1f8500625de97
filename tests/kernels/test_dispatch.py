"""Choosing a backend, and what threads, forks and caches may not break."""

import functools
import importlib
import inspect
import os
import shutil
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
import torch
from torch._subclasses import FakeTensorMode

from sparx_mm.kernels import backend_report, dispatch, selective_scan, ss2d
from sparx_mm.kernels._numba import parallel
from sparx_mm.kernels.ss2d import numba as ss2d_numba

# builds inputs, and compares a pass with that of plain torch in float64
PRELUDE = inspect.cleandoc("""
    import sys, torch
    {first}
    from sparx_mm.kernels import backend_report, ss2d

    def inputs(channels=48, height=9, width=7, rank=3, dtype=torch.float32):
        torch.manual_seed(0)
        t = (torch.randn(2, channels, height, width),
             torch.randn(2, height, width, 4, rank + 2),
             torch.randn(4, channels, rank), torch.randn(4, channels),
             -torch.ones(4, channels, 1), torch.ones(4, channels))
        return [a.to(dtype).requires_grad_() for a in t]

    def both(inputs):
        y = ss2d(*inputs)
        return [y, *torch.autograd.grad(y, inputs, torch.ones_like(y))]

    def agrees(**kwargs):
        given = both(inputs(**kwargs))
        wanted = both(inputs(**kwargs, dtype=torch.float64))
        return all((a - b).abs().max() < 1e-5 * b.abs().max()
                   for a, b in zip(given, wanted))
""")


def script(lines, first=''):
    return PRELUDE.replace('{first}', first) + '\n' + inspect.cleandoc(lines)


def scan():
    x, dt_B_C = torch.ones(1, 2, 3, 4), torch.ones(1, 3, 4, 4, 3)
    weight, bias, A = torch.ones(4, 2, 1), torch.ones(4, 2), -torch.ones(4, 2, 1)
    return ss2d(x, dt_B_C, weight, bias, A, torch.ones(4, 2))


def sequence_scan():
    u, B = torch.ones(1, 2, 3), torch.ones(1, 1, 3)
    return selective_scan(u, u, -torch.ones(2, 1), B, B)


class Scan(torch.nn.Module):
    def forward(self):
        return scan()


@pytest.mark.parametrize('call, operator', [(scan, 'ss2d'), (sequence_scan, 'selective_scan')])
def test_environment_chooses(call, operator, monkeypatch):
    wanted, used = call(), []
    # the package's attribute of that name is the function
    module = sys.modules[f'sparx_mm.kernels.{operator}']
    for name, owner, attribute in (
        ('numba', importlib.import_module(f'{module.__name__}.numba'), 'forward'),
        ('torch', importlib.import_module(f'{module.__name__}.torch'), 'forward'),
        ('reference', module, '_reference'),
    ):

        def spy(*args, name=name, run=getattr(owner, attribute), **kwargs):
            used.append(name)
            return run(*args, **kwargs)

        monkeypatch.setattr(owner, attribute, spy)
    for name in ('auto', 'numba', 'torch', 'reference', ''):
        monkeypatch.setenv('SPARX_MM_KERNELS', name)
        torch.testing.assert_close(call(), wanted)
    assert used == ['numba', 'numba', 'torch', 'reference', 'numba']


@pytest.mark.parametrize('call', [scan, sequence_scan, backend_report])
def test_environment_with_another_value(call, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'cpu')
    allowed = 'auto, triton, numba, torch, reference'
    with pytest.raises(ValueError, match=f"SPARX_MM_KERNELS is 'cpu'; allowed are {allowed}"):
        call()


@pytest.mark.parametrize('call', [scan, sequence_scan])
def test_triton_where_it_cannot_run(call, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')
    monkeypatch.setattr(dispatch, 'missing_triton', lambda device: 'no luck')
    with pytest.raises(RuntimeError, match="SPARX_MM_KERNELS is 'triton', but no luck; unset it"):
        call()


@pytest.mark.parametrize('call', [scan, sequence_scan])
def test_numba_where_it_is_not_installed(call, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'numba')
    monkeypatch.setattr(dispatch, '_missing_package', lambda name: f'{name} is not installed')
    message = "SPARX_MM_KERNELS is 'numba', but numba is not installed; unset it or take torch"
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize(
    'device, dtype, reason',
    [
        ('cpu', torch.float64, 'the tensors are float64'),
        ('cuda', torch.float32, 'the tensors are on cuda'),
        ('cpu', torch.float32, ''),
        ('cpu', torch.float16, ''),
        ('cpu', torch.bfloat16, ''),
    ],
)
def test_why_numba_cannot_run(device, dtype, reason, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', 'numba')
    with FakeTensorMode():
        tensor = torch.empty(1, device=device, dtype=dtype)
    assert dispatch.missing_numba(tensor) == reason
    if not reason:
        assert dispatch.choose(tensor) == 'numba'
        return
    with pytest.raises(RuntimeError, match=f"SPARX_MM_KERNELS is 'numba', but {reason}; unset"):
        dispatch.choose(tensor)


def test_the_reference_cannot_run_a_traced_graph(monkeypatch):
    program = torch.export.export(Scan(), ())
    monkeypatch.setenv('SPARX_MM_KERNELS', 'reference')
    with pytest.raises(RuntimeError, match="SPARX_MM_KERNELS is 'reference', .* unset it"):
        program.module()()


@pytest.mark.parametrize(
    'first, reason',
    [
        ('', 'the tensors are on cpu'),
        ('sys.modules["triton"] = None', 'triton is not installed'),
        ('import triton; triton.__version__ = "3.5.1"', 'triton 3.5.1 is older than 3.6'),
    ],
)
def test_why_triton_cannot_run(first, reason, run_python):
    code = """
        from sparx_mm.kernels import dispatch
        print(dispatch.missing_triton(torch.device('cpu')))
    """
    assert run_python(script(code, first), TRITON_INTERPRET='0') == f'{reason}\n'


def test_a_package_whose_library_does_not_load(monkeypatch):
    """As llvmlite's, of numba, on a system that it was not built for."""

    def load(name):
        raise OSError('cannot open shared object file')

    monkeypatch.setattr(dispatch.importlib, 'import_module', load)
    reason = 'numba does not import (cannot open shared object file)'
    assert dispatch._missing_package.__wrapped__('numba') == reason


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_why_there_are_no_kernels_without_a_gpu(run_python):
    code = 'print(backend_report()["triton"])'
    assert run_python(script(code), TRITON_INTERPRET='0') == 'not available: torch finds no GPU\n'


def test_old_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.version, 'hip', None)
    for capability, reason in (
        ((7, 5), 'the GPU has compute capability 7.5, Triton needs 8.0'),
        ((8, 0), ''),
        ((12, 0), ''),
    ):
        monkeypatch.setattr(
            torch.cuda, 'get_device_capability', lambda device, given=capability: given
        )
        assert dispatch._missing_gpu.__wrapped__(None) == reason


@pytest.mark.parametrize(
    'name, device, dtype, backend',
    [
        ('auto', 'cpu', torch.float32, 'numba'),
        ('auto', 'cpu', torch.float16, 'numba'),
        ('auto', 'cpu', torch.bfloat16, 'numba'),
        ('auto', 'cpu', torch.float64, 'torch'),
        ('auto', 'meta', torch.float32, 'torch'),
        ('auto', 'cuda', torch.float32, 'triton'),
        ('auto', 'cuda', torch.float16, 'triton'),
        ('auto', 'cuda', torch.bfloat16, 'triton'),
        ('auto', 'cuda', torch.float64, 'torch'),
        ('torch', 'cuda', torch.float32, 'torch'),
        ('torch', 'cpu', torch.float32, 'torch'),
        ('triton', 'cuda', torch.float32, 'triton'),
        ('triton', 'cuda', torch.float64, 'torch'),
    ],
)
def test_the_fastest_for_a_tensor(name, device, dtype, backend, monkeypatch):
    monkeypatch.setenv('SPARX_MM_KERNELS', name)
    monkeypatch.setattr(dispatch, 'missing_triton', lambda device: '')
    with FakeTensorMode():
        tensor = torch.empty(1, device=device, dtype=dtype)
    assert dispatch.choose(tensor) == backend
    for operator in ('ss2d', 'selective_scan'):
        module = dispatch.select(f'sparx_mm.kernels.{operator}', tensor)
        assert module.__name__ == f'sparx_mm.kernels.{operator}.{backend}'


def test_a_gpu_without_triton_is_slow_and_told_once(monkeypatch):
    monkeypatch.setattr(dispatch, 'missing_triton', lambda device: 'no luck')
    dispatch._warn_once.cache_clear()
    with FakeTensorMode():
        tensor = torch.empty(1, device='cuda')
    with pytest.warns(UserWarning, match='no luck; it runs in plain torch'):
        assert dispatch.choose(tensor) == 'torch'
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        dispatch.choose(tensor)


@pytest.mark.parametrize('call', [scan, sequence_scan])
def test_another_backend_before_backward(call, monkeypatch):
    """Each keeps states in a shape of its own."""
    ones = functools.partial(torch.ones, requires_grad=True)
    monkeypatch.setattr(torch, 'ones', ones)
    y = call()
    monkeypatch.setenv('SPARX_MM_KERNELS', 'triton')
    with pytest.raises(RuntimeError, match='between forward and backward'):
        y.sum().backward()


def test_report(monkeypatch):
    report = backend_report()
    # without a GPU the tests have the interpreter
    assert report['triton'].startswith('available: triton ')
    assert report['reference'].startswith('available')
    assert report['requested'] == 'auto'
    # a GPU gets the kernels for it
    name = 'triton' if torch.cuda.is_available() else 'numba'
    assert report['in use'] == f'{name}, {report[name]}'
    assert report['numba'].startswith('available: numba')
    assert report['torch'].startswith('available')
    assert list(report) == [*dispatch.BACKENDS, 'requested', 'in use']
    monkeypatch.setenv('SPARX_MM_KERNELS', 'reference')
    assert backend_report()['in use'].startswith('reference, ')


def test_import_loads_no_compiler(run_python):
    # triton itself comes with torch's FLOP counter
    code = """
        print([name for name in ('numba', 'sparx_mm.kernels._triton.kernels')
               if name in sys.modules])
    """
    assert run_python(script(code)) == '[]\n'


def test_without_numba(run_python):
    code = """
        report = backend_report()
        print(report['numba'])
        print(report['in use'])
        print(agrees(), 'sparx_mm.kernels._numba.math' in sys.modules)
    """
    first = 'sys.modules["numba"] = None'
    numba, in_use, result = run_python(script(code, first), CUDA_VISIBLE_DEVICES='').splitlines()
    assert numba == 'not available: numba is not installed'
    assert in_use.startswith('torch, available: a two-level scan')
    assert result == 'True False'


@pytest.mark.slow
def test_forked_child(run_python):
    """As in a data-loader worker; the parent has used its threads."""
    code = """
        import multiprocessing

        # torch's OpenMP threads do not survive a fork either. So the child
        # takes one thread, as data-loader workers do, or a map too small for
        # torch to use several, and large enough for the kernels to
        sizes = {1: dict(channels=192, height=28, width=28),
                 2: dict(channels=127, height=16, width=8)}

        def child(queue):
            results = []
            for threads in sizes:
                torch.set_num_threads(threads)
                results += both(inputs(**sizes[threads]))
            queue.put([t.detach().numpy() for t in results])

        torch.set_num_threads(2)
        wanted = both(inputs(**sizes[1])) + both(inputs(**sizes[2]))
        context = multiprocessing.get_context('fork')
        queue = context.Queue()
        process = context.Process(target=child, args=(queue, ))
        process.start()
        given = queue.get(timeout=60)
        process.join(60)
        print(all((torch.from_numpy(a) - b).abs().max()
                  <= 1e-5 * b.abs().max() for a, b in zip(given, wanted)),
              process.exitcode, agrees())
    """
    assert run_python(script(code)).split() == ['True', '0', 'True']


@pytest.mark.slow
def test_two_python_threads(run_python):
    code = """
        from concurrent.futures import ThreadPoolExecutor

        torch.set_num_threads(2)
        sizes = dict(channels=192, height=20, width=20)
        shared = inputs(**sizes)

        # the first calls of both, compiling, are concurrent too
        def work(i):
            torch.set_num_threads(2)
            return [both(shared) for _ in range(10)]

        with ThreadPoolExecutor(2) as pool:
            results = sum(pool.map(work, range(2)), [])
        print(all(torch.equal(a, b) for result in results
                  for a, b in zip(result, results[0])), agrees(**sizes))
    """
    assert run_python(script(code)).split() == ['True', 'True']


# a kernel that compiles faster than a scan, and calls of fresh copies of it
KERNEL = inspect.cleandoc("""
    import pathlib, sys
    import numpy as np
    from sparx_mm.kernels._numba.parallel import Kernel

    def square(x, first, last):
        for i in range(first, last):
            x[i] = x[i] * x[i]

    def works():
        x = np.arange(5.)
        Kernel(square)(2, 5, x)
        return x.tolist() == [0., 1., 4., 9., 16.]

    print(works(), works())
    files = [path for path in pathlib.Path(sys.argv[1]).rglob('square*')
             if path.suffix != '.py']
    print(len(files))
    for pattern in ('.nbc', '.nbi'):
        for path in files:
            if path.suffix == pattern:
                path.write_bytes(b'damaged')
        print(works())
""")


@pytest.mark.slow
@pytest.mark.parametrize('files', [2, 0])
def test_damaged_cache_or_none(files, run_python, tmp_path):
    # numba caches what comes from a file
    (tmp_path / 'square.py').write_text(KERNEL)
    environment = dict(NUMBA_CACHE_DIR=str(tmp_path / 'cache'))
    if not files:
        # nor can any place be written that numba would take instead
        (tmp_path / '__pycache__').touch()
        nowhere = '/dev/null/nowhere'
        environment = dict(NUMBA_CACHE_DIR=nowhere, XDG_CACHE_HOME=nowhere, HOME=nowhere)
    code = (
        f'import sys; sys.argv.append({str(tmp_path)!r}); '
        f'sys.path.insert(0, {str(tmp_path)!r}); import square'
    )
    given = run_python(code, **environment)
    assert given.split() == ['True', 'True', str(files), 'True', 'True']


# compiles faster than a scan
SMALL_KERNEL = inspect.cleandoc("""
    import numpy as np
    from .math import softplus
    from .parallel import Kernel

    def apply(x, first, last):
        for i in range(first, last):
            x[i] = softplus(x[i])

    x = np.ones(3, np.float32)
    Kernel(apply)(1, 3, x)
    print(x.sum(), flush=True)
""")
# three processes that have imported torch and numba already
FORKS = inspect.cleandoc("""
    import os, shutil, sys
    import numba, torch
    sys.path.insert(0, {folder!r})
    for changed in (False, False, True):
        if changed:
            shutil.copy({folder!r} + '/changed.py', {folder!r} + '/sparx_mm/kernels/_numba/math.py')
        if os.fork() == 0:
            import sparx_mm.kernels._numba.small
            os._exit(0)
        os.wait()
""")


@pytest.mark.slow
def test_cache_follows_the_shared_code(run_python, tmp_path):
    # a changed softplus is compiled into kernels whose own files are the same
    copy = tmp_path / 'sparx_mm' / 'kernels'
    shutil.copytree(
        Path(dispatch.__file__).parent, copy, ignore=shutil.ignore_patterns('__pycache__')
    )
    (copy.parent / '__init__.py').touch()
    softplus = copy / '_numba' / 'math.py'
    text = softplus.read_text()
    changed = text.replace('return (z if', 'return _ONE + (z if', 1)
    assert changed != text
    # numba caches what comes from a file
    (copy / '_numba' / 'small.py').write_text(SMALL_KERNEL)
    (tmp_path / 'changed.py').write_text(changed)
    before, again, after = run_python(FORKS.format(folder=str(tmp_path))).splitlines()
    assert before == again != after


def test_new_memory_is_poisoned(monkeypatch):
    """A kernel that leaves a part unwritten is seen."""
    x = torch.ones(3)
    for tensor in (
        torch.empty(3),
        torch.empty_like(x),
        torch.empty_strided((3,), (1,)),
        x.new_empty(3),
    ):
        assert tensor.isnan().all()
    kernels = importlib.import_module('sparx_mm.kernels.ss2d.numba')
    kernel = kernels.ss2d_fwd_kernel
    assert scan().isfinite().all()
    # all blocks of channels but the last one
    monkeypatch.setattr(
        kernels, 'ss2d_fwd_kernel', lambda threads, shares, *args: kernel(1, shares - 1, *args)
    )
    assert scan().isnan().any()


def record_threads(shares):
    """Threads by the share that each has run."""
    kernel, threads = parallel.Kernel(None), {}

    def run(first, last):
        threads.update(dict.fromkeys(range(first, last), threading.get_ident()))
        # so long that another thread takes the next share
        time.sleep(0.2)

    kernel._compiled = run
    kernel(shares, shares)
    return threads


@pytest.fixture(params=[2])
def threads_of_torch(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def test_shares_run_on_threads_of_torch(threads_of_torch):
    # which are started at the first large operation
    torch.ones(1 << 20).exp_()
    before = len(os.listdir('/proc/self/task'))
    threads = record_threads(2)
    assert len(set(threads.values())) == 2
    assert threading.get_ident() in threads.values()
    assert len(os.listdir('/proc/self/task')) == before


@pytest.mark.parametrize(
    'team, work, wanted',
    [(2, 1 << 16, 1), (2, 1 << 17, 2), (4, 1 << 20, 4), (64, 1 << 18, 1), (64, 1 << 19, 8)],
)
def test_threads_that_pay_for_some_work(team, work, wanted, monkeypatch):
    monkeypatch.setattr(parallel, 'team_size', lambda: team)
    assert parallel.num_threads(work) == wanted


@pytest.mark.parametrize('change', [dict(_forked=True), dict(_openmp=lambda: None)])
def test_all_shares_run_where_openmp_cannot(change, threads_of_torch, monkeypatch):
    for name, value in change.items():
        monkeypatch.setattr(parallel, name, value)
    assert record_threads(3) == dict.fromkeys(range(3), threading.get_ident())
    assert parallel.num_threads(1 << 30) == 1
    assert "kernels on 1 of torch's 2 threads" in backend_report()['numba']


@pytest.mark.parametrize('threads_of_torch', [1], indirect=True)
def test_all_shares_run_where_openmp_gives_one_thread(threads_of_torch):
    assert record_threads(3) == dict.fromkeys(range(3), threading.get_ident())


def test_error_in_a_share_is_raised():
    kernel = parallel.Kernel(None)

    def run(x, first, last):
        if first:
            raise ValueError('share 1')

    kernel._compiled = run
    with pytest.raises(ValueError, match='share 1'):
        kernel(2, 2, None)


@pytest.mark.parametrize(
    'threads, batch, slices, wanted',
    [
        (1, 5, 9, (1, 1)),
        (2, 4, 9, (2, 1)),
        (2, 3, 9, (1, 2)),
        (8, 1, 3, (1, 3)),
        (8, 2, 3, (2, 3)),
        (4, 3, 0, (3, 1)),
    ],
)
def test_shares_of_a_backward_pass(threads, batch, slices, wanted):
    assert parallel.backward_shares(threads, batch, slices) == wanted


@pytest.mark.parametrize(
    'channels, blocks, wanted',
    [
        (1, 1, 16),
        (192, 1, 192),
        (192, 2, 96),
        (193, 1, 208),
        (321, 1, 176),
        (240, 2, 128),
        (40, 8, 16),
    ],
)
def test_lanes_of_a_block(channels, blocks, wanted):
    assert parallel.block_lanes(channels, blocks) == wanted


def _cpu_has(feature):
    try:
        return feature in Path('/proc/cpuinfo').read_text().split()
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not _cpu_has('avx512f'), reason='the CPU has no vectors of 512 bits')
def test_widest_vectors():
    from numba import njit

    # without the cache, whose kernels bring no text
    kernel = njit(ss2d_numba.ss2d_fwd_kernel._function, fastmath=parallel.FASTMATH, nogil=True)
    x, y = torch.ones(1, 4, 32), torch.empty(1, 4, 32)
    low, weight, row = torch.ones(1, 4, 4, 3), torch.ones(4, 32, 1), torch.ones(4, 32)
    states, table = torch.empty(1, 8, 1, 32), torch.empty(4, 0, dtype=torch.int32)
    arrays = [t.numpy() for t in (x, low, weight, row, -weight, row, y, y, states, table)]
    kernel(*arrays, 2, 2, 1, 32, 0, 1)
    (assembly,) = kernel.inspect_asm().values()
    # a few stem from copies; arithmetic makes hundreds
    assert assembly.count('zmm') > 200
