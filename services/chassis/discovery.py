"""Finds a service's class by its name, without the chassis importing any service."""

from __future__ import annotations

import importlib
from typing import Any

NAMES = ("registry", "cases", "funding", "notify")


def service_class(name: str) -> Any:
    """``cases`` → ``services.cases.service.CasesService``; ``module:Class`` works as well.

    Raises ``LookupError`` for anything else.
    """
    module, _, cls = name.partition(":")
    if not cls:
        if name not in NAMES:
            raise LookupError(f"no such service: {name}")
        module, cls = f"services.{name}.service", f"{name.capitalize()}Service"
    return getattr(importlib.import_module(module), cls)
