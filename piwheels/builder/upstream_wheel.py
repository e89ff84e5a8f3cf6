"""The archive directory of the upstream wheel of a release, to compare a build with.

It is optional: if upstream has no wheel, or does not answer, the comparison is skipped.
"""

import asyncio
import logging

from piwheels import untrusted_names
from piwheels.errors import RejectedError, TransientError
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import FileKind
from piwheels.model import Interpreter, Job

log = logging.getLogger(__name__)

#: Enough for the directory of an archive with 10,000 files.
_TAIL_BYTES = 1024**2
_TIMEOUT_S = 60.0
_LINUX = ("linux", "manylinux", "musllinux")


async def upstream_wheel_tail(
    index: SimpleIndex, job: Job, interpreter: Interpreter
) -> tuple[str, bytes] | None:
    """The file name and the last bytes of the upstream wheel that is most like the one built.

    None if there is no wheel for Linux or for any platform, or if it cannot be fetched now.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            page = await index.project(job.project)
            files = {
                file.filename: file.url
                for file in (page.files if page else ())
                if file.kind is FileKind.WHEEL and file.version == job.version
            }
            ranked = {
                name: rank for name in files if (rank := _similarity_rank(name, interpreter.abi))
            }
            if not ranked:
                return None
            best = min(ranked, key=lambda name: (ranked[name], name))
            return best, await index.read_tail(files[best], _TAIL_BYTES)
    except (TransientError, RejectedError, TimeoutError) as error:
        log.info("the upstream's wheel of %s %s: %s", job.project, job.version, error)
        return None


def _similarity_rank(filename: str, abi: str) -> int:
    """How similar a wheel's modules are to those of a Linux wheel: 1 is best, 0 is not at all."""
    try:
        tags = untrusted_names.parse_wheel_filename(filename).tags
    except RejectedError:
        return 0
    linux = [tag for tag in tags if tag.platform.startswith(_LINUX)]
    if any(tag.abi == abi for tag in linux):
        return 1
    if any(tag.abi == "abi3" for tag in linux):
        return 2
    if any(tag.platform == "any" and tag.interpreter.startswith("py3") for tag in tags):
        return 3
    return 4 if linux else 0
