"""Small models that come packaged with others' Python packages, run by onnxruntime without importing those.

Importing them would pull in torch, torchaudio or librosa; the files are all that is needed.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class ModelMissing(RuntimeError):
    """A package isn't installed, or no longer brings its model."""


def packaged_file(package: str, path: str) -> Path:
    """A file of an installed package, found without running it. Raises ModelMissing."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (file := Path(folder) / path).is_file():
            return file
    raise ModelMissing(
        f"found no {path} of the package {package}; expected it installed. Set up again: scripts/setup"
    )


@lru_cache(maxsize=8)
def session(package: str, path: str) -> Any:
    """An onnxruntime session on CUDA where there is any, else on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False  # which keep what the largest run took
    available = onnxruntime.get_available_providers()
    wanted = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in available]
    return onnxruntime.InferenceSession(str(packaged_file(package, path)), options, providers=wanted)
