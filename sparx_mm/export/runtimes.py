"""What runs an exported file, to compare it with torch and to time it."""

import time
from collections.abc import Callable

import numpy as np
import torch

from ..errors import UserError

Run = Callable[[dict[str, np.ndarray]], list[np.ndarray]]


def open_onnx(path: str, threads: int | None = None) -> Run:
    """Open a file in onnxruntime, on the CPU.

    Args:
        path (str): File.
        threads (int, optional): Threads. None for torch's number. Default: None.

    Returns:
        Callable: From inputs by name to the list of outputs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    # errors alone
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    names = [value.name for value in session.get_inputs()]
    return lambda arrays: session.run(None, {name: arrays[name] for name in names})


def open_openvino(path: str, threads: int | None = None) -> Run:
    """Open a file in OpenVINO, on the CPU in float32.

    Args:
        path (str): File; ``.xml`` or ``.onnx``.
        threads (int, optional): Threads. None for torch's number. Default: None.

    Returns:
        Callable: From inputs by name to the list of outputs.
    """
    import openvino

    core = openvino.Core()
    settings = {
        # its default is bfloat16 on CPUs that have it, and off by 1 % and more
        'INFERENCE_PRECISION_HINT': 'f32',
        'INFERENCE_NUM_THREADS': threads or torch.get_num_threads(),
    }
    compiled = core.compile_model(core.read_model(path), 'CPU', settings)
    names = [port.get_any_name() for port in compiled.inputs]
    return lambda arrays: list(compiled({name: arrays[name] for name in names}).values())


def open_torch(program: torch.nn.Module, inputs: tuple[str, ...]) -> Run:
    """Run a traced or exported network of torch.

    Args:
        program (nn.Module): The network.
        inputs (tuple[str, ...]): Names of its inputs.

    Returns:
        Callable: From inputs by name to the list of outputs.
    """

    def run(arrays):
        with torch.no_grad():
            outputs = program(*(torch.from_numpy(arrays[name]) for name in inputs))
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        return [output.numpy() for output in outputs]

    return run


def milliseconds(run: Run, arrays: dict[str, np.ndarray], calls: int = 5) -> float:
    """Time a call.

    Args:
        run (Callable): What is timed.
        arrays (dict[str, ndarray]): Its inputs.
        calls (int): Number of calls; one more warms up. Default: 5.

    Returns:
        float: The shortest call in milliseconds.
    """
    times = []
    for _ in range(calls + 1):
        start = time.perf_counter()
        run(arrays)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times[1:])


def check_packages(form: str) -> None:
    """Check that what a format needs is installed.

    Args:
        form (str): The format.

    Raises:
        UserError: If a package is missing.
    """
    needed = dict(onnx=('onnx', 'onnxscript', 'onnxruntime'))
    needed['openvino'] = (*needed['onnx'], 'openvino')
    for package in needed.get(form, ()):
        try:
            __import__(package)
        except ImportError as error:
            raise UserError(
                f"--format {form} needs {package}: the extra export, pip install -e '.[export]' in a clone"
            ) from error
