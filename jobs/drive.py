"""The sequence of a job, from a pinned plan to a published map: cube, model, map, collection, report.

This is what runs on the driver, on a laptop or as a job on a cluster's head. Every stage is a list of tiles streamed
through an executor; what the ledger says is done is not done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from engine.errors import MicroBatchTooLarge, TilthError
from engine.keys import map_keys, shards_around, tile_facts, unreached
from engine.ledger import Lease, Ledger, Record
from engine.ledger.lease import BUILDING
from engine.models import Card, model_digest, read_card, read_domain
from engine.models.whose import accuracy_of
from engine.objects import Objects
from engine.pipeline import CubeTask, MapTask
from engine.plan import Plan
from engine.run import Limits, Progress, stream
from engine.store import CubeLayout, prepare
from engine.train import TrainRequest, domain_of, is_trained, train
from engine.types import Tile
from engine.work import LEDGER, CubeWork, MapWork, Work, cube_ledger
from jobs.checks import checked_card
from jobs.ended import begins
from jobs.epochs import Epochs
from jobs.familiar import output_of, said_before
from jobs.finish import finish, stated
from jobs.notes import said_of_training
from jobs.older import published, set_aside
from jobs.parcels import dealt_out, dealt_uri, described, shares
from jobs.pinned import is_of_another, micro_batch, pin
from jobs.seasons import described_season, other_seasons
from jobs.spec import Spec
from jobs.tiles import BARE, bare, damaged
from jobs.whose import model_told
from jobs.workers import executor_for

CHANCE_KAPPA = 0.2
"""Below it agreement is called slight (Landis and Koch 1977, table 2)."""


@dataclass
class Drive:
    """One execution of a plan.

    ``say`` tells a person a sentence, ``tick`` is told of progress, ``stop`` asks whether to end early: an error that
    says why, or None.
    """

    spec: Spec
    plan: Plan
    say: Callable[[str], None]
    tick: Callable[[Progress], None]
    stop: Callable[[], TilthError | None]
    fresh: bool = False
    """The plan is to be pinned, once the lease is ours; a resumed one is pinned already."""

    def __post_init__(self) -> None:
        self.output, self.cube = Objects(self.spec.output.uri), Objects(self.spec.cube.uri)
        self.limits = Limits(self.spec.byte_budget(), self.spec.compute.retries)
        self.began = time.monotonic()

    def run(self, last: str = "map") -> dict[str, Any]:
        """All stages up to ``last`` (cube, train, map). Returns the report; TilthError where it ends early."""
        with Lease(self.output.child(LEDGER)) as lease:
            self._leases = [lease]
            begins(self.output)
            layout, built = self.build_cube(last)
            self._refuse_without_cube(built)
            if last == "cube":
                return {"stage": "cube", "tiles": states(built, self.plan), "damaged": damaged(built, self.plan)}
            training = self.train_model(layout, built)
            if last == "train":
                return {"stage": "train", "training": training, "damaged": damaged(built, self.plan)}
            ledger = self.make_map(layout, built, lease.epoch)
            return finish(
                self.spec, self.plan, ledger, built, seconds=time.monotonic() - self.began, epoch=lease.epoch,
                register=self.register,
            )  # fmt: skip

    def build_cube(self, last: str) -> tuple[CubeLayout, Ledger]:
        """The cube stage, under the cube's own lease, which is given back when it is built; without one where every
        tile is there: several runs may map one cube, each by what its records say."""
        plan, records = self.plan, cube_ledger(self.spec.cube.uri)
        ledger = Ledger(records).load()
        if not self._cube_todo(ledger):
            self._take_up(last)
            self.say("cube: nothing to do, every tile is there")
            return prepare(self.cube, plan.grid, plan.axes), ledger
        with Lease(records, BUILDING) as lease:
            self._leases.append(lease)
            self._take_up(last)
            layout, ledger = prepare(self.cube, plan.grid, plan.axes), Ledger(records).load()
            self._build(layout, ledger, lease.epoch)
            self.cube.sweep()
        return layout, ledger

    def _take_up(self, last: str) -> None:
        """Pin a fresh plan, and deal out the parcels that a map asks for; a finished map of another spec stays what
        ``resume``, ``status`` and ``assess`` go by, unless this run maps as well."""
        if self.fresh and last != "map" and is_of_another(self.spec):
            self.say(f"{last}: not pinned, the finished map in {self.output.uri} stays as it is")
        elif self.fresh:
            pin(self.spec, self.plan)
        self.register = dealt_out(self.spec, self.plan) if last == "map" else None
        if self.register:
            self.say(described(self.register))

    def _cube_todo(self, ledger: Ledger) -> list[tuple[int, str, Mapping[str, Any]]]:
        """Index, key and earlier record of every tile whose key the ledger does not hold as written."""
        todo = []
        for index, tile in enumerate(self.plan.tiles):
            known = ledger.latest.get(tile.id)
            if self.plan.stands(index, known):
                continue
            previous = known.body if known and known.state != "quarantined" else {}
            todo.append((index, self.plan.cube_key(index), previous))
        return todo

    def _build(self, layout: CubeLayout, ledger: Ledger, epoch: int) -> None:
        plan, todo = self.plan, self._cube_todo(ledger)
        tasks = (
            CubeTask(
                plan.tiles[index], key, ledger.next_seq(plan.tiles[index].id), epoch, plan.items_of(index), previous,
                plan.cube_memory_bytes(self.spec.cube.threads),
            )
            for index, key, previous in todo
        )  # fmt: skip
        work = CubeWork(layout, self.spec.cube, plan.area.wkb, self.spec.mask)
        self._stage("cube", tasks, len(todo), work, ledger)

    def _refuse_without_cube(self, built: Ledger) -> None:
        """TilthError with the first tile's reason where not one cube tile could be built."""
        records = [built.latest[tile.id] for tile in self.plan.tiles if tile.id in built.latest]
        if any(record.state == "written" for record in records):
            return
        raise TilthError(
            f"not one of {len(self.plan.tiles)} cube tiles could be built; the first: "
            f"{records[0].body.get('reason', records[0].state).split('; remedy')[0] if records else 'not yet tried'}",
            place=self.spec.cube.uri,
            remedy=f"mend the scenes, then tilth tiles {self.spec.output.uri} --retry and tilth resume; or name them "
            "under inputs.*.exclude, or set inputs.*.damaged: leave_out, and submit anew",
        )

    def train_model(self, layout: CubeLayout, built: Ledger) -> dict[str, Any] | None:
        """Train when labels are given and no model trained from just this is there."""
        spec = self.spec
        if spec.labels is None:
            return None
        request = TrainRequest(
            plan=self.plan,
            layout=layout,
            records={tile.id: built.latest[tile.id] for tile in self.plan.tiles if tile.id in built.latest},
            cube_uri=spec.cube.uri,
            labels=spec.labels,
            recipe=spec.recipe(),
            options=spec.train_options(),
            model_uri=spec.model.uri,
            domain=domain_of(self.plan, spec.cube),
            mask=spec.mask,
            seasons=other_seasons(spec.labels, layout, spec.recipe()),
        )
        if is_trained(request):
            self.say("model: already trained from this cube and these labels")
            return None
        start = request.options.start_from
        self.say(f"model: training, family {request.options.family}" + (f", from {start}" if start else ""))
        for other in request.seasons:
            self.say(f"model: {described_season(other)}")
        began = time.monotonic()
        told = Epochs(request.options.epochs, self.say, self.tick, self._ending)
        report = train(request, told.epoch, told.hooks())
        told.end()
        for line in said_of_training(report):
            self.say(f"model: {line}")
        accuracy = accuracy_of(read_card(spec.model.uri), read_domain(spec.model.uri), request.domain)
        self.say(f"model: {accuracy['said']}; trained in {time.monotonic() - began:.0f} s")
        if (accuracy["kappa"] or 0.0) < CHANCE_KAPPA:
            self.say("model: hardly better than chance: look at the labels (training.json), the season and the scenes")
        return report

    def make_map(self, layout: CubeLayout, built: Ledger, epoch: int) -> Ledger:
        """The map stage; the micro-batch is halved on out-of-memory as long as nothing is committed."""
        spec, ledger = self.spec, Ledger(self.output.child(LEDGER)).load()
        card = checked_card(spec)
        for line in said_before(spec, card):
            self.say(f"map: {line}")
        digest = model_digest(spec.model.uri)
        for line in model_told(spec, self.plan, card)["outside"]:
            self.say(f"map: outside the model's domain: {line}")
        batch = micro_batch(self.output, digest, card, spec.compute.gpus_per_worker > 0)
        while True:
            todo = self._map_todo(ledger, built, card, digest, batch, epoch)
            if folder := set_aside(self.output, published(self.plan.tiles, ledger.latest), anew=bool(todo)):
                self.say(f"map: what was said of the map before is in {self.output.uri}/{folder}")
            tasks = self._map_tasks(todo, ledger, built, card, digest, epoch)
            work = MapWork(
                layout, spec.cube.uri, spec.model.uri, output_of(spec, card), self.plan.area.wkb, spec.mask, batch,
                "cuda" if spec.compute.gpus_per_worker else "cpu",
                spec.parcels, dealt_uri(spec), card.recipe.steps,
            )  # fmt: skip
            try:
                self._stage("map", tasks, len(todo), work, ledger)
                self._say_where(work.device, ledger)
                return ledger
            except MicroBatchTooLarge:
                if batch <= 16:
                    raise
                batch = micro_batch(self.output, digest, card, halve=batch)
                self.say(f"map: out of memory, micro-batch halved to {batch}")

    def _map_todo(
        self, ledger: Ledger, built: Ledger, card: Card, digest: str, batch: int, epoch: int
    ) -> list[tuple[Tile, str]]:
        """Tiles to map with their keys; those whose cube tile is quarantined are quarantined here, for that reason."""
        todo = []
        keys = map_keys(
            self.plan, built.latest, card, model=digest, micro_batch=batch, output=output_of(self.spec, card),
            mask=self.spec.mask, stated=stated(self.spec),
            parcels=(self.spec.parcels, self.register) if self.spec.parcels and self.register else None,
        )  # fmt: skip
        for tile, key in keys:
            known = ledger.latest.get(tile.id)
            if known and known.key == key and known.state != "pending":
                continue
            source = built.latest.get(tile.id)
            if source is None or source.state != "written":
                reason = f"cube: {source.body.get('reason', source.state) if source else 'not built'}"
                ledger.commit(Record(tile.id, ledger.next_seq(tile.id), key, "quarantined", epoch, {"reason": reason}))
                continue
            todo.append((tile, key))
        self._let_go(ledger, epoch)
        return todo

    def _map_tasks(
        self, todo: list[tuple[Tile, str]], ledger: Ledger, built: Ledger, card: Card, digest: str, epoch: int
    ) -> Iterator[MapTask]:
        """One task at a time: a country's would not fit into the driver."""
        facts = tile_facts(self.plan, {**stated(self.spec), "version": version("tilth"), "model": digest})
        memory = self.plan.map_memory_bytes(len(card.recipe.features), card.recipe.steps, card.halo)
        share = shares(self.plan, self.register, built.latest, card)
        for tile, key in todo:
            sums = shards_around(self.plan.grid, tile, card.halo, built.latest)
            owned, more = share(tile)
            bare = unreached(built.latest.get(tile.id), card)
            yield MapTask(tile, key, ledger.next_seq(tile.id), epoch, sums, facts(tile), memory + more, owned, bare)

    def _say_where(self, device: str, ledger: Ledger) -> None:
        on_cpu = sum(record.body.get("device") == "cpu" for record in ledger.latest.values())
        if device != "cpu" and on_cpu:
            self.say(f"map: {on_cpu} tiles were mapped on the CPU: torch found no {device} where Ray gave a GPU")

    def _let_go(self, ledger: Ledger, epoch: int) -> None:
        """Tiles that only an earlier plan had count as written no more: their files are pruned at the end."""
        mine = {tile.id for tile in self.plan.tiles}
        for old in [r for r in ledger.latest.values() if r.state == "written" and r.tile not in mine]:
            ledger.commit(Record(old.tile, old.seq + 1, old.key, "pending", epoch, {}))

    def _stage(self, name: str, tasks: Iterator[Any], total: int, work: Work, ledger: Ledger) -> None:
        if total == 0:
            self.say(f"{name}: nothing to do, every tile is there")
            return
        self.say(f"{name}: {total} of {len(self.plan.tiles)} tiles to do")
        progress = Progress(name, total)
        proven = total < len(self.plan.tiles) and any(r.state == "written" for r in ledger.latest.values())
        with executor_for(name, work, self.spec, total) as executor:
            stream(
                tasks, executor, ledger, self.limits, progress=progress, stop=self._ending, tick=self.tick,
                proven=proven,
            )  # fmt: skip
        ledger.compact(force=True)
        self.say(f"{name}: {progress.written} written, {progress.quarantined} quarantined, {progress.retried} retried")

    def _ending(self) -> TilthError | None:
        if any(lease.lost.is_set() for lease in self._leases):
            return TilthError("another driver took over the run", place=self.output.uri, remedy="watch that one")
        return self.stop()


def states(ledger: Ledger, plan: Plan, stage: str = "cube") -> dict[str, int]:
    """How many of the plan's tiles are in each state; a cube tile built from other scenes is pending."""
    counts: dict[str, int] = {}
    for index, tile in enumerate(plan.tiles):
        record = ledger.latest.get(tile.id)
        current = record is not None and (stage != "cube" or plan.stands(index, record))
        state: str = record.state if record and current else "pending"
        if record and state == "written" and bare(record):
            state = BARE
        counts[state] = counts.get(state, 0) + 1
    return counts
