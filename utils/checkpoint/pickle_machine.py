"""Reads a pickle without executing it: opcodes build inert data, nothing in it is ever called.

Python's own unpickler imports and calls what the file names; restricting it still leaves a
machine that calls. Here a global is only a name (`Global`), a call only a record of it (`Call`),
an object only its class's name and its state (`Instance`). What may become a real value (a
dictionary, a set, a tensor) is decided by the reader of that data, see `torch_file.py`.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from utils.runtime.errors import UserError
from utils.runtime.printable import shortened

MAX_OPCODES = 400_000
"""Released checkpoints have about 60,000."""
MAX_KEY_PARTS = 16


@dataclass(frozen=True, slots=True)
class Global:
    """The name of something importable; it is not imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True, eq=False)
class Call:
    """A recorded call that was not made; later items and state of the result are kept beside it."""

    function: Global
    arguments: tuple[Any, ...]
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    elements: list[Any] = field(default_factory=list)


class PickleError(UserError):
    """A pickle that is damaged, or that names something a checkpoint has no use for."""


class _Mark:
    """Separator on the stack."""


MARK = _Mark()
Allow = Callable[[Global], bool]


class PickleMachine:
    """Interprets one pickle into inert data.

    Args:
        allow: says whether a global may be named at all; any other is refused by name.
        persistent: turns a persistent id (how torch refers to a storage) into a value.
        source: name of the file, for messages.
    """

    def __init__(self, *, allow: Allow, persistent: Callable[[Any], Any], source: str) -> None:
        self._allow = allow
        self._persistent = persistent
        self._source = source
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self, data: bytes) -> Any:
        """Return the value the pickle describes.

        Raises:
            PickleError: the pickle is damaged, too long, uses an opcode that no checkpoint needs
                or names a global that is not allowed.
        """
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
                if count > MAX_OPCODES:
                    raise PickleError(f"{self._source}: more than {MAX_OPCODES} pickle opcodes")
                if opcode.name == "STOP":
                    return self._stack.pop()
                self._step(opcode.name, argument)
        except PickleError:
            raise
        except (
            ValueError,
            IndexError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
            MemoryError,
        ) as error:
            raise PickleError(f"{self._source}: damaged pickle ({shortened(error)})") from error
        raise PickleError(f"{self._source}: pickle ends before it is complete")

    def _step(self, name: str, argument: Any) -> None:
        if name in _PUSH_ARGUMENT:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name]())
        elif name in _TUPLES:
            size = _TUPLES[name]
            items = tuple(self._stack[len(self._stack) - size :])
            if len(items) < size:
                raise ValueError("stack underflow")
            self._stack[len(self._stack) - size :] = [items]
        elif name in self._HANDLERS:
            self._HANDLERS[name](self, argument)
        else:
            raise PickleError(f"{self._source}: pickle opcode {name} is not used by checkpoints")

    def _pop_to_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise ValueError("no mark on the stack")

    def _global(self, module: str, name: str) -> Global:
        found = Global(module, name)
        if not self._allow(found):
            raise PickleError(
                f"{self._source} names {shortened(found)}, which has no place in a checkpoint; "
                "refused, nothing of the file was executed"
            )
        return found

    def _get(self, argument: Any) -> None:
        self._stack.append(self._memo[int(argument)])

    def _put(self, argument: Any) -> None:
        self._memo[int(argument)] = self._stack[-1]

    def _memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _on_global(self, argument: Any) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._global(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a global must be named by text")
        self._stack.append(self._global(module, name))

    def _call(self, _: Any) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._record_call(function, arguments)

    def _call_with_keywords(self, _: Any) -> None:
        keywords, arguments, function = self._stack.pop(), self._stack.pop(), self._stack.pop()
        if keywords:
            raise ValueError("keyword construction is not used by checkpoints")
        self._record_call(function, arguments)

    def _record_call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise ValueError("only a named global can be called, with a tuple of arguments")
        # Pickles of protocol 2 name a method so; anything else that getattr could reach is refused.
        if function.name == "getattr" and not _names_method(arguments):
            raise PickleError(
                f"{self._source} names getattr of {shortened(str(arguments[:1]))}, which has no "
                "place in a checkpoint; refused, nothing of the file was executed"
            )
        self._stack.append(Call(function, arguments))

    def _build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        if not isinstance(target, Call):
            raise ValueError(f"state for a {type(target).__name__}")
        target.state = state

    def _append(self, _: Any) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Call):
            target.elements.extend(items)
        else:
            raise ValueError(f"append to a {type(target).__name__}")

    def _add_items(self, _: Any) -> None:
        items, target = self._pop_to_mark(), self._stack[-1]
        if not isinstance(target, set):
            raise ValueError(f"set items for a {type(target).__name__}")
        target.update(map(_key, items))

    def _set_item(self, _: Any) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_pairs([key, value])

    def _set_items(self, _: Any) -> None:
        self._set_pairs(self._pop_to_mark())

    def _set_pairs(self, flat: list[Any]) -> None:
        target = self._stack[-1]
        items = target.items if isinstance(target, Call) else target
        if not isinstance(items, dict) or len(flat) % 2:
            raise ValueError(f"items for a {type(target).__name__}")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            items[_key(key)] = value

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _list(self, _: Any) -> None:
        self._stack.append(self._pop_to_mark())

    def _dict(self, _: Any) -> None:
        flat = self._pop_to_mark()
        self._stack.append({})
        self._set_pairs(flat)

    def _frozenset(self, _: Any) -> None:
        self._stack.append(frozenset(map(_key, self._pop_to_mark())))

    def _persistent_id(self, _: Any) -> None:
        self._stack.append(self._persistent(self._stack.pop()))

    def _pop(self, _: Any) -> None:
        self._stack.pop()

    def _ignore(self, _: Any) -> None:
        """Protocol and frame markers carry no data."""

    def _mark(self, _: Any) -> None:
        self._stack.append(MARK)

    _HANDLERS: ClassVar[dict[str, Callable[["PickleMachine", Any], None]]] = {
        "PROTO": _ignore, "FRAME": _ignore, "MARK": _mark, "POP": _pop,
        "GET": _get, "BINGET": _get, "LONG_BINGET": _get,
        "PUT": _put, "BINPUT": _put, "LONG_BINPUT": _put, "MEMOIZE": _memoize,
        "GLOBAL": _on_global, "STACK_GLOBAL": _stack_global,
        "REDUCE": _call, "NEWOBJ": _call, "NEWOBJ_EX": _call_with_keywords, "BUILD": _build,
        "APPEND": _append, "APPENDS": _appends, "ADDITEMS": _add_items,
        "SETITEM": _set_item, "SETITEMS": _set_items,
        "TUPLE": _tuple, "LIST": _list, "DICT": _dict, "FROZENSET": _frozenset,
        "BINPERSID": _persistent_id,
    }  # fmt: skip


_PUSH_ARGUMENT = frozenset(
    {
        "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
        "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE",
        "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    }
)  # fmt: skip
_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_SET": set,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _names_method(arguments: tuple[Any, ...]) -> bool:
    """Tell whether arguments of getattr are a class that may be named and a public name."""
    match arguments:
        case (Global(name=owner), str(name)):
            return owner[:1].isupper() and name.isidentifier() and not name.startswith("_")
    return False


def _key(value: Any) -> Any:
    """Return what may be a key or an element of a set: text, a number, or a flat tuple of these.

    To hash a tuple of tuples of tuples takes as long as somebody wants, or all of the C stack.
    """
    is_flat = type(value) is tuple and len(value) <= MAX_KEY_PARTS
    if is_flat and all(type(part) in (str, int) for part in value):
        return value
    if value is None or type(value) in (str, int, float, bool, bytes):
        return value
    raise ValueError(f"a {type(value).__name__} as key")
