"""What can go wrong; messages say what to do.

A bad self-edit is data (`InvalidSelfEdit` becomes a recorded trial); every other error is a failure of
the input or of the machinery, and stops the command with its message and no traceback.
"""


class SelfEditError(Exception):
    """Base of every error that a user can do something about."""


class InputError(SelfEditError):
    """A document, quiz or setting that cannot be used; the message names the file and the place."""


class ModelError(SelfEditError):
    """A model that cannot be found, fetched, verified or loaded."""


class OutOfMemory(SelfEditError):
    """Training or answering did not fit into memory. A failure of the machinery, never a bad edit."""


class WorkerError(SelfEditError):
    """Workers of a cluster that cannot be started, or that are lost again and again."""


class StoreError(SelfEditError):
    """The library's store cannot be read or written (newer version, full disk, corruption)."""


class ConnectionLost(StoreError):
    """The connection to the store's server ended in the middle of a transaction, which left nothing."""


class NoSuchRun(StoreError):
    """The store holds no run of that number, or one of another kind."""


class AdapterError(SelfEditError):
    """An adapter that does not exist, is damaged, or belongs to another base model."""


class NoSuchVersion(AdapterError):
    """No version of that number can be used: there is none, it was deleted or rejected, or it belongs
    to another model."""


class CurrentMoved(AdapterError):
    """The current version has changed since the new one was begun. current: the version now."""

    def __init__(self, message: str, current: int | None) -> None:
        super().__init__(message)
        self.current = current


class EndpointError(SelfEditError):
    """An endpoint that cannot be reached, refuses, or sends no usable reply."""


class JudgeError(EndpointError):
    """An LLM judge that fails for good; it stops the run and never counts as a wrong answer."""


class InvalidSelfEdit(SelfEditError):
    """A self-edit with nothing to train on. It is recorded as a trial without a reward."""


class OverLimit(InvalidSelfEdit):
    """A valid self-edit that asks for more training than is allowed. Its trial fails without
    training."""
