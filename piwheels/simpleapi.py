"""Old import path of `piwheels.simple_index.client`, kept for one release."""

from piwheels.simple_index.client import SimpleIndex

__all__ = ["SimpleIndex"]
