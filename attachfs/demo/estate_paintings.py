"""Two small paintings for the sample estate, as functions from place to colour."""

# ruff: noqa: PLR2004 -- a painting is made of places and colours, which need no names

from collections.abc import Callable

Pixel = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

Painter = Callable[[float, float], Pixel]
"""Gives the colour at a place, both coordinates from 0 to 1, downwards."""


def harbour(x: float, y: float) -> Pixel:
    """Paint a container ship before an evening sky."""
    hull = 0.62 < y < 0.74 and 0.10 + (y - 0.62) * 0.5 < x < 0.92 - (y - 0.62) * 0.8
    if hull:
        return (120, 24, 28)
    if 0.42 < y <= 0.62 and 0.16 < x < 0.70:
        box = (int((x - 0.16) * 20) + int((y - 0.42) * 20) * 3) % 4
        return ((210, 120, 30), (40, 90, 160), (60, 130, 70), (200, 200, 190))[box]
    if 0.34 < y <= 0.62 and 0.76 < x < 0.86:
        return (235, 235, 230)
    if y > 0.70:
        return (20, 50 + int(60 * (1 - y)), 90)
    return (255 - int(90 * (1 - y)), 150 + int(60 * y), 110 + int(90 * (1 - y)))


def thermometer(x: float, y: float) -> Pixel:
    """Paint a temperature sensor with its display."""
    if (x - 0.5) ** 2 + (y - 0.5) ** 2 > 0.2:
        return (236, 240, 241)
    if 0.4 < y < 0.6 and 0.25 < x < 0.75:
        return (30, 60, 40) if int(x * 40) % 5 else (120, 230, 140)
    return (70, 78, 84)
