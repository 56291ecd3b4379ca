"""The one exception tree: every message says what came, what was expected, and what to do.

The command line and the web page are the only places that turn these into an exit code or a status; everything else
lets them pass.
"""

from __future__ import annotations


class DigitlabError(Exception):
    """Something the user can mend; the message is one line and needs no traceback.

    Example:
        >>> raise DataError("t10k-images-idx3-ubyte: 12 bytes, expected at least 16. Is the file cut off?")
        Traceback (most recent call last):
        digitlab.errors.DataError: t10k-images-idx3-ubyte: 12 bytes, expected at least 16. Is the file cut off?
    """


class DataError(DigitlabError):
    """Images or labels that are damaged, mislabelled, or of the wrong kind."""


class RecipeError(DigitlabError):
    """A recipe or one of its fields that cannot be trained, or a user's model that does not fit the data.

    Attributes:
        field: The field or argument that is wrong, "" where it is not one of them.
        text: The rest of the message: what came, what was expected, what to do.

    Example:
        >>> error = RecipeError.of("epochs", 0, "a whole number of at least 1")
        >>> str(error), error.field
        ('epochs: got 0, expected a whole number of at least 1', 'epochs')
    """

    def __init__(self, text: str, field: str = "") -> None:
        super().__init__(text, field)
        self.text, self.field = text, field

    def __str__(self) -> str:
        return f"{self.field}: {self.text}" if self.field else self.text

    @classmethod
    def of(cls, field: str, got: object, expected: str, hint: str = "") -> RecipeError:
        """A field that has a value it cannot have."""
        return cls(f"got {repr(got)[:100]}, expected {expected}" + (f". {hint}" if hint else ""), field)


class RunError(DigitlabError):
    """A run folder that is missing, in use, damaged, or of another version."""


class TrainingError(DigitlabError):
    """Training that cannot go on: the loss became NaN or infinite."""


class ReadingError(DigitlabError):
    """An image that cannot be read."""


class ExportError(DigitlabError):
    """A model that cannot be written in the format asked for."""


class ServingError(DigitlabError):
    """A server that cannot be started, or a request that it cannot answer."""


class ProcessError(DigitlabError):
    """A piece of work that took too long or too much memory, or ended the process that did it.

    Attributes:
        timed_out: it took longer than it may.
        busy: it was not begun, because too much else was waiting.
    """

    def __init__(self, message: str, *, timed_out: bool = False, busy: bool = False) -> None:
        super().__init__(message)
        self.timed_out, self.busy = timed_out, busy
