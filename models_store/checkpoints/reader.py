"""An untrusted PyTorch checkpoint file → its values, with tensors left where they lie in the file.

Both forms that `torch.save` has written are read: the zip archive (since 1.6) and the older sequence of
pickles followed by storages. Nothing in the file is executed and nothing is decompressed; names of code other
than a checkpoint's own are reported.

torch.load(weights_only=True) isn't used: it builds tensors before their numbers are checked, stops at the
first name it doesn't know, reads the older form into memory whole, and costs two seconds and 200 MB to
import. Tests hold this reader against it.
"""

from __future__ import annotations

# Codecs are imported when they are first used, which the sandbox forbids: zipfile's and pickletools' own.
import encodings.ascii
import encodings.cp437
import encodings.latin_1
import encodings.raw_unicode_escape
import encodings.unicode_escape  # noqa: F401
import io
import os
import struct
import zipfile
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from models_store.checkpoints.pickled import Attributes, Inert, Name, PickleDamaged, Unpickled, read_pickle
from models_store.checkpoints.stored_tensor import ELEMENT_TYPES, Extent, Storage, StoredTensor

MAX_PICKLE_BYTES = 64 << 20
MAX_ZIP_MEMBERS = 100_000
ZIP_MAGIC = b"PK\x03\x04"
# torch/serialization.py, _legacy_save: pickled in front of everything else.
OLD_FORM_MAGIC = 0x1950A86A20F9469CFC6C
OLD_FORM_PROTOCOL = 1001
LARGEST_NUMBER = 1 << 62


class Checkpoint(NamedTuple):
    value: Any  # dicts, lists, tuples, numbers, text, StoredTensor, Inert
    extents: Mapping[str, Extent]  # storage key → where it lies
    foreign_names: tuple[str, ...]  # of code that no checkpoint of a known family needs
    header: str = ""  # the two digits that stood in the place of the zip's first two bytes


class CheckpointDamaged(ValueError):
    """Not a checkpoint, or a damaged one: `found` in the words of a report, with the foreign names so far."""

    def __init__(self, found: str, foreign_names: tuple[str, ...] = ()) -> None:
        super().__init__(found)
        self.found = found
        self.foreign_names = foreign_names


def read_checkpoint(descriptor: int, headers: Collection[str] = ()) -> Checkpoint:
    """Read the structure of the checkpoint in an open file. Raises CheckpointDamaged.

    `headers`: two digits each that the family's training writes over the first two bytes of the zip form.
    """
    size = os.fstat(descriptor).st_size
    if not size:
        raise CheckpointDamaged("an empty file")
    header = _header(os.pread(descriptor, 4, 0))
    if header and header not in headers:
        raise CheckpointDamaged(f"a zip archive behind the two digits {header}")
    is_zip = header is not None
    try:
        checkpoint = _read_zip_form(descriptor, size) if is_zip else _read_old_form(descriptor, size)
    except PickleDamaged as damage:
        raise CheckpointDamaged(str(damage), _foreign(damage.names)) from damage
    return checkpoint._replace(header=header or "")


def _header(magic: bytes) -> str | None:
    """The digits written over a zip's magic, "" where it is whole, None for a file that is no zip."""
    if magic == ZIP_MAGIC:
        return ""
    written_over = magic[2:] == ZIP_MAGIC[2:] and magic[:2].isdigit()
    return magic[:2].decode("ascii") if written_over else None


def _read_zip_form(descriptor: int, size: int) -> Checkpoint:
    members = _zip_members(descriptor)
    extents = {name: _member_extent(descriptor, member, size) for name, member in members.items()}
    pickles = [name for name in members if name.endswith(".pkl")]
    roots = [name for name in pickles if name.count("/") == 1 and name.endswith("/data.pkl")]
    if any("/code/" in name or name.endswith("/constants.pkl") for name in members):
        raise CheckpointDamaged("a TorchScript archive, which holds a program")
    if len(roots) != 1:
        raise CheckpointDamaged(f"a zip archive with {len(roots)} data.pkl, not a PyTorch checkpoint")
    if hidden := sorted(set(pickles) - set(roots)):
        raise CheckpointDamaged(f"pickles beside data.pkl: {', '.join(hidden[:5])[:200]}")
    folder = roots[0].removesuffix("data.pkl")
    if byte_order := extents.get(f"{folder}byteorder"):
        _check_byte_order(os.pread(descriptor, min(byte_order.size, 16), byte_order.start))
    root = extents[roots[0]]
    if root.size > MAX_PICKLE_BYTES:
        raise CheckpointDamaged(f"a data.pkl of {root.size} bytes")
    stream = io.BytesIO(os.pread(descriptor, root.size, root.start))
    value, names = _read_value(stream)
    if behind := root.size - stream.tell():
        raise CheckpointDamaged(f"{behind} bytes behind the end of data.pkl", _foreign(names))
    data = f"{folder}data/"
    storages = {name.removeprefix(data): extents[name] for name in members if name.startswith(data)}
    return Checkpoint(value, storages, _foreign(names))


def _zip_members(descriptor: int) -> dict[str, zipfile.ZipInfo]:
    try:
        with open(descriptor, "rb", closefd=False) as file, zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise CheckpointDamaged(f"a truncated or damaged zip archive ({error})"[:200]) from error
    members = {info.filename: info for info in infos}
    if len(infos) > MAX_ZIP_MEMBERS:
        raise CheckpointDamaged(f"a zip archive of {len(infos)} members")
    if len(members) != len(infos):
        # Readers disagree about which of them counts.
        raise CheckpointDamaged("a zip archive that holds two members of one name")
    return members


def _member_extent(descriptor: int, member: zipfile.ZipInfo, size: int) -> Extent:
    """Where a member's bytes lie: behind its local header, whose lengths differ from the directory's."""
    if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
        raise CheckpointDamaged("compressed or encrypted members, which no checkpoint writer makes")
    inside = 0 <= member.header_offset < size
    header = os.pread(descriptor, 30, member.header_offset) if inside else b""
    if len(header) < 30 or not _is_member_magic(header[:4], member.header_offset):
        raise CheckpointDamaged("a zip archive whose directory points outside it")
    name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
    extent = Extent(member.header_offset + 30 + name_bytes + extra_bytes, member.file_size)
    if extent.start + extent.size > size:
        raise CheckpointDamaged("a truncated zip archive")
    return extent


def _is_member_magic(magic: bytes, offset: int) -> bool:
    """The first member's may have been written over; whether it may was decided by then."""
    return magic == ZIP_MAGIC or (offset == 0 and _header(magic) is not None)


def _read_old_form(descriptor: int, size: int) -> Checkpoint:
    """Pickles (magic, protocol, system, value, storage keys), then each storage: int64 count, elements."""
    stream = io.BytesIO(os.pread(descriptor, min(size, MAX_PICKLE_BYTES), 0))
    try:
        start = read_pickle(stream, _build, _no_storage)
    except PickleDamaged as damage:
        raise CheckpointDamaged("a file that is no PyTorch checkpoint", _foreign(damage.names)) from damage
    if start.value != OLD_FORM_MAGIC:
        raise CheckpointDamaged("a file that is no PyTorch checkpoint", _foreign(start.names))
    protocol = read_pickle(stream, _build, _no_storage)
    system = read_pickle(stream, _build, _no_storage)
    names = start.names | protocol.names | system.names
    if protocol.value != OLD_FORM_PROTOCOL or not isinstance(system.value, dict):
        raise CheckpointDamaged("a damaged checkpoint", _foreign(names))
    if not system.value.get("little_endian", True):
        raise CheckpointDamaged("big-endian data", _foreign(names))
    elements: dict[str, int] = {}  # storage key → bytes per element
    value, value_names = _read_value(stream, elements)
    keys, key_names = read_pickle(stream, _build, _no_storage)
    names |= value_names | key_names
    if not isinstance(keys, list) or not all(str(key) in elements for key in keys):
        raise CheckpointDamaged("a damaged list of storages", _foreign(names))
    extents: dict[str, Extent] = {}
    position = stream.tell()
    for key in map(str, keys):
        header = os.pread(descriptor, 8, position)
        count = struct.unpack("<q", header)[0] if len(header) == 8 else -1
        extents[key] = Extent(position + 8, count * elements[key])
        position += 8 + count * elements[key]
        if count < 0 or position > size:
            raise CheckpointDamaged("a truncated checkpoint", _foreign(names))
    return Checkpoint(value, extents, _foreign(names))


def _read_value(stream: io.BytesIO, elements: dict[str, int] | None = None) -> Unpickled:
    def load_storage(identity: Any) -> Storage:
        storage = _storage(identity)
        if elements is not None:
            elements[storage.key] = storage.element.itemsize
        return storage

    return read_pickle(stream, _build, load_storage)


def _storage(identity: Any) -> Storage:
    """("storage", type, key, location, count[, view]): the location is a device, and ours is none of its."""
    match identity:
        case ["storage" | b"storage", Name(module, name), key, *rest] if len(rest) in (2, 3):
            if len(rest) == 3 and rest[2] is not None:
                raise PickleDamaged("a view of a storage, as PyTorch wrote before 0.4")
            if module.startswith("torch") and name in ELEMENT_TYPES:
                return Storage(str(key), ELEMENT_TYPES[name])
            raise PickleDamaged(f"a storage of type {name[:50]}")
    raise PickleDamaged("a reference to something that is not a storage")


def _no_storage(_: Any) -> Any:
    raise PickleDamaged("a storage where none is due")


def _check_byte_order(order: bytes) -> None:
    if order != b"little":
        raise CheckpointDamaged("big-endian data")


# The names that checkpoints of the known families hold, and what a call of each gives here.


def _tensor(_: Name, arguments: Sequence[Any]) -> StoredTensor:
    storage, offset, shape, stride, *_rest = arguments
    if not isinstance(storage, Storage):
        raise PickleDamaged("a tensor without a storage")
    numbers = (offset, *shape, *stride)
    if not all(type(number) is int and abs(number) < LARGEST_NUMBER for number in numbers):
        raise PickleDamaged("a tensor whose shape is not made of numbers")
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _first(_: Name, arguments: Sequence[Any]) -> Any:
    return arguments[0]


def _pairs(_: Name, arguments: Sequence[Any]) -> dict[Any, Any]:
    items = arguments[0] if arguments and isinstance(arguments[0], list) else []
    return {key: value for key, value in items if isinstance(key, str)}


def _empty_dict(_: Name, __: Sequence[Any]) -> dict[Any, Any]:
    return {}  # its items follow


def _sequence(_: Name, arguments: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(arguments[0]) if arguments else ()


def _inert(name: Name, _: Sequence[Any]) -> Inert:
    return Inert(name)


def _attributes(_: Name, __: Sequence[Any]) -> Attributes:
    return Attributes()  # its state follows


_Call: TypeAlias = Callable[[Name, Sequence[Any]], Any]
_CALLS: Mapping[str, _Call] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "collections.OrderedDict": _pairs,
    "collections.defaultdict": _empty_dict,
    "collections.Counter": _empty_dict,
    "torch.Size": _sequence,
    "builtins.set": _inert,
    "__builtin__.set": _inert,
    # XTTS's config objects, under the module they were in and the one they are in.
    "TTS.tts.configs.xtts_config.XttsConfig": _inert,
    "TTS.tts.configs.xtts_config.XttsArgs": _inert,
    "TTS.tts.configs.xtts_config.XttsAudioConfig": _inert,
    "TTS.tts.models.xtts.XttsArgs": _inert,
    "TTS.tts.models.xtts.XttsAudioConfig": _inert,
    "TTS.config.shared_configs.BaseDatasetConfig": _inert,
    # GPT-SoVITS's config in sovits.pth; in pretrained gpt.ckpt, paths of the machine that trained it.
    "utils.HParams": _attributes,
    **{
        f"{module}.{kind}": _inert
        for module in ("pathlib", "pathlib._local")  # until Python 3.12, in 3.13
        for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    # What trainers keep beside the weights: optimizers, losses as numpy scalars, devices, types.
    "TTS.utils.radam.RAdam": _inert,
    "torch.optim.radam.RAdam": _inert,
    "torch.optim.adamw.AdamW": _inert,
    "torch.device": _inert,
    "numpy.core.multiarray.scalar": _inert,
    "numpy._core.multiarray.scalar": _inert,
    "numpy.core.multiarray._reconstruct": _inert,
    "numpy._core.multiarray._reconstruct": _inert,
    "numpy.dtype": _inert,
    "numpy.ndarray": _inert,
    "_codecs.encode": _inert,  # bytes, as protocol 2 spells them
}
# Named without being called: storage and element types, and defaultdict's factories.
_TYPES = frozenset(
    [f"{module}.{storage}" for module in ("torch", "torch.storage") for storage in ELEMENT_TYPES]
    + [f"torch.{t}" for t in "float32 float16 bfloat16 float64 int64 int32 int16 int8 uint8 bool".split()]
    + [f"{module}.{t}" for module in ("builtins", "__builtin__") for t in "dict list int float".split()]
)


def _build(name: Name, arguments: Sequence[Any]) -> Any:
    call: _Call = _CALLS.get(str(name), _inert)
    return call(name, arguments)


def _foreign(names: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(names - _CALLS.keys() - _TYPES))
