"""What the clinic answers when it cannot do what was asked."""

from __future__ import annotations


class NotFoundError(Exception):
    """There is no such record; the text says which."""


class FieldError(Exception):
    """One field's value does not fit what is already recorded. `taken` means that another record has the value."""

    def __init__(self, field: str, message: str, *, taken: bool = False) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.taken = taken
