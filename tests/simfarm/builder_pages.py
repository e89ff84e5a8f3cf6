"""What the simulated farm answers about one builder."""

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime

from piwheels.errors import RejectedError
from piwheels.model import BuilderPage, BuilderSeries, RootState, SeriesBars, SeriesWindow
from piwheels.protocol.messages import BuilderReply
from tests.simfarm.machine import GIB, SimBuilder
from tests.simfarm.model import FarmModel

_MAX_BUILDS = 20
_HOT_RATIO = 1.9
_ROOT = RootState(name="bookworm-armv7l", key="5e1f0a72", made_at=datetime(2026, 11, 2, tzinfo=UTC))


def page(model: FarmModel, label: str) -> BuilderReply:
    """Its last builds against its peers."""
    machine = model.machines.get(label)
    if machine is None:
        raise RejectedError(f"there is no builder {label}")
    builds = [build for build in reversed(model.builds) if build.builder == label][:_MAX_BUILDS]
    ratio = _HOT_RATIO if machine.is_hot else 1.0
    peers = [
        other
        for other in model.present()
        if other is not machine and not set(other.targets).isdisjoint(machine.targets)
    ]
    return BuilderReply(
        page=BuilderPage(
            builds=tuple(builds),
            usual_s={build.build_id: round(build.duration_s / ratio, 1) for build in builds},
            running_usual_s=machine.build.total_s / ratio if machine.build else None,
            built=machine.built + (31 if machine.is_hot else 56),
            failed=machine.failed,
            peers=len(peers),
            usual_built=58,
            roots=(_ROOT,),
        )
    )


def series(model: FarmModel, name: str, window: SeriesWindow) -> SeriesBars | None:
    """A series of a builder, which ends with its present value; None if it is none of one."""
    part, _, rest = name.partition("/")
    label, _, kind = rest.rpartition("/")
    machine = model.machines.get(label) if part == "builder" else None
    if machine is None:
        return None
    dice = random.Random(f"{name} {window}")
    value = _value(machine, BuilderSeries(kind))
    rises = machine.is_hot and kind != BuilderSeries.DISK
    means = tuple(_course(value, window.bars, dice, rises=rises))
    mean = sum(means) / len(means)
    return SeriesBars(name=name, means=means, maxima=means, mean=mean, mean_before=means[0])


def _value(machine: SimBuilder, kind: BuilderSeries) -> float:
    values = {
        BuilderSeries.LOAD: machine.load,
        BuilderSeries.MEMORY: 1 - machine.memory_free / (4 * GIB),
        BuilderSeries.DISK: 1 - machine.disk_free / (64 * GIB),
        BuilderSeries.TEMPERATURE: machine.temperature,
        BuilderSeries.THROTTLED: float(machine.is_hot),
    }
    return values.get(kind, 1.0)


def _course(value: float, bars: int, dice: random.Random, *, rises: bool) -> Sequence[float]:
    """Up to a value: from half of it within a third of the time, or around it."""
    shares = [
        0.5 + 0.5 * min(1.0, 3 * place / bars) if rises else 1 + 0.05 * math.sin(place / 3)
        for place in range(bars)
    ]
    course = [value * share * dice.uniform(0.98, 1.0) for share in shares[:-1]]
    return [*course, value]
