"""Slots: how many may do something at a time, where that number may change."""

import trio


class Slots:
    """Let `total` in at a time, first come, first served; a smaller total takes no slot away.

    It costs two Python calls where nobody has to wait, and `trio.CapacityLimiter` costs 25.
    """

    __slots__ = ("_queued", "_total", "_waiting", "used")

    def __init__(self, total: int) -> None:
        self._total = total
        self._waiting = trio.lowlevel.ParkingLot()
        self._queued = 0
        self.used = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self._total

    @total.setter
    def total(self, total: int) -> None:
        self._total = total
        self._pass_on()

    def take_now(self) -> bool:
        """Take a slot if there is one and nobody waits for it."""
        if self.used < self._total and not self._queued:
            self.used += 1
            return True
        return False

    async def take(self) -> None:
        """Take a slot, once there is one."""
        if self.take_now():
            return
        self._queued += 1
        try:
            await self._waiting.park()  # `_pass_on` takes the slot
        except trio.Cancelled:
            self._queued -= 1
            raise

    def give_back(self) -> None:
        """Give a slot back."""
        self.used -= 1
        if self._queued:
            self._pass_on()

    def _pass_on(self) -> None:
        # One that has just been cancelled counts as queued until it runs.
        while self.used < self._total and self._waiting.unpark():
            self._queued -= 1
            self.used += 1
