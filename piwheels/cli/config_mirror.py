"""What `piw config mirror` prints, from its options."""

from dataclasses import dataclass
from pathlib import Path

from piwheels.config import Config
from piwheels.config_templates import tls_of
from piwheels.config_templates.mirror import render_edge, render_mirror, render_rsyncd
from piwheels.errors import UsageError

_OF_COPY = frozenset({"script", "service", "timer"})


@dataclass(frozen=True, slots=True)
class MirrorOptions:
    """The options of the command, by the names of its parameters."""

    source: str | None
    origin: str | None
    root: Path
    script: Path
    user: str
    limit: int  # kilobytes per second; 0 is no limit
    server_name: str
    port: int | None
    mode: str | None  # of TLS
    certificate: Path | None
    certificate_key: Path | None
    access_log: Path
    cache: Path
    size: str


def mirror_parts(config: Config, only: str | None, options: MirrorOptions) -> dict[str, str]:
    """The parts that were asked for, by name.

    Args:
        config: of the farm, for what it alone says.
        only: the one part to print; None: those that the options ask for.
        options: of the command.

    Raises:
        PiwheelsError: an option is missing, or cannot be written in a configuration.
    """
    if only == "rsyncd":
        return {"rsyncd": render_rsyncd(config.webroot.root)}
    parts: dict[str, str] = {}
    if options.source:
        parts |= render_mirror(
            source=options.source,
            root=options.root,
            script=options.script,
            user=options.user,
            kept_s=config.webroot.deletion_delay_s,
            limit_kb_s=options.limit,
        )
    if options.origin:
        parts["edge"] = render_edge(
            origin=options.origin,
            server_name=options.server_name,
            port=options.port,
            cache=options.cache,
            size=options.size,
            access_log=options.access_log,
            tls=tls_of(options.mode, options.certificate, options.certificate_key),
        )
    if not parts or (only and only not in parts):
        needed = "--source" if only in _OF_COPY else "--origin" if only else "--source or --origin"
        raise UsageError(f"say what to copy by {needed}: `piw config mirror --help` has examples")
    return parts
