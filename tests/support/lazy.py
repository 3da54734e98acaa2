"""Large libraries that few tests need: each worker of xdist imports every test module."""

import importlib
from typing import Any


class LazyModule:
    """Stand for a module that is imported when something of it is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # pytest looks for marks at everything in a module
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)
