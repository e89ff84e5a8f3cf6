"""Downloads that a build begins with: repeated while the index does not answer."""

import asyncio
from collections.abc import Awaitable
from typing import Protocol, TypeVar

from piwheels.builder.build_errors import DownloadFailedError
from piwheels.builder.build_log import BuildLog
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import DigestError

_DELAYS_S = (1.0, 4.0, 15.0)
_MAX_RETRY_AFTER_S = 60.0  # an index may request a longer pause, but a builder has other jobs

T_co = TypeVar("T_co", covariant=True)


class Fetch(Protocol[T_co]):
    """Downloads something, past all caches if wanted."""

    def __call__(self, *, bypass_caches: bool) -> Awaitable[T_co]:
        """Start the download."""
        ...


async def fetch_with_retries(fetch: Fetch[T_co], log: BuildLog) -> T_co:
    """The result of a download; what has a wrong digest is downloaded again without caches.

    Raises:
        DownloadFailedError: it was not to be had.
    """
    delays = iter(_DELAYS_S)
    bypass_caches = False
    while True:
        try:
            return await fetch(bypass_caches=bypass_caches)
        except DigestError as error:
            if bypass_caches:
                raise DownloadFailedError(error) from None
            log.write_marker(f"{error}; retrying without caches")
            bypass_caches = True
        except RejectedError as error:
            raise DownloadFailedError(error) from None
        except TransientError as error:
            delay_s = next(delays, None)
            if delay_s is None or error.retry_after_s > _MAX_RETRY_AFTER_S:
                raise DownloadFailedError(error) from None
            log.write_marker(f"{error}; retrying")
            await asyncio.sleep(max(delay_s, error.retry_after_s))
