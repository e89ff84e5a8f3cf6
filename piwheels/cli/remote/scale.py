"""`piw builder demand` and `piw builder scale`: builders for the jobs that wait."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from piwheels.cli.remote.client import connect, print_json
from piwheels.config import Config, PoolSection
from piwheels.errors import UsageError
from piwheels.formatting import pluralize
from piwheels.output import print_table
from piwheels.protocol.client import ControlClient
from piwheels.protocol.keys import KeyStore, validate_public_key
from piwheels.protocol.messages import (
    BuilderCommand,
    CommandBuilders,
    CommandSucceeded,
    DemandReply,
    ListDemand,
)
from piwheels.sanitize import strip_controls
from piwheels.scaling.batch_system import BatchSystem
from piwheels.scaling.kubernetes import Kubernetes
from piwheels.scaling.rule import Plan, builders_of, jobs_by_pool, plan, require_pools
from piwheels.scaling.slurm import Slurm


async def demand(config: Config, *, as_json: bool) -> int:
    """Print how many jobs wait for builders, by target and memory."""
    async with connect(config) as master:
        reply = await master.request(ListDemand(), DemandReply)
    if as_json:
        print_json(reply)
        return 0
    rows = [
        (each.target, f"{each.memory_mb} MB" if each.memory_mb else "any", f"{each.waiting:,}")
        for each in reply.demand
    ]
    if rows:
        print_table(("target", "memory", "jobs that wait"), rows)
    else:
        click.echo("no job waits")
    if reply.waits:
        click.echo(strip_controls(reply.waits))
    return 0


def batch_system(script: Path | None, jobs: Path | None) -> BatchSystem:
    """Slurm with a script, or Kubernetes with the folder of its Jobs."""
    return Slurm(script.absolute()) if script is not None else Kubernetes(jobs or Path())


def client(config: Config, address: str | None, key_name: str) -> ControlClient:
    """A client of the master: on this machine, or over TCP with a key.

    Raises:
        ConfigError: the key, or that of the master, is missing.
        UsageError: the address is none of TCP.
    """
    if address is None:
        return connect(config)
    if not address.startswith("tcp://"):
        raise UsageError(f"--connect: {address!r} is not tcp://HOST:PORT")
    return ControlClient(
        address,
        key=KeyStore(config.builder.key_dir).require(key_name),
        server_key=validate_public_key(config.builder.master_key, "builder.master_key"),
    )


async def scale(
    config: Config,
    system: BatchSystem,
    connection: ControlClient,
    names: Sequence[str],
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Start, cancel and drain builders of pools, as the queue needs; print what was done.

    Raises:
        PiwheelsError: there is no such pool, or the master or a batch system does not answer.
    """
    chosen = _chosen(config.pool, names)
    async with connection as master:
        reply = await master.request(ListDemand(), DemandReply)
        waiting = jobs_by_pool(config.pool, reply.demand)
        plans = []
        for name, pool in chosen.items():
            jobs = await asyncio.to_thread(system.jobs, name)
            builders = builders_of(name, reply.builders)
            made = plan(name, pool, waiting[name], jobs, builders, blocked=reply.waits)
            if not dry_run:
                await _carry_out(made, pool, system, master)
            plans.append(made)
    if as_json:
        print_json(plans)
    else:
        _print(plans, dry_run=dry_run)
    return 0


def _chosen(pools: Mapping[str, PoolSection], names: Iterable[str]) -> dict[str, PoolSection]:
    require_pools(pools)
    for name in names:
        if name not in pools:
            raise UsageError(f"there is no pool {name}; the pools are {', '.join(pools)}")
    return {name: pool for name, pool in pools.items() if not names or name in names}


async def _carry_out(
    made: Plan, pool: PoolSection, system: BatchSystem, master: ControlClient
) -> None:
    if made.start:
        await asyncio.to_thread(system.start, made.pool, pool, made.start)
    if made.cancel:
        await asyncio.to_thread(system.cancel, made.pool, made.cancel)
    if made.drain:
        body = CommandBuilders(command=BuilderCommand.DRAIN, builders=made.drain)
        await master.request(body, CommandSucceeded)


def _print(plans: Iterable[Plan], *, dry_run: bool) -> None:
    would = "to be " if dry_run else ""
    for each in plans:
        done = [
            f"{count} {would}{word}"
            for count, word in (
                (len(each.start), "started"),
                (len(each.cancel), "canceled"),
                (len(each.drain), "drained"),
            )
            if count
        ]
        note = f" ({strip_controls(each.note)})" if each.note else ""
        click.echo(
            f"{each.pool}: {pluralize(each.waiting, 'job')} waiting{note}; "
            f"{pluralize(each.running, 'builder')}, {each.building} of them building, "
            f"{each.pending} pending; {', '.join(done) or 'nothing to do'}"
        )
