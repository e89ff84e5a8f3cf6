"""Which Debian packages have what a build did not find."""

from piwheels.causes import PackageLookup
from piwheels.debian_index import load_index
from piwheels.errors import ConfigError


def package_index(codename: str) -> PackageLookup | None:
    """The packages of a Debian release by its code name; None for other systems."""
    try:
        return load_index(codename)
    except ConfigError:
        return None
