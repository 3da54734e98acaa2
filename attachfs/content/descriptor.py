"""A file descriptor that is closed when nobody holds it any more."""

import os


class Descriptor:
    """Own the descriptor of an open file.

    What weak references lead to must not close one itself: they still lead there while `__del__`
    runs, and closing lets other threads run, which then had a body whose file is closed.
    """

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)
