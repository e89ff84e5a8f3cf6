"""Builders that share a configuration, each with a key, a folder and a label of its own."""

import re

from msgspec.structs import replace

from piwheels.builder.joining import host_label
from piwheels.config import BuilderSection
from piwheels.errors import UsageError
from piwheels.protocol.keys import reserved_name_fault

_SLOT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,39})")


def with_slot(config: BuilderSection, slot: str) -> BuilderSection:
    """The settings of the builder in a slot; "" is a builder without one.

    Its key belongs to the slot and not to this machine: it can be on another one next time.

    Raises:
        UsageError: the name of the slot cannot be used.
    """
    if not slot:
        return config
    if not _SLOT.fullmatch(slot):
        raise UsageError(
            f"--slot {slot!r}: a slot has a number or a name, of up to 40 letters, digits, '.', "
            "'_' and '-'"
        )
    if fault := reserved_name_fault(slot):  # its label
        raise UsageError(f"--slot {slot}: {fault}")
    return replace(
        config, key_name=f"{config.key_name}-{slot}", work_dir=config.work_dir / f"slot-{slot}"
    )


def slot_label(slot: str) -> str:
    """The label that the builder of a slot asks for when it joins; "" without one."""
    return f"{host_label()}-slot{slot}" if slot.isdigit() else slot
