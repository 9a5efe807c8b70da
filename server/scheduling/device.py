"""What the settings mean on this machine: the one place that resolves `auto` and 0.

torch is imported when asked, by the device process only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import psutil

from providers.errors import EngineError
from providers.interface import EngineSettings
from server.scheduling.residency import GIB, Budgets
from server.scheduling.scheduler import Policy
from server.settings import Settings

if TYPE_CHECKING:
    import torch

DEVICE_MEMORY_SHARE = 0.6  # for weights; the rest is for KV caches, activations and everybody else
KV_MEMORY_SHARE = 0.25  # for one engine's keys and values; a later engine takes less if less is free
# Activations, latents, graphs and the context: they don't grow with the device. A large one has more than
# its share for weights then: an H200 has room for 120 XTTS beside the keys and values of 1,000 streams.
CUDA_WORKING_BYTES = 12e9


@dataclass(frozen=True, slots=True)
class KindOfDevice:
    dtype: Literal["float32", "bfloat16"]
    num_slots: int  # at most
    slots_per_gib: float | None  # of device memory; None: `num_slots` whatever there is
    policy: Policy
    keeps_host_copies: bool


KINDS = {
    # A step takes tens of milliseconds, a second of audio a good part of one to vocode, and several
    # utterances take as long as one after the other: small portions, the neediest first, so that nobody waits
    # for long. But not the first: it has to last until a newcomer or two have been served. Host memory is the
    # device's own: no second copy there.
    "cpu": KindOfDevice(
        dtype="float32",
        num_slots=8,
        slots_per_gib=None,
        policy=Policy(
            chunk_tokens=(16, 12, 12, 20), max_decode_steps=2, max_prefills=2, max_vocoded_tokens=16
        ),
        keeps_host_copies=False,
    ),
    # A step takes half a millisecond: the host must not be asked after each. An utterance of XTTS takes 31 MB
    # for keys and values on average and 2.5 MB for latents: of each GiB a quarter is enough for eight.
    "cuda": KindOfDevice(
        dtype="bfloat16",
        num_slots=1024,
        slots_per_gib=8,
        policy=Policy(max_vocoded_tokens=8192),
        keeps_host_copies=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Device:
    engine: EngineSettings
    policy: Policy
    budgets: Budgets


def open_device(settings: Settings) -> Device:
    """Resolve the settings, set the number of CPU threads. Raises EngineError if there is no such device."""
    import torch

    torch.set_num_threads(settings.threads or len(os.sched_getaffinity(0)))
    name = settings.device
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        kind = KINDS[device.type]
    except (RuntimeError, KeyError):
        raise EngineError(f"found the device {name!r}; expected cpu, cuda:0, cuda:1 … or auto.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(
            f"found the device {name!r}; expected one of the {torch.cuda.device_count()} CUDA devices here. "
            "Check the driver, or set VOICECORE_DEVICE to cpu."
        )
    if settings.kv_cache == "fp8" and not _has_fp8(device):
        raise EngineError(
            f"found VOICECORE_KV_CACHE=fp8 on the device {name!r}; expected a CUDA device of compute "
            "capability 8.9 or newer (L4, L40, H100, H200 …). Set it to auto."
        )
    dtype = kind.dtype if settings.dtype == "auto" else settings.dtype
    # TF32 keeps 10 bits: whoever asks for float32 wants windows and batches to agree to 1e-5.
    torch.backends.cudnn.allow_tf32 = dtype != "float32"
    memory_bytes = (
        torch.cuda.get_device_properties(device).total_memory
        if device.type == "cuda"
        else psutil.virtual_memory().total
    )
    return Device(
        EngineSettings(
            device=name,
            dtype=dtype,
            num_slots=settings.slots or _default_slots(kind, memory_bytes),
            kv_bytes=int(KV_MEMORY_SHARE * memory_bytes) if device.type == "cuda" else None,
            kv_cache=settings.kv_cache,
            zero_features=settings.chinese_without_roberta,
        ),
        kind.policy,
        Budgets(
            device_bytes=int(settings.device_budget_gib * GIB) or _weight_bytes(device.type, memory_bytes),
            host_bytes=int(settings.host_budget_gib * GIB) if kind.keeps_host_copies else 0,
        ),
    )


def _has_fp8(device: torch.device) -> bool:
    """Whether kernels for this device can convert 8-bit floats."""
    import torch

    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


def _weight_bytes(device_type: str, memory_bytes: int) -> int:
    share = DEVICE_MEMORY_SHARE * memory_bytes
    if device_type == "cpu":
        return int(share)
    return int(max(share, (1 - KV_MEMORY_SHARE) * memory_bytes - CUDA_WORKING_BYTES))


def _default_slots(kind: KindOfDevice, memory_bytes: int) -> int:
    if kind.slots_per_gib is None:
        return kind.num_slots
    return max(1, min(kind.num_slots, int(kind.slots_per_gib * memory_bytes / GIB)))


def is_fatal(error: BaseException) -> bool:
    """Whether the device can't be used any more by this process: CUDA errors stick to it.

    Known by type name and text, so that asking needs no torch. Out of memory is not one of them, nor is any
    error that we raise, whose text may quote a caller's.
    """
    if not isinstance(error, RuntimeError) or type(error).__name__ == "OutOfMemoryError":
        return False
    return type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
