"""Copies of a site: a mirror by rsync, and an edge that caches what was asked for."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from piwheels.config_templates import (
    Tls,
    default_port,
    quotable_path,
    render,
    tls_path,
    unquoted_word,
)
from piwheels.errors import ConfigError, UsageError
from piwheels.media_types import JSON_ACCEPT

#: rsync://HOST/MODULE, HOST:PATH, HOST::MODULE or a folder; nothing that a shell or rsync would
#: take for something else.
_SOURCE = re.compile(r"(?:rsync://)?[A-Za-z0-9/][A-Za-z0-9@._/:\[\]~+-]*")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
_SIZE = re.compile(r"[1-9][0-9]{0,5}[kmg]")


def render_mirror(
    *, source: str, root: Path, script: Path, user: str, kept_s: float, limit_kb_s: int = 0
) -> dict[str, str]:
    """The script that copies a web root, and its service and timer, by name.

    Args:
        source: the farm's web root, as rsync names it.
        root: the copy.
        script: where the script is kept.
        user: the account that copies.
        kept_s: how long the farm keeps a file that no page names any more, in seconds.
        limit_kb_s: most kilobytes a second; 0 is no limit.

    Raises:
        ConfigError: something cannot be written there.
    """
    if not _SOURCE.fullmatch(source):
        raise UsageError(
            f"{source!r} cannot be read by rsync: write rsync://HOST/MODULE or USER@HOST:/FOLDER"
        )
    if kept_s < 1:
        raise ConfigError(
            "webroot.deletion_delay_s of the farm has to be 1 or more: else files vanish while "
            "the pages that name them are copied"
        )
    names = {
        "root": quotable_path("the copy", root),
        "script": quotable_path("the script", script),
        "user": unquoted_word("user", user),
    }
    limit = f"--bwlimit={limit_kb_s} " if limit_kb_s else ""
    return {
        "script": render(
            "mirror.sh", source=source.rstrip("/"), kept_s=int(kept_s), limit=limit, **names
        ),
        "service": render("mirror.service", **names),
        "timer": render("mirror.timer"),
    }


def render_rsyncd(root: Path) -> str:
    """What the farm serves to mirrors, for rsync's daemon."""
    return render("rsyncd", root=quotable_path("webroot.root", root))


def render_edge(
    *,
    origin: str,
    server_name: str,
    cache: Path,
    size: str,
    access_log: Path,
    port: int | None = None,
    tls: Tls | None = None,
) -> str:
    """The configuration of an nginx that serves a farm's site from its cache.

    Args:
        origin: the farm's site: scheme, host and perhaps a port.
        server_name: the host name served; "_" is any.
        cache: the folder of what is kept.
        size: of that: `500m`, `50g`.
        access_log: the file that requests are logged to.
        port: the TCP port to listen on; None is that of HTTP, or of HTTPS.
        tls: the certificate of this server; None is no TLS.

    Raises:
        ConfigError: something cannot be written there.
    """
    if not _ORIGIN.fullmatch(origin.rstrip("/")):
        raise UsageError(f"{origin!r} is no site: write http://HOST or https://HOST, and no path")
    if not _SIZE.fullmatch(size):
        raise UsageError(f"{size!r} is no size: write 500m or 50g")
    if tls is not None and (tls.certificate is None or tls.certificate_key is None):
        raise UsageError("nginx gets no certificate by itself: name --certificate and its key")
    parts = urlsplit(origin)
    return render(
        "edge",
        origin=origin.rstrip("/"),
        origin_host=parts.netloc,
        origin_name=parts.hostname,
        server_name=unquoted_word("server name", server_name),
        port=port or default_port(tls),
        cache=quotable_path("the cache", cache),
        size=size,
        access_log=quotable_path("access log", access_log),
        json_accept=JSON_ACCEPT,
        tls=tls is not None,
        certificate=tls_path("certificate", tls.certificate if tls else None),
        certificate_key=tls_path("certificate key", tls.certificate_key if tls else None),
    )
