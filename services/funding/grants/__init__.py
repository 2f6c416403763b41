"""Decisions become entitlements: the one door through which a benefit comes into funding.

``decided`` takes a batch of decisions; ``opening`` opens what they grant at the ``amounts`` they
say; ``changing`` does what reviews and corrections do to what is held; ``undone_imports`` takes
back what a roster brought.
"""

from services.funding.grants.decided import on_decided
from services.funding.grants.undone_imports import on_undo_asked

__all__ = ["on_decided", "on_undo_asked"]
