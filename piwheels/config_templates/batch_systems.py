"""What runs builders on demand: jobs of Slurm and Kubernetes, the scaler's service and timer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import tomli_w

from piwheels.config import Config, LoadedConfig, to_toml
from piwheels.config_templates import exec_start, program_path, quotable_path, render, unquoted_word
from piwheels.errors import ConfigError, UsageError
from piwheels.scaling import kubernetes
from piwheels.scaling.batch_system import OVERHEAD_MB
from piwheels.scaling.rule import require_pools

_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/@-]{0,254}")
_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CONTROL = re.compile(r"tcp://[A-Za-z0-9.:\[\]-]+:[0-9]{1,5}")
_CONTROL_PORT = 5554
#: Where pods have keys.
_KEY_DIR = "/keys"
#: What Kubernetes calls the machines of targets.
_NODE_ARCHS = {
    "aarch64": "arm64",
    "armv6l": "arm",
    "armv7l": "arm",
    "riscv64": "riscv64",
    "x86_64": "amd64",
}


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """What `piw config kubernetes` is told.

    image: of all containers. namespace: of all objects. time_limit_s: of a builder. idle_s: it ends
    after so long without a job. control: the master's control socket over TCP; "" for the usual
    port of the builders' master.
    """

    image: str
    time_limit_s: float
    idle_s: float
    namespace: str = "piwheels"
    control: str = ""


def render_kubernetes(config: Config, options: KubernetesOptions) -> str:
    """The objects of builders on Kubernetes, as YAML: settings, keys, Jobs, and their scaler.

    Raises:
        ConfigError: there is no pool, or no address or key of the master.
        UsageError: an option is no name.
    """
    builder = config.builder
    require_pools(config.pool)
    jobs = {name: render_kubernetes_job(config, options, name) for name in config.pool}
    if builder.master == "localhost" or not builder.master_key:
        raise ConfigError(
            "set builder.master and builder.master_key to how builders reach the master: a pod's "
            "localhost is the pod (`piw key list` prints the key)"
        )
    control = options.control or f"tcp://{builder.master.split(',')[0]}:{_CONTROL_PORT}"
    if not _NAMESPACE.fullmatch(options.namespace):
        raise UsageError(f"{options.namespace!r} is no name of a namespace")
    if not _CONTROL.fullmatch(control):
        raise UsageError(f"{control!r} is not tcp://HOST:PORT")
    settings = {
        "builder.master": builder.master,
        "builder.master_port": builder.master_port,
        "builder.upload_port": builder.upload_port,
        "builder.master_key": builder.master_key,
        "builder.key_dir": _KEY_DIR,
        "builder.work_dir": "/work",
    }
    scaler = {"builder.master_key": builder.master_key.split(",")[0], "builder.key_dir": _KEY_DIR}
    pools = {name: msgspec.to_builtins(pool) for name, pool in config.pool.items()}
    return render(
        "kubernetes",
        settings=to_toml(settings).rstrip(),
        scaler_settings=f"{to_toml(scaler).rstrip()}\n{tomli_w.dumps({'pool': pools}).rstrip()}",
        jobs={name: job.rstrip() for name, job in jobs.items()},
        image=options.image,
        namespace=options.namespace,
        control=control,
        name_label=kubernetes.NAME_LABEL,
    )


def render_kubernetes_job(config: Config, options: KubernetesOptions, pool: str) -> str:
    """The Job of a builder of a pool, with $SLOT for its slot.

    Raises:
        ConfigError: there is no such pool.
        UsageError: the image's name is none.
    """
    if pool not in config.pool:
        raise ConfigError(f"piwheels.toml has no section [pool.{pool}]")
    if not _IMAGE.fullmatch(options.image):
        raise UsageError(f"{options.image!r} is no name of a container image")
    section = config.pool[pool]
    return render(
        "kubernetes_job",
        pool={"name": pool, "memory_mb": section.memory_mb, "arch": _node_arch(section.targets)},
        image=options.image,
        time_limit_s=int(options.time_limit_s),
        idle_s=int(options.idle_s),
        overhead_mb=OVERHEAD_MB,
        builder_name=kubernetes.BUILDER_NAME,
        name_label=kubernetes.NAME_LABEL,
        pool_label=kubernetes.POOL_LABEL,
        slot_label=kubernetes.SLOT_LABEL,
    )


def _node_arch(targets: Sequence[str]) -> str:
    """The nodes that build a pool's targets, if all are of one machine; "" if not."""
    found = {_NODE_ARCHS.get(target.rpartition("-")[2], "") for target in targets}
    return found.pop() if len(found) == 1 else ""


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
