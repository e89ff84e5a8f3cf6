"""Renders configuration for systemd and web servers from a farm's settings.

The web servers behave alike: a Simple API page is JSON for clients whose Accept header names it
and HTML for others (PEP 691), the .gz file is sent if the client accepts gzip, and files of
packages/ are immutable.
"""

import re
import string
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined

from piwheels.config import Config, LoadedConfig
from piwheels.debian_paths import ACCESS_LOGS, NGINX_CACHE
from piwheels.errors import EXIT_STAYS_ENDED, ConfigError, UsageError
from piwheels.media_types import JSON_ACCEPT, MEDIA_TYPES, OTHER_MEDIA_TYPE
from piwheels.webroot import FILE_MAX_AGE_S, PAGE_MAX_AGE_S, SECURITY_HEADERS

ROLES = ("master", "accesslog", "builder")
#: The template of the timer.
BACKUP_TIMER = "backup.timer"
#: How much nginx keeps of a bucket.
_CACHE_GB = 20

#: A project's name as normalized by PEP 503, in any spelling, and a lookahead for other spellings.
_NORMAL_NAME = "[a-z0-9]+(?:-[a-z0-9]+)*"
_ANY_NAME = "[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
#: A query of find.html that is a project's name in any spelling, perhaps between spaces.
_NAME_QUERY = rf"[+]*({_ANY_NAME})[+]*"
_UNNORMALIZED_NAME = "(?=[^/]*(?:[A-Z._]|--))"
_BUCKET_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9_~-]+)+")
#: Characters that one of the formats interprets even between double quotes.
_UNQUOTABLE = frozenset('"\\$%{}')


def render_units(
    loaded: LoadedConfig,
    *,
    user: str,
    roles: Sequence[str] = ROLES,
    access_log: Path = ACCESS_LOGS["nginx"],
) -> str:
    """The hardened systemd units of these roles, one after the other.

    Args:
        loaded: the configuration; its file is named in the units.
        user: the user to run as.
        roles: "master", "accesslog", "builder" or several.
        access_log: the web server's log that "accesslog" follows.

    Raises:
        ConfigError: a path or the user name cannot be written in a unit.
    """
    return "\n\n".join(
        render(
            f"{role}.service",
            command=exec_start(loaded, *_service_command(role, access_log)),
            user=unquoted_word("user", user),
            writable=[
                quotable_path(key, path) for key, path in _writable_dirs(loaded.config, role)
            ],
            exit_stays_ended=EXIT_STAYS_ENDED,
        )
        for role in roles
    )


def render_backup_service(loaded: LoadedConfig, *, user: str, folder: Path, keep: int) -> str:
    """The systemd service that writes a backup; BACKUP_TIMER starts it daily.

    Args:
        loaded: the configuration; its file is named in the service.
        user: the user to run as.
        folder: where backups are kept.
        keep: how many are kept.

    Raises:
        ConfigError: a path or the user name cannot be written in a unit.
    """
    place = quotable_path("the folder of backups", folder)
    return render(
        "backup.service",
        command=exec_start(loaded, "db", "backup", place, "--keep", str(keep)),
        user=unquoted_word("user", user),
        folder=place,
    )


class Tls(msgspec.Struct, frozen=True):
    """How a site is encrypted: with files, or with certificates that Caddy gets by itself."""

    certificate: Path | None = None  # with those that signed it (fullchain.pem)
    certificate_key: Path | None = None


def tls_of(mode: str | None, certificate: Path | None, certificate_key: Path | None) -> Tls | None:
    """What the options `--tls`, `--certificate` and `--certificate-key` ask for; None is no TLS.

    Raises:
        UsageError: they contradict each other.
    """
    if (certificate is None) != (certificate_key is None) or (mode and certificate):
        raise UsageError(
            "TLS needs either --tls caddy, or both --certificate and --certificate-key"
        )
    return Tls(certificate, certificate_key) if mode or certificate else None


def default_port(tls: Tls | None) -> int:
    """The TCP port of a site, where none is configured."""
    return 80 if tls is None else 443


class WebServerSite(msgspec.Struct, frozen=True, kw_only=True):
    """What a web server serves: the web root, or a bucket with a copy of it.

    root: the web root.
    server_name: the host name served; "_" is any.
    access_log: the file that requests are logged to.
    port: the TCP port to listen on; None is that of HTTP, or of HTTPS.
    url: webroot.url; the web root is also served below its path.
    tls: how to encrypt; None is not.
    bucket_url: where everybody may read the bucket; "" for the web root.
    cache_dir: where nginx keeps objects of the bucket.
    """

    root: Path
    server_name: str
    access_log: Path
    port: int | None = None
    url: str = ""
    tls: Tls | None = None
    bucket_url: str = ""
    cache_dir: Path = NGINX_CACHE


def render_web_server_config(name: str, site: WebServerSite) -> str:
    """The configuration of a web server: "nginx", "apache" or "caddy".

    Raises:
        ConfigError: a path, the name or the URL cannot be written in a configuration, or the
            server cannot be configured so.
    """
    tls = site.tls
    if tls is not None:
        check_tls(name, site.server_name, tls)
    bucket = bucket_of(site.bucket_url) if site.bucket_url else None
    if bucket is not None and name == "apache":
        raise UsageError("in front of a bucket: use nginx, Caddy or a worker, not Apache")
    return render(
        f"{name}_bucket" if bucket else name,
        bucket=bucket,
        cache_dir=quotable_path("cache directory", site.cache_dir),
        cache_size_gb=_CACHE_GB,
        root=quotable_path("webroot.root", site.root),
        server_name=unquoted_word("server name", site.server_name),
        port=site.port or default_port(tls),
        access_log=quotable_path("access log", site.access_log),
        prefix=_url_path(site.url),
        tls=tls is not None,
        certificate=tls_path("certificate", tls.certificate if tls else None),
        certificate_key=tls_path("certificate key", tls.certificate_key if tls else None),
        origin=_url_origin(site.url),
        normal_name=_NORMAL_NAME,
        any_name=_ANY_NAME,
        respelled=_UNNORMALIZED_NAME,
        name_query=_NAME_QUERY,
        letters=string.ascii_uppercase,
        json_accept=JSON_ACCEPT,
        media_types=MEDIA_TYPES,
        other_media_type=OTHER_MEDIA_TYPE,
        page_max_age_s=PAGE_MAX_AGE_S,
        file_max_age_s=FILE_MAX_AGE_S,
        security_headers=SECURITY_HEADERS,
    )


class Bucket(msgspec.Struct, frozen=True):
    """Where a bucket is read: its server, and the path below which its keys are."""

    origin: str
    host: str
    path: str  # without a slash at the end


def bucket_of(url: str) -> Bucket:
    """The bucket that everybody may read at a URL.

    Raises:
        ConfigError: it is no such URL, or cannot be written in a configuration.
    """
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    is_plain = not (parts.query or parts.fragment or parts.username)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_plain:
        raise UsageError(f"{url!r} is not the http or https URL of a bucket")
    if path and not _BUCKET_PATH.fullmatch(path):
        raise UsageError(f"{url!r} has a path that cannot be written in a configuration")
    host = unquoted_word("bucket", parts.netloc)
    return Bucket(origin=f"{parts.scheme}://{host}", host=host, path=path)


def render_worker(bucket_url: str, *, url: str = "") -> str:
    """The module of a worker in front of a bucket.

    Args:
        bucket_url: where everybody may read the bucket.
        url: webroot.url; the worker also serves below its path.

    Raises:
        ConfigError: one of them cannot be written in a configuration.
    """
    bucket = bucket_of(bucket_url)
    return render(
        "worker",
        bucket_url=f"{bucket.origin}{bucket.path}",
        prefix=_url_path(url),
        normal_name=_NORMAL_NAME,
        any_name=_ANY_NAME,
        json_accept=JSON_ACCEPT,
        media_types=MEDIA_TYPES,
        other_media_type=OTHER_MEDIA_TYPE,
        security_headers=SECURITY_HEADERS,
    )


def check_tls(name: str, server_name: str, tls: Tls) -> None:
    """Whether a web server can be configured so.

    Raises:
        ConfigError: it cannot.
    """
    if name == "apache":
        raise UsageError("TLS with Apache: let certbot change the site (certbot --apache)")
    if tls.certificate is None and (name != "caddy" or server_name == "_"):
        raise UsageError(
            "Caddy alone gets certificates by itself, and for a --server-name; other web servers "
            "need --certificate and --certificate-key (certbot gets them)"
        )


def tls_path(what: str, path: Path | None) -> str:
    """The path of a certificate or its key, to be quoted; "" for none."""
    return quotable_path(what, path) if path is not None else ""


def _writable_dirs(config: Config, role: str) -> list[tuple[str, Path]]:
    """The directories that a daemon writes to, each with its setting."""
    if role == "builder":
        return [
            ("builder.work_dir", config.builder.work_dir),
            ("builder.key_dir", config.builder.key_dir),
        ]
    if role == "accesslog":
        return [
            ("accesslog.spool_dir", config.accesslog.spool_dir),
            ("accesslog.parquet_dir", config.accesslog.parquet_dir),
        ]
    folders = [
        ("webroot.root", config.webroot.root),
        ("master.spool_dir", config.master.spool_dir),
        ("master.key_dir", config.master.key_dir),
    ]
    if config.master.control_bind.startswith("ipc://"):
        socket = Path(config.master.control_bind.removeprefix("ipc://"))
        folders.append(("master.control_bind", socket.parent))
    return folders


def quotable_path(what: str, path: Path) -> str:
    """An absolute path that is safe between double quotes in every format."""
    text = str(path.absolute())
    if not text.isprintable() or _UNQUOTABLE & set(text):
        raise ConfigError(
            f"{what} is {text!r}, which cannot be written in a configuration: "
            f"choose a path without {' '.join(sorted(_UNQUOTABLE))} and control characters"
        )
    return text


def unquoted_word(what: str, text: str) -> str:
    """A name that is safe without quotes in every format."""
    if not text.isprintable() or (_UNQUOTABLE | {";"}) & set(text):
        raise ConfigError(f"{text!r} cannot be written as the {what} in a configuration")
    return text


def _url_path(url: str) -> str:
    """The path of webroot.url, without a slash at the end."""
    path = urlsplit(url).path.rstrip("/")
    if path and not _URL_PATH.fullmatch(path):
        raise ConfigError(
            f"webroot.url is {url!r}, whose path cannot be written into a configuration: use "
            "letters, digits, hyphens, underscores and tildes"
        )
    return path


def _url_origin(url: str) -> str:
    """Scheme and host for redirects that must be absolute; "" for the default webroot.url."""
    parts = urlsplit(url)
    if parts.hostname in {None, "localhost"}:
        return ""
    return unquoted_word("webroot.url", f"{parts.scheme}://{parts.netloc}")


def _service_command(role: str, access_log: Path) -> list[str]:
    return (
        [role, "--follow", quotable_path("access log", access_log)]
        if role == "accesslog"
        else [role]
    )


def exec_start(loaded: LoadedConfig, *verb: str) -> str:
    """The command of a unit: this program with these words and its configuration."""
    words = [program_path(), *verb]
    if loaded.file is not None:
        words += ["--config", quotable_path("--config", loaded.file)]
    return " ".join(f'"{word}"' if " " in word else word for word in words)


def program_path() -> str:
    """The path of `piw` on this machine.

    Raises:
        ConfigError: it cannot be written between quotes.
    """
    program = Path(sys.argv[0]).absolute()
    if program.name != "piw":
        program = Path(sys.executable).with_name("piw")
    return quotable_path("the program", program)


def render(name: str, **values: Any) -> str:
    """A template of this package with these values."""
    return _templates().get_template(f"{name}.j2").render(**values).rstrip("\n")


@cache
def _templates() -> Environment:
    # Not HTML: escaping would corrupt it.
    return Environment(
        loader=PackageLoader("piwheels.config_templates"),
        autoescape=False,  # noqa: S701
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
