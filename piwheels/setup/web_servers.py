"""Steps of the web server: its package, the site as `piw config` prints it, and a reload."""

import shlex
from collections.abc import Sequence

import msgspec

from piwheels.debian_paths import ACCESS_LOGS
from piwheels.setup.farm import CONFIG_FILE, Place, running_since
from piwheels.setup.steps import Step, command, file_step

_CADDYFILE = "/etc/caddy/Caddyfile"
_APACHE_MODULES = ("rewrite", "headers", "mime", "deflate", "alias")


class WebServer(msgspec.Struct, frozen=True):
    """A web server as Debian's package sets it up."""

    name: str  # as `piw config NAME` and its package are called
    package: str  # also the name of its unit
    site: str  # the file that `piw config NAME` is written to
    access_log: str  # what the reader of access logs follows; "" if its account may not
    test: tuple[str, ...]
    test_user: str = ""
    included_in: tuple[str, ...] = ()  # the file that has to name the site


WEB_SERVERS = {
    server.name: server
    for server in (
        WebServer(
            name="nginx",
            package="nginx",
            site="/etc/nginx/sites-enabled/piwheels",
            access_log=str(ACCESS_LOGS["nginx"]),
            test=("nginx", "-t", "-q"),
        ),
        WebServer(
            name="apache",
            package="apache2",
            site="/etc/apache2/sites-enabled/piwheels.conf",
            access_log=str(ACCESS_LOGS["apache"]),
            test=("apachectl", "configtest"),
        ),
        WebServer(
            name="caddy",
            package="caddy",
            site="/etc/caddy/piwheels.caddy",
            access_log="",
            test=("caddy", "validate", "--config", _CADDYFILE),
            test_user="caddy",  # as root it would create the log as root's
            included_in=(_CADDYFILE,),
        ),
    )
}


def web_server_steps(server: WebServer, place: Place, options: Sequence[str]) -> list[Step]:
    """The site, and the web server with it; `options` are those of `piw config NAME`."""
    printed = (place.program, "config", server.name, "--config", CONFIG_FILE, *options)
    site = file_step(f"Site {server.site}", server.site, *printed)
    return [site, *_preparations(server), reload_step(server)]


def reload_step(server: WebServer) -> Step:
    """The web server runs with the present site."""
    return Step(
        title=f"{server.package} serves the site",
        commands=(
            command(*server.test, user=server.test_user),
            command("systemctl", "enable", "-q", server.package),
            command("systemctl", "reload-or-restart", server.package),
        ),
        done=running_since(server.package, server.site, *server.included_in),
    )


def _preparations(server: WebServer) -> list[Step]:
    if server.name == "apache":
        return [
            Step(
                title="Modules of Apache",
                commands=(command("a2enmod", "-q", *_APACHE_MODULES),),
                done=" && ".join(f"a2query -q -m {module}" for module in _APACHE_MODULES),
            )
        ]
    if server.name == "caddy":
        line = shlex.quote(_import_line(server))
        return [
            Step(
                title=f"{_CADDYFILE} imports the site",
                commands=(command("sed", "-i", f"$a {_import_line(server)}", _CADDYFILE),),
                done=f"grep -qxF {line} {_CADDYFILE}",
            )
        ]
    return []


def site_removal(server: WebServer) -> Step:
    """The site is gone, and the web server runs without it."""
    site = shlex.quote(server.site)
    remove = [command("rm", "-f", server.site)]
    if server.name == "caddy":
        pattern = _import_line(server).replace("/", r"\/")
        remove.insert(0, command("sed", "-i", f"/^{pattern}$/d", _CADDYFILE))
    return Step(
        title=f"No site {server.site}",
        commands=(*remove, command("systemctl", "try-reload-or-restart", server.package)),
        done=f"! test -e {site}",
    )


def certbot_lines(server_name: str) -> list[str]:
    """Commands that get a certificate for nginx, and set the site up with it."""
    live = f"/etc/letsencrypt/live/{server_name}"
    key = f"--certificate-key {live}/privkey.pem"
    renew = "--deploy-hook 'systemctl reload nginx'"
    return [
        "sudo apt install certbot python3-certbot-nginx",
        f"sudo certbot certonly --nginx {renew} -d {server_name}",
        f"sudo piw setup master --certificate {live}/fullchain.pem {key}",
    ]


def _import_line(server: WebServer) -> str:
    return f"import {server.site}"
