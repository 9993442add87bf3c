"""Fields of a dataclass that are worked out when they are first read: most findings are counted, and few are shown."""

from collections.abc import Callable
from typing import Any


class Later:
    """A field's place; it is given its value, or a function without arguments that returns it."""

    def __init__(self, *default: object) -> None:
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:  # a dataclass asks so for the default
            if not self._default:
                raise AttributeError(self._name)
            return self._default[0]
        value = instance.__dict__[self._name]
        if callable(value):
            value = instance.__dict__[self._name] = value()
        return value

    def __set__(self, instance: object, value: object) -> None:
        instance.__dict__[self._name] = value


def later(*default: object) -> Any:
    """Return a field's place, with the type of the field."""
    return Later(*default)


def worked_out(function: Callable[[], object]) -> Any:
    """Return a value for such a field, with the type of the field."""
    return function
