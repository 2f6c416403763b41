"""A synthetic roster (花名册) in a county's real villages: nobody in it exists.

Households, ages and benefits are drawn from a seed, so that the same seed makes the same file to
the byte. Amounts follow the policy files in force, but for a few households still on last year's
standard: the check reports those as differences.
"""

from services.cli.sample_roster.workbook import write

__all__ = ["write"]
