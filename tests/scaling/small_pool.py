"""A farm with one pool of builders on demand."""

import json
from typing import Any

from tests.endtoend.conftest import Farm


def set_pool(farm: Farm, **settings: int) -> None:
    """Write the settings of the pool `small` into the farm's configuration."""
    text = farm.config.read_text().partition("\n[pool.")[0]
    lines = [f"{key} = {value}" for key, value in settings.items()]
    farm.config.write_text("\n".join([f"{text}\n[pool.small]", "memory_mb = 1024", *lines, ""]))


def builders(farm: Farm) -> dict[str, dict[str, Any]]:
    """What `piw builder list` says of each builder, by label."""
    views = json.loads(farm.piw("builder list", "--json").stdout)
    return {view["label"]: view for view in views}
