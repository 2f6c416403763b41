"""Funding 资金: what is paid, from which policy, on whose signatures, and what the bank answered.

Owns      dated policies and exclusion rules, entitlements with their working, dues, monthly cycles and
          one-off batches, the ledger of transfers, budget lines, town reserves (备用金), bank files,
          return files, the stop list and the recovery list.
Publishes entitlement.quoted, entitlement.granted, entitlement.ended, cycle.locked, payment.settled,
          payment.failed, recovery.raised.
Hears     person.*, staff.appointed (registry: copies and deaths), assessment.requested, case.decided
          (cases: quotes asked for, benefits granted).
"""
