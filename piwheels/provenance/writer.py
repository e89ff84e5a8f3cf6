"""Writes the statements of published wheels, and the farm's public keys, into the web root."""

import errno
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from piwheels.errors import ConfigError
from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.public_keys import PublicKeys
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import BuildFacts, Subject, encode_statement
from piwheels.provenance.verification import verify
from piwheels.webroot import Webroot

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StatementWriter:
    """Signs with the farm's key; the only code that uses the private key.

    farm_url: the address of the web root, with a slash at its end.
    """

    keys: SigningKeys
    webroot: Webroot
    farm_url: str

    def publish_keys(self) -> tuple[PublicKeys, bytes]:
        """Write the public keys into the web root, unless they are there.

        Returns:
            They, and the private key of the first: both as they are at one moment.

        Raises:
            ConfigError: the keys cannot be read.
            OSError: the file cannot be written.
        """
        self.keys.ensure()
        published, private = self.keys.load()
        self.webroot.write(self.webroot.provenance_keys_path(), published.encode())
        return published, private

    def write(self, wheel: Subject, facts: BuildFacts) -> None:
        """Write the statement of a wheel beside it; the key that signed it is published before.

        A statement that is there is kept: it is about the same bytes, and caches keep it as long
        as the wheel.

        Raises:
            OSError: the keys cannot be read now, or it cannot be written.
        """
        path = self.webroot.provenance_path(wheel.sha256, wheel.name)
        try:
            published, private = self.publish_keys()
            if not self._has_statement(path, wheel, published):
                payload = encode_statement(
                    wheel, facts, farm_url=self.farm_url, version=version("piwheels")
                )
                self.webroot.write(path, dsse.seal(payload, private))
        except ConfigError as error:
            # As with a full disk, the builder keeps its wheel until this is repaired.
            raise OSError(errno.EIO, str(error), str(self.keys.path)) from error

    def _has_statement(self, path: Path, wheel: Subject, published: PublicKeys) -> bool:
        try:
            verify(path.read_bytes(), {key.keyid: key for key in published.keys}, wheel)
        except FileNotFoundError:
            return False
        except NotVerifiedError as error:
            log.warning("%s is written again: %s", path, error)
            return False
        return True
