"""Share work under way: whoever asks for the same meanwhile gets the same outcome."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

import trio

from attachfs.errors import Closing

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flight(Generic[V]):
    """Hold one piece of work under way; `done` is set once it has ended."""

    __slots__ = ("done", "error", "kept", "scope", "value", "waiters")

    def __init__(self) -> None:
        self.scope: trio.CancelScope | None = None  # of work that somebody else's task does
        self.done = trio.Event()
        self.waiters = 0
        self.kept = False
        self.value: V
        self.error: Exception = Closing("the work was given up")

    def outcome(self) -> V:
        """Return what the work has returned, or raise what it has raised."""
        try:
            return self.value
        except AttributeError:
            # Without its old traceback: the same error is raised once per waiter.
            raise self.error.with_traceback(None) from self.error.__cause__


class Flights(Generic[K, V]):
    """Run one piece of work per key in a background nursery, for any number of waiters.

    The work is cancelled when its last waiter is, unless it is kept; what it raises is raised in
    every waiter and never reaches the nursery.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._flights: dict[K, Flight[V]] = {}

    async def join(self, key: K, work: Callable[[], Awaitable[V]], *, kept: bool = False) -> V:
        """Return the outcome of the work under way for `key`, or else of `work`, started now.

        What is `kept` goes on when nobody waits for it any more.
        """
        flight = self._under_way(key, work)
        flight.waiters += 1
        flight.kept = flight.kept or kept
        try:
            await flight.done.wait()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.kept and not flight.done.is_set():
                if flight.scope is not None:
                    flight.scope.cancel()
                self._land(key, flight)
        return flight.outcome()

    async def lead(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """Return the outcome of the work under way for `key`, or else do `work` in this task.

        For tasks of the background, which nobody cancels before the end: that of others who wait is
        then `Closing`. It spares a task and a cancel scope.
        """
        if key in self._flights:
            return await self.join(key, work)
        flight: Flight[V] = Flight()
        flight.kept = True
        self._flights[key] = flight
        try:
            flight.value = await work()
        except Exception as error:
            flight.error = error
            raise
        finally:
            self._land(key, flight)
            flight.done.set()
        return flight.value

    def begin(self, key: K, work: Callable[[], Awaitable[V]]) -> Flight[V]:
        """Return the work under way for `key`, or else `work`, started now; it is kept."""
        flight = self._under_way(key, work)
        flight.kept = True
        return flight

    def _under_way(self, key: K, work: Callable[[], Awaitable[V]]) -> Flight[V]:
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight()
            flight.scope = trio.CancelScope()
            self._nursery.start_soon(self._fly, key, flight, flight.scope, work)
            self._flights[key] = flight  # not before: a nursery that is closed takes no work
        return flight

    async def _fly(
        self,
        key: K,
        flight: Flight[V],
        scope: trio.CancelScope,
        work: Callable[[], Awaitable[V]],
    ) -> None:
        try:
            with scope:
                try:
                    flight.value = await work()
                except Exception as error:  # noqa: BLE001 - handed to the waiters, all of it
                    flight.error = error
        finally:
            self._land(key, flight)
            flight.done.set()

    def _land(self, key: K, flight: Flight[V]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
