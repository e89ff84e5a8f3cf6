"""Where the programs of Debian's packages keep what a farm has them write."""

from pathlib import Path

#: The access log of each web server, by its name in `piw config`.
ACCESS_LOGS = {
    "nginx": Path("/var/log/nginx/piwheels.log"),
    "apache": Path("/var/log/apache2/piwheels.log"),
    "caddy": Path("/var/log/caddy/piwheels.log"),
}
#: That of an nginx that caches another site.
EDGE_ACCESS_LOG = Path("/var/log/nginx/piwheels-edge.log")
#: What nginx keeps of a bucket or of another site.
NGINX_CACHE = Path("/var/cache/nginx/piwheels")
