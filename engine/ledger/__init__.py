"""The record of every tile's state, in object storage: what resumes a killed run, and what says who may drive it."""

from engine.ledger.advance import SYSTEMIC_AFTER, Attempts, Failure, Quarantine, Retry, Stop, advance, systemic
from engine.ledger.book import Ledger, standing_record
from engine.ledger.lease import Lease
from engine.ledger.record import Record

__all__ = [
    "SYSTEMIC_AFTER",
    "Attempts",
    "Failure",
    "Lease",
    "Ledger",
    "Quarantine",
    "Record",
    "Retry",
    "Stop",
    "advance",
    "standing_record",
    "systemic",
]
