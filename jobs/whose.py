"""Whose a model's accuracy is, and in what a job leaves the model's domain."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.ledger import Record
from engine.models import Card, model_digest, read_domain
from engine.models.domain import beyond, outside
from engine.models.ranges import ranges
from engine.models.whose import accuracy_of
from engine.plan import Plan
from engine.train import domain_of
from jobs.spec import Spec


def model_told(spec: Spec, plan: Plan, card: Card, records: Iterable[Record] = ()) -> dict[str, Any]:
    """The model of a job, as JSON: name, digest, its accuracy with whose it is, and ``outside``, sentences on in what
    the job leaves its domain.

    card: the model's, cut to the season. records: of the tiles that are mapped, whose values beyond the training's
    range are told as well.
    """
    job, its = domain_of(plan, spec.cube), read_domain(spec.model.uri)
    shares = ranges(card, (record.body["beyond_range"] for record in records if "beyond_range" in record.body))
    return {
        "name": card.name,
        "family": card.family,
        "digest": model_digest(spec.model.uri),
        "accuracy": accuracy_of(card, its, job),
        "outside": [*outside(its, job), *beyond(shares)],
        **({"beyond_the_trainings_range": shares} if shares else {}),
    }
