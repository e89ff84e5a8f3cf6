"""Old import path of `piwheels.index_client.client`, kept for one release."""

from piwheels.index_client.client import SimpleIndex

__all__ = ["SimpleIndex"]
