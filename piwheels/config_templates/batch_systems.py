"""What runs builders on demand: jobs of Slurm and Kubernetes, the scaler's service and timer."""

import re
from pathlib import Path

from piwheels.config import Config, LoadedConfig, to_toml
from piwheels.config_templates import exec_start, program_path, quotable_path, render, unquoted_word
from piwheels.errors import ConfigError, UsageError
from piwheels.scaling.batch_system import OVERHEAD_MB
from piwheels.scaling.rule import require_pools

_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}")


def render_kubernetes(config: Config, *, image: str, time_limit_s: float, idle_s: float) -> str:
    """The objects of builders on Kubernetes, as YAML: their settings, keys, and a Job per pool.

    Args:
        config: the pools, and how builders reach the master.
        image: of the containers.
        time_limit_s: of a Job.
        idle_s: a builder ends after so long without a job.

    Raises:
        ConfigError: there is no pool, no address or key of the master, or the image's name is none.
    """
    builder = config.builder
    require_pools(config.pool)
    if builder.master == "localhost" or not builder.master_key:
        raise ConfigError(
            "set builder.master and builder.master_key to how builders reach the master: a pod's "
            "localhost is the pod (`piw key list` prints the key)"
        )
    if not _IMAGE.fullmatch(image):
        raise UsageError(f"{image!r} is no name of a container image")
    settings = {
        "builder.master": builder.master,
        "builder.master_port": builder.master_port,
        "builder.upload_port": builder.upload_port,
        "builder.master_key": builder.master_key,
        "builder.key_dir": "/keys",
        "builder.work_dir": "/work",
    }
    pools = [
        {"name": name, "builders": pool.max_builders, "memory_mb": pool.memory_mb}
        for name, pool in config.pool.items()
    ]
    return render(
        "kubernetes",
        settings=to_toml(settings).rstrip(),
        pools=pools,
        image=image,
        time_limit_s=int(time_limit_s),
        idle_s=int(idle_s),
        overhead_mb=OVERHEAD_MB,
    )


def render_slurm(
    loaded: LoadedConfig,
    *,
    script: Path,
    builder_config: Path,
    time_limit_s: float,
    idle_s: float,
    user: str,
) -> dict[str, str]:
    """The script of a builder, and the scaler's service and timer, by name.

    Args:
        loaded: the configuration; its file is named in the service.
        script: where the script is kept.
        builder_config: the builders' configuration on the nodes.
        time_limit_s: of a builder.
        idle_s: a builder ends after so long without a job.
        user: the account that submits builders.

    Raises:
        PiwheelsError: a path or name cannot be written there, or the time limit is too short.
    """
    build_s = loaded.config.builder.build_timeout_s
    if time_limit_s <= build_s:
        raise UsageError(
            f"--time has to be longer than builder.build_timeout_s, which is {build_s:g} s"
        )
    path = quotable_path("the script", script)
    return {
        "script": render(
            "slurm-builder.sh",
            script=path,
            config=quotable_path("the builders' configuration", builder_config),
            program=program_path(),
            minutes=-(-int(time_limit_s) // 60),
            drain_s=int(build_s),
            idle_s=int(idle_s),
        ),
        "service": render(
            "scale.service",
            command=exec_start(loaded, "builder", "scale", path),
            user=unquoted_word("user", user),
        ),
        "timer": render("scale.timer"),
    }
