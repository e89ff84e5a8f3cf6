"""Writes the statements of published wheels, and the farm's public keys, into the web root."""

import errno
import logging
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from msgspec.structs import replace

from piwheels.errors import ConfigError
from piwheels.provenance import dsse
from piwheels.provenance.errors import NotVerifiedError
from piwheels.provenance.public_keys import PublicKey, PublicKeys, parse_public_keys
from piwheels.provenance.record_check import find_disagreement
from piwheels.provenance.signing_keys import SigningKeys
from piwheels.provenance.statement import BuildFacts, Subject, encode_statement
from piwheels.provenance.verification import is_readable, verify
from piwheels.webroot import Webroot

log = logging.getLogger(__name__)

#: So many keys of unknown origin are published as revoked; others are only left out.
_MAX_UNKNOWN = 100


@dataclass(frozen=True, slots=True)
class Renewal:
    """Wheels whose statements were signed again, and those that were not, with the reason."""

    signed: list[Subject] = field(default_factory=list)
    refused: list[tuple[Subject, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StatementWriter:
    """Signs with the farm's key; the only code that uses the private key.

    farm_url: the address of the web root, with a slash at its end.
    record_keys: called before one of them signs, so that a failover does not make it unknown; an
        OSError says that they are not recorded, and nothing is signed.
    """

    keys: SigningKeys
    webroot: Webroot
    farm_url: str
    record_keys: Callable[[PublicKeys], None] = lambda _: None

    def begin(self, vouched: Iterable[PublicKey] | None) -> None:
        """Publish the keys at the start of a master, whose copy of them may be an old one.

        Keys that only the web root has prove nothing: whoever could write there may have added
        them. They are published as revoked, so that statements which they signed are compared with
        the records of the builds, and signed again.

        Args:
            vouched: keys that the database knows, from masters with a newer copy; None if no
                master has recorded any, as at the first start after an upgrade, where those of the
                web root are taken as they are.

        Raises:
            ConfigError: the keys cannot be read.
            OSError: the file cannot be written, or the keys not be recorded.
        """
        self.keys.ensure()
        self.keys.follow(self._published() if vouched is None else vouched, adopt=True)
        known = {key.keyid for key in self.keys.load()[0].keys}
        unknown = [key for key in self._published() if key.keyid not in known][:_MAX_UNKNOWN]
        for key in unknown:
            log.warning(
                "%s has the key %s, which this farm does not know: it is published as revoked",
                self.webroot.provenance_keys_path(),
                key.keyid,
            )
        self.keys.follow(map(_distrusted, unknown), adopt=True)
        self.publish_keys()

    def publish_keys(self) -> tuple[PublicKeys, bytes]:
        """Write the public keys into the web root, unless they are there.

        A key that is revoked or replaced there is not used: the keys of a standby, or of a
        backup, can be older than what was published. One that is there alone is left out.

        Returns:
            They, and the private key of the first: both as they are at one moment.

        Raises:
            ConfigError: the keys cannot be read.
            OSError: the file cannot be written, or the keys not be recorded.
        """
        self.keys.ensure()
        if self.keys.follow(self._published(), adopt=False):
            log.warning(
                "%s lacked ends or revocations of keys in %s, which were added",
                self.keys.path,
                self.webroot.provenance_keys_path(),
            )
        published, private = self.keys.load()
        self.record_keys(published)
        self.webroot.write(self.webroot.provenance_keys_path(), published.encode())
        return published, private

    def _published(self) -> list[PublicKey]:
        """The keys in the web root; none if its file is missing or damaged."""
        path = self.webroot.provenance_keys_path()
        try:
            return list(parse_public_keys(path.read_bytes(), str(path)).values())
        except (FileNotFoundError, NotVerifiedError):
            return []

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
                payload = self._readable_statement(wheel, facts)
                self.webroot.write(path, dsse.seal(payload, private))
        except ConfigError as error:
            # As with a full disk, the builder keeps its wheel until this is repaired.
            raise OSError(errno.EIO, str(error), str(self.keys.path)) from error

    def renew(self, wheels: Iterable[tuple[Subject, BuildFacts]]) -> Renewal:
        """Sign statements again that a revoked key signed, as far as they say what is recorded.

        Their texts stay. Whoever had the key could have written others in their places.

        Args:
            wheels: published wheels, each with what is recorded of its build.

        Raises:
            OSError: the keys cannot be read now, or a file not be read or written.
        """
        try:
            published, private = self.publish_keys()
        except ConfigError as error:
            raise OSError(errno.EIO, str(error), str(self.keys.path)) from error
        done = Renewal()
        for wheel, facts in wheels:
            if (payload := self._revoked_statement(wheel, published)) is None:
                continue
            recorded = self._readable_statement(wheel, facts)
            if problem := find_disagreement(payload, recorded, facts):
                done.refused.append((wheel, problem))
                continue
            path = self.webroot.provenance_path(wheel.sha256, wheel.name)
            if self.webroot.write(path, dsse.seal(payload, private)):
                done.signed.append(wheel)
        return done

    def _revoked_statement(self, wheel: Subject, published: PublicKeys) -> bytes | None:
        """The statement of a wheel, if a revoked key signed it."""
        path = self.webroot.provenance_path(wheel.sha256, wheel.name)
        revoked = {key.keyid for key in published.keys if key.revoked_at}
        as_before = {key.keyid: replace(key, revoked_at=None) for key in published.keys}
        try:
            verified = verify(path.read_bytes(), as_before, wheel)
        except (FileNotFoundError, NotVerifiedError):
            return None  # an audit reports it
        return verified.payload if verified.key.keyid in revoked else None

    def _readable_statement(self, wheel: Subject, facts: BuildFacts) -> bytes:
        """The statement, with as many of the inputs as `verify` accepts.

        Inputs are what a builder reports, which must not make a statement that nobody can read.
        """
        whole = self._statement(wheel, facts)
        if is_readable(whole):
            return whole

        def with_inputs(count: int) -> bytes:
            inputs = facts.build_inputs[:count]
            return self._statement(
                wheel, replace(facts, build_inputs=inputs, inputs_are_complete=False)
            )

        counts = range(1, len(facts.build_inputs))
        return with_inputs(bisect_left(counts, True, key=lambda n: not is_readable(with_inputs(n))))

    def _statement(self, wheel: Subject, facts: BuildFacts) -> bytes:
        return encode_statement(wheel, facts, farm_url=self.farm_url, version=version("piwheels"))

    def _has_statement(self, path: Path, wheel: Subject, published: PublicKeys) -> bool:
        try:
            verify(path.read_bytes(), {key.keyid: key for key in published.keys}, wheel)
        except FileNotFoundError:
            return False
        except NotVerifiedError as error:
            log.warning("%s is written again: %s", path, error)
            return False
        return True


def _distrusted(key: PublicKey) -> PublicKey:
    """A key of unknown origin, as revoked."""
    now = datetime.now(UTC)
    return replace(
        key,
        valid_until=key.valid_until or now,
        revoked_at=key.revoked_at or now,
        revoked_reason=key.revoked_reason or "the farm did not know it",
    )
