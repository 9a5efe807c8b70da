"""A CUDA device that isn't there: code for one runs on a CPU, under the rules of one.

Within `simulated()` the calling thread can use `torch.device("cuda:0")`. Tensors on it are CPU memory that
says otherwise. What a real device refuses is refused: an operation on tensors of both sides, numpy on the
device's memory, a kernel that is given a tensor of the host, and, while a graph is captured, to wait for the
device or to bring something from the host. Graphs are recorded call by call and replayed so: a replay sees
what static memory holds by then, and nothing that Python knew. New memory holds NaN; a copy to page-locked
memory arrives when it is waited for, not before; and what a copy from page-locked memory was to bring has to
be there until it is waited for.

Triton's kernels go through its interpreter. Not simulated: speed, streams that run side by side, rounding,
the limits of registers and shared memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map_only

CUDA = torch.device("cuda", 0)
TOTAL_BYTES = 8 * 2**30

# What waits for the device to tell the host something.
_WAITS = {
    "item", "tolist", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__", "nonzero",
    "masked_select", "unique", "equal", "is_nonzero", "allclose", "repeat_interleave",
}  # fmt: skip
# What takes tensors of both sides.
_CROSSES = {"copy_", "to", "type_as"}
# What makes tensors on the device of nothing but numbers.
_FILLS = {"empty", "zeros", "ones", "full", "arange"}
_MAKES_UNINITIALISED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"}


class OnDevice(torch.Tensor):
    """CPU memory that counts as the device's."""

    @property
    def device(self) -> torch.device:
        return CUDA

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_cpu(self) -> bool:
        return False

    def get_device(self) -> int:
        return 0

    def __array__(self, *_: Any) -> Any:
        raise TypeError("found a device's tensor; numpy reads the host's")

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert _device is not None, "a tensor has outlived its device"
        return _device.call(func, args, kwargs or {})


@dataclass(eq=False)
class _Graph:
    """torch.cuda.CUDAGraph"""

    calls: list[Callable[[], None]] = field(default_factory=list)

    def replay(self) -> None:
        assert self.calls, "replays what was never captured"
        with torch.inference_mode():
            for call in self.calls:
                call()


class _Stream:
    """torch.cuda.Stream: all that is queued is done at once, but for the copies that are put off."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        pass

    def wait_stream(self, other: _Stream) -> None:
        assert isinstance(other, _Stream)

    def wait_event(self, event: _Event) -> None:
        assert event.reached is not None, "waits for an event that nobody recorded"

    def record_event(self) -> _Event:
        event = _Event()
        event.record(self)
        return event

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        torch.cuda.synchronize()


class _Event:
    def __init__(self, blocking: bool = False, enable_timing: bool = False) -> None:
        self.reached: int | None = None

    def record(self, stream: _Stream | None = None) -> None:
        assert _device is not None
        self.reached = _device.queued

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        assert _device is not None
        assert self.reached is not None, "waits for an event that nobody recorded"
        _device.wait(self.reached)


class SimulatedDevice(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.queued = 0  # copies so far
        self._arrivals: dict[int, Callable[[], None]] = {}  # by the number of the copy
        self._page_locked: set[int] = set()  # addresses
        self._graph: _Graph | None = None  # being captured
        self.kernels: set[str] = set()  # launched so far

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.call(func, args, kwargs or {})

    def wait(self, reached: int) -> None:
        self._refuse_in_capture("waits for the device")
        for number in [number for number in self._arrivals if number < reached]:
            self._arrivals.pop(number)()

    def call(self, func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
        name = getattr(func, "__name__", str(func))
        if name in ("__get__", "__set__"):  # properties are the host's to know
            return _keep_side(_plain_call(func, args, kwargs), _is_any_on_device(args))
        if name == "_has_compatible_shallow_copy_type":  # no: a module makes new parameters
            return args[0].is_cuda == args[1].is_cuda
        if name == "copy_" and not (args[0].is_cuda and args[1].is_cuda):
            return self._cross(*args, **kwargs)
        goes_to, args, kwargs = _destination(name, args, kwargs)
        self._check_sides(name, args, kwargs)
        was_on_device = _is_any_on_device((args, kwargs))
        on_device = was_on_device if goes_to is None else goes_to == "cuda"
        if was_on_device and (name in _WAITS or _chooses_by_mask(name, args)):
            self._refuse_in_capture(f"`{name}` waits for the device")
        if on_device and not was_on_device and name not in _FILLS:
            self._refuse_in_capture(f"`{name}` brings something from the host")
        if kwargs.pop("pin_memory", False):
            return self._page_lock(_plain_call(func, args, kwargs))

        def run() -> Any:
            result = _plain_call(func, args, kwargs)
            if was_on_device != on_device:
                result = tree_map_only(Tensor, _other_memory, result)
            if on_device and name in _MAKES_UNINITIALISED:
                result = tree_map_only(Tensor, _fill_with_garbage, result)
            return result

        result = _keep_side(run(), on_device)
        if self._graph is not None and on_device:
            self._graph.calls.append(lambda: _repeat(run, result))
        return result

    def launch(self, name: str, args: Any, kwargs: Mapping[str, Any], run: Callable[..., None]) -> None:
        """A kernel of Triton's."""
        for tensor in _tensors((args, kwargs)):
            assert tensor.is_cuda, f"the kernel {name} is given a tensor of the host"
        self.kernels.add(name)
        plain = tree_map_only(Tensor, lambda tensor: tensor.as_subclass(Tensor), args)

        def call() -> None:
            with torch._C.DisableTorchFunction():
                run(*plain, **kwargs)

        call()
        if self._graph is not None:
            self._graph.calls.append(call)

    @contextmanager
    def capture(self, graph: _Graph, **_: Any) -> Iterator[None]:
        assert self._graph is None, "a graph within a graph"
        self._graph = graph
        try:
            yield
        finally:
            self._graph = None

    def _page_lock(self, tensor: Tensor) -> Tensor:
        self._page_locked.add(tensor.untyped_storage().data_ptr())
        return _fill_with_garbage(tensor)

    def _cross(self, target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
        """A copy between the sides, or on the host."""
        if not (target.is_cuda or source.is_cuda):
            return _plain_call(Tensor.copy_, (target, source), {})
        self._refuse_in_capture("a copy between host and device")
        is_page_locked = {
            tensor.untyped_storage().data_ptr() in self._page_locked for tensor in (target, source)
        } != {False}
        plain_target, plain_source = target.as_subclass(Tensor), source.as_subclass(Tensor)
        if not (non_blocking and is_page_locked):
            plain_target.copy_(plain_source)
            return target
        then = plain_source.clone()
        number = self.queued
        self.queued += 1
        if source.is_cuda:
            _fill_with_garbage(plain_target)

            def arrive() -> None:
                with torch.inference_mode():
                    plain_target.copy_(then)

        else:
            plain_target.copy_(plain_source)

            def arrive() -> None:
                changed = then.ne(plain_source) & then.eq(then)
                assert not changed.any(), "page-locked memory was changed before it was copied"

        self._arrivals[number] = arrive
        return target

    def _check_sides(self, name: str, args: Any, kwargs: Mapping[str, Any]) -> None:
        if name in _CROSSES:
            return
        if name in ("__getitem__", "__setitem__"):
            target, index, *value = args
            if target.is_cuda and _is_any((index,), _on_host):
                self._refuse_in_capture("an index comes from the host")
            assert target.is_cuda or not _is_any_on_device(index), f"`{name}`: a device's index of a host's"
            if value and _tensors(index) and not isinstance(value[0], Tensor):
                # torch makes a tensor on the host of it, and copies that.
                self._refuse_in_capture("a number of the host's goes to indexed places")
            args = (target, *value)
            if value and isinstance(value[0], Tensor) and not _tensors(index):
                return  # a slice: it is copied
        sides = {tensor.is_cuda for tensor in _tensors((args, kwargs)) if tensor.is_cuda or tensor.dim()}
        assert len(sides) < 2, f"`{name}` is given tensors of the host and of the device"

    def _refuse_in_capture(self, what: str) -> None:
        assert self._graph is None, f"{what} while a graph is captured"


_device: SimulatedDevice | None = None


@contextmanager
def simulated() -> Iterator[SimulatedDevice]:
    """The device, for this thread."""
    global _device
    with pytest.MonkeyPatch.context() as patch:
        _device = device = SimulatedDevice()
        _replace_torch_cuda(patch, device)
        _replace_launches(patch, device)
        try:
            with device:
                yield device
        finally:
            _device = None


def _replace_torch_cuda(patch: pytest.MonkeyPatch, device: SimulatedDevice) -> None:
    main = _Stream()
    properties = SimpleNamespace(total_memory=TOTAL_BYTES, name="simulated", major=9, minor=0)
    replaced = {
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_name": lambda device=None: properties.name,
        "get_device_capability": lambda device=None: (9, 0),
        "get_device_properties": lambda device=None: properties,
        "mem_get_info": lambda device=None: (TOTAL_BYTES // 2, TOTAL_BYTES),
        "graph_pool_handle": object,
        "CUDAGraph": _Graph,
        "graph": device.capture,
        "Stream": _Stream,
        "Event": _Event,
        "current_stream": lambda device=None: main,
        "stream": lambda stream: nullcontext(),
        "synchronize": lambda of=None: device.wait(device.queued),
        "empty_cache": lambda: None,
    }
    for name, value in replaced.items():
        patch.setattr(torch.cuda, name, value)


def _replace_launches(patch: pytest.MonkeyPatch, device: SimulatedDevice) -> None:
    try:
        from triton.runtime.interpreter import InterpretedFunction
    except ImportError:
        return
    run = InterpretedFunction.run

    def launch(kernel: Any, *args: Any, **kwargs: Any) -> None:
        device.launch(kernel.__name__, args, kwargs, lambda *plain, **named: run(kernel, *plain, **named))

    patch.setattr(InterpretedFunction, "run", launch)


def _destination(name: str, args: Any, kwargs: Mapping[str, Any]) -> tuple[str | None, Any, dict[str, Any]]:
    """Where results go if the call says so, and the call without that."""
    kwargs = dict(kwargs)
    wanted: Any = kwargs.pop("device", None)
    if name == "cuda":
        return "cuda", args[:1], {}
    if name == "cpu":
        return "cpu", args[:1], {}
    if name in ("to", "type_as") and len(args) > 1:
        first = args[1]
        if isinstance(first, Tensor):
            return first.device.type, (args[0], first.dtype, *args[2:]), kwargs
        if isinstance(first, str | torch.device):
            wanted, args = first, (args[0], *args[2:])
            if len(args) > 1 and args[1] is None:  # to(device, dtype): that of the tensor
                args = (args[0], args[0].dtype, *args[2:])
    if wanted is None:
        return None, args, kwargs
    wanted = torch.device(wanted)
    if wanted.type == "meta":
        kwargs["device"] = wanted
    if name == "to" and len(args) == 1 and not {"dtype", "copy"} & kwargs.keys():
        kwargs["dtype"] = args[0].dtype
    return wanted.type, args, kwargs


def _plain_call(func: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
    with torch._C.DisableTorchFunction():
        return func(*args, **kwargs)


def _repeat(run: Callable[[], Any], recorded: Any) -> None:
    """Into the memory that the captured call's result has."""
    for old, new in zip(_tensors(recorded), _tensors(run()), strict=True):
        if old.data_ptr() != new.data_ptr():
            old.as_subclass(Tensor).copy_(new.as_subclass(Tensor))


def _keep_side(result: Any, on_device: bool) -> Any:
    side = OnDevice if on_device else Tensor
    return tree_map_only(
        Tensor, lambda tensor: tensor if tensor.is_cuda == on_device else tensor.as_subclass(side), result
    )


def _other_memory(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor).clone()


def _fill_with_garbage(tensor: Tensor) -> Tensor:
    plain = tensor.as_subclass(Tensor)
    if plain.is_floating_point() and plain.dtype.itemsize > 1:
        plain.fill_(float("nan"))
    elif plain.dtype is torch.uint8:
        plain.fill_(0x7F)
    return tensor


def _chooses_by_mask(name: str, args: Any) -> bool:
    return name in ("__getitem__", "__setitem__") and _is_any(
        (args[1],), lambda tensor: tensor.dtype is torch.bool and tensor.is_cuda
    )


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_iter(tree) if isinstance(leaf, Tensor)]


def _is_any(tree: Any, is_one: Callable[[Tensor], bool]) -> bool:
    return any(map(is_one, _tensors(tree)))


def _on_host(tensor: Tensor) -> bool:
    return not tensor.is_cuda


def _is_any_on_device(tree: Any) -> bool:
    return _is_any(tree, lambda tensor: tensor.is_cuda)
