"""A pickle read as data: a stack machine that builds containers and records names, and can run nothing.

Python's own unpickler looks classes up and calls them, and what keeps it safe is a filter in front of that.
Here there is nothing to filter: a name in the file stays a name, "calling" one is a row in a table that the
caller passes, and an object of an unknown class is an `Inert`. The stream is decoded by the standard
library's `pickletools`, so every protocol is understood, and every name that a file holds is known at its
end, however it was spelled.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

# A trainer checkpoint of 5.4 GB has about 100,000 operations.
MAX_OPERATIONS = 1_000_000
MAX_NAME_CHARS = 200


class Name(NamedTuple):
    """A class or function that the file names; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"[:MAX_NAME_CHARS]


@dataclass(frozen=True, slots=True)
class Inert:
    """An object of that class, without its state."""

    of: Name


class Attributes(dict[Any, Any]):
    """A known config object as its attributes by name."""


class PickleDamaged(ValueError):
    """The bytes are not a pickle, or one that no checkpoint writer makes."""

    names: frozenset[str] = frozenset()  # what it had named until there


Build = Callable[[Name, Sequence[Any]], Any]  # the name that is called and its arguments


class Unpickled(NamedTuple):
    value: Any
    names: frozenset[str]  # everything the file names


_MARK = object()
_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_EMPTY: Mapping[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
# fmt: off
_LITERALS = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
))
# fmt: on
_IGNORED = frozenset(("PROTO", "FRAME"))
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEYS = (str, int, float, bytes, bool, type(None))


def read_pickle(stream: BinaryIO, build: Build, load_persistent: Callable[[Any], Any]) -> Unpickled:
    """Read one pickle from the stream's position and leave the stream behind it.

    `build` makes values of the names it knows and returns `Inert` for the others; `load_persistent` turns a
    persistent id (a torch storage) into a value. Raises PickleDamaged.
    """
    machine = _Machine(build, load_persistent)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPERATIONS:
                raise PickleDamaged(f"more than {MAX_OPERATIONS} pickle operations")
            machine.step(opcode.name, argument)
        return Unpickled(machine.pop(), frozenset(machine.names))
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, EOFError, AttributeError) as error:
        known = isinstance(error, PickleDamaged)
        damage = PickleDamaged(str(error) if known else f"a damaged pickle ({error})"[:MAX_NAME_CHARS])
        damage.names = frozenset(machine.names)
        raise damage from error


class _Machine:
    def __init__(self, build: Build, load_persistent: Callable[[Any], Any]) -> None:
        self.names: set[str] = set()
        self._build = build
        self._load_persistent = load_persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def step(self, operation: str, argument: Any) -> None:
        if operation in _LITERALS:
            self._stack.append(argument)
        elif operation in _CONSTANTS:
            self._stack.append(_CONSTANTS[operation])
        elif operation in _EMPTY:
            self._stack.append(_EMPTY[operation]())
        elif operation in _TUPLES:
            self._stack.append(tuple(self._pop_many(_TUPLES[operation])))
        elif operation in _IGNORED or operation == "STOP":
            pass
        elif method := getattr(self, f"on_{operation.lower()}", None):
            method(argument)
        else:
            raise PickleDamaged(f"the pickle operation {operation}, which no checkpoint needs")

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise PickleDamaged("a damaged pickle (mark without its end)")
        return value

    def _pop_many(self, count: int) -> list[Any]:
        return [self.pop() for _ in range(count)][::-1]

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise PickleDamaged(f"{type(self._stack[-1]).__name__} where a {kind.__name__} is due")
        return self._stack[-1]

    # The stack and the memo

    def on_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def on_pop(self, _: Any) -> None:
        self._stack.pop()

    def on_pop_mark(self, _: Any) -> None:
        self._pop_to_mark()

    def on_dup(self, _: Any) -> None:
        self._stack.append(self._stack[-1])

    def on_put(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    on_binput = on_long_binput = on_put

    def on_memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def on_get(self, index: int) -> None:
        self._stack.append(self._memo[index])

    on_binget = on_long_binget = on_get

    # Containers

    def on_list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def on_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def on_dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._stack.append({})
        self._set_items(items)

    def on_append(self, _: Any) -> None:
        item = self.pop()
        self._top(list).append(item)

    def on_appends(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._top(list).extend(items)

    def on_setitem(self, _: Any) -> None:
        self._set_items(self._pop_many(2))

    def on_setitems(self, _: Any) -> None:
        self._set_items(self._pop_to_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, Inert):
            return
        pairs = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, _KEYS):  # also keeps hashing from recursing into nested tuples
                raise PickleDamaged(f"a dict key of type {type(key).__name__}")
            pairs[key] = value

    def on_additems(self, _: Any) -> None:
        items = self._pop_to_mark()
        self._top(set).update(item for item in items if isinstance(item, _KEYS))

    def on_frozenset(self, _: Any) -> None:
        self._stack.append(frozenset(item for item in self._pop_to_mark() if isinstance(item, _KEYS)))

    # Names, and what would be calls

    def _name(self, module: Any, name: Any) -> Name:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleDamaged("a name that is not text")
        found = Name(module, name)
        self.names.add(str(found))
        return found

    def on_global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._name(module, name))

    def on_stack_global(self, _: Any) -> None:
        self._stack.append(self._name(*self._pop_many(2)))

    def on_inst(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._construct(self._name(module, name), self._pop_to_mark())

    def on_obj(self, _: Any) -> None:
        constructor, *arguments = self._pop_to_mark()
        self._construct(constructor, arguments)

    def on_reduce(self, _: Any) -> None:
        constructor, arguments = self._pop_many(2)
        self._construct(constructor, arguments)

    on_newobj = on_reduce

    def on_newobj_ex(self, _: Any) -> None:
        constructor, arguments, _keywords = self._pop_many(3)
        self._construct(constructor, arguments)

    def _construct(self, constructor: Any, arguments: Any) -> None:
        if isinstance(constructor, Inert):  # what an unknown name returned is called in turn
            self._stack.append(constructor)
            return
        if not isinstance(constructor, Name) or not isinstance(arguments, list | tuple):
            raise PickleDamaged(f"a call of a {type(constructor).__name__}")
        self._stack.append(self._build(constructor, arguments))

    def on_build(self, _: Any) -> None:
        state = self.pop()
        # No other object here has any state.
        if isinstance(self._stack[-1], Attributes) and isinstance(state, dict):
            self._stack[-1].update(state)

    def on_persid(self, argument: Any) -> None:
        self._stack.append(self._load_persistent(argument))

    def on_binpersid(self, _: Any) -> None:
        self._stack.append(self._load_persistent(self.pop()))
