"""How long one exchange with a server may take: all of it, and each wait for bytes."""

from math import inf
from types import TracebackType
from typing import Self

import trio


class Deadline:
    """Cancel what is in the `with` block, and end the block, once its time is over.

    `patience_s` bounds each wait for bytes, `until_s` of trio's clock all of it. One cancel scope
    serves all waits of an exchange, because each scope costs 39 Python calls: who waits for bytes
    says so by `arm`, and who waits for something else by `suspend` or `queue`. `begun_s` is since
    when the exchange has been under way, `ended_s` when its answer was closed.
    """

    __slots__ = ("_scope", "begun_s", "ended_s", "patience_s", "until_s")

    def __init__(
        self, patience_s: float = inf, until_s: float = inf, *, now_s: float | None = None
    ) -> None:
        self.patience_s = patience_s
        self.until_s = until_s
        self.begun_s = self.ended_s = trio.current_time() if now_s is None else now_s

    def __enter__(self) -> Self:
        self._scope = trio.CancelScope(deadline=min(self.begun_s + self.patience_s, self.until_s))
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return self._scope.__exit__(kind, error, traceback)

    @property
    def over(self) -> bool:
        """Return whether the time is over."""
        return self._scope.cancel_called

    def queue(self) -> None:
        """Begin to wait for one's turn, until `restart`: nothing is under way."""
        self.begun_s = inf
        self._scope.deadline = self.until_s

    def arm(self) -> None:
        """Begin a wait for bytes."""
        self._scope.deadline = min(trio.current_time() + self.patience_s, self.until_s)

    def restart(self) -> None:
        """Begin the exchange itself."""
        self.begun_s = trio.current_time()
        self._scope.deadline = min(self.begun_s + self.patience_s, self.until_s)

    def suspend(self) -> None:
        """Begin a wait for something else."""
        self._scope.deadline = self.until_s
