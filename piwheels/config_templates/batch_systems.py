"""What runs builders on demand: an array job of Slurm, and the scaler's service and timer."""

from pathlib import Path

from piwheels.config import LoadedConfig
from piwheels.config_templates import exec_start, program_path, quotable_path, render, unquoted_word
from piwheels.errors import UsageError


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
