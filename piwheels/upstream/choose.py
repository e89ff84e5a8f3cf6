"""Old import path of `piwheels.upstream.selection`, kept for one release."""

from piwheels.upstream.selection import releases_of

__all__ = ["releases_of"]
