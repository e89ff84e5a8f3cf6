"""Builds a situation with the project's own builder, and keeps its log and the facts about it."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from piwheels.builder import build as build_module
from piwheels.builder import job_tries
from piwheels.builder.index_proxy import IndexProxy
from piwheels.builder.pip_provider import PipProvider
from piwheels.index_client import client as client_module
from piwheels.index_client.client import SimpleIndex
from piwheels.index_client.page import IndexFile
from piwheels.model import Job, Sdist
from piwheels.protocol.messages import BuildFinished
from piwheels.system.interpreters import probe_interpreter
from tests import requires
from tests.builder import sdists
from tests.builder.builder_harness import BuilderHarness, builder_for
from tests.causes.plain_debian import PlainDebian, plain_debian, rust_toolchain
from tests.causes.recordings import Facts, Recorded
from tests.causes.spec import PROJECT, Variant
from tests.causes.tools import compiled_pips, tool_wheels
from tests.fake_index import FakeIndex, fake_index

#: Of every build; a variant may have others.
_TIMEOUT_S = 240.0

Tools = list[tuple[IndexFile, bytes]]


class _RecordingProxy(IndexProxy):
    """An index proxy that keeps what it answered: HTTP status by project or file name."""

    last: "_RecordingProxy | None" = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.answers: dict[str, int] = {}
        _RecordingProxy.last = self

    async def _serve_page(self, request: Request) -> Response:
        response = await super()._serve_page(request)
        self.answers[request.path_params["project"]] = response.status_code
        return response

    async def _serve_file(self, request: Request) -> Response:
        response = await super()._serve_file(request)
        self.answers[request.path_params["filename"]] = response.status_code
        return response


async def record(variant: Variant, python: str, tools: Tools) -> Recorded:
    """Build a variant on a Python.

    Args:
        variant: the sdist and its surroundings.
        python: "3.13".
        tools: pip and setuptools, with their entries on the index.
    """
    with ExitStack() as stack:
        index = stack.enter_context(fake_index())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sandbox = stack.enter_context(plain_debian(variant))
        stack.enter_context(mock.patch.object(build_module, "IndexProxy", _RecordingProxy))
        # A log of one try: what follows is decided by its class.
        stack.enter_context(mock.patch.object(job_tries, "next_try", return_value=None))
        # A change of the index may change these.
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(mock.patch.object(client_module, "_TIMEOUT", client_module._TIMEOUT))
        _RecordingProxy.last = None
        job = _prepare_index(index, variant, python, tools)
        async with SimpleIndex(index.simple) as client:
            builder = builder_for(client, folder, sandbox)
            builder.set_limits(**{"timeout_s": _TIMEOUT_S, **variant.limits})
            pips = compiled_pips(tools)
            builder.options = replace(
                builder.options, pips=PipProvider(client, builder.options.cache, pips)
            )
            stack.enter_context(_disk_of(builder.folder, variant.disk_bytes, variant.disk_inodes))
            result = await builder.build(job, probe_interpreter(requires.find_python(python)))
        return _recorded(
            builder,
            sandbox,
            result,
            {folder: "", pips: "/pip"},
            small_disk=bool(variant.disk_bytes),
        )


def _prepare_index(index: FakeIndex, variant: Variant, python: str, tools: Tools) -> Job:
    for file, content in tools:
        project = file.filename.partition("-")[0]
        index.add(project, file.filename, content, **{"requires-python": file.requires_python})
    for wheel in tool_wheels(variant.tools, python):
        project = wheel.name.partition("-")[0].lower().replace("_", "-")
        index.add(project, wheel.name, wheel.read_bytes())
    entry = index.add(PROJECT, variant.sdist.filename, variant.sdist.content)
    if variant.index is not None:
        variant.index(index)
    return Job(
        build_id=1,
        project=PROJECT,
        version="1.0",
        target=f"cp{python.replace('.', '')}",
        sdist=Sdist(
            filename=entry["filename"],
            url=index.file_url(entry),
            sha256=entry["hashes"]["sha256"],
        ),
        released_at=sdists.RELEASED,
    )


def can_make_disk() -> bool:
    """Whether a small disk can be made here."""
    with (
        suppress(subprocess.CalledProcessError),
        tempfile.TemporaryDirectory() as folder,
        _disk_of(Path(folder), 1 << 20),
    ):
        return True
    return False


@contextmanager
def _disk_of(folder: Path, size_bytes: int, inodes: int = 0) -> Iterator[None]:
    """A small disk at a folder; needs root."""
    if not size_bytes:
        yield
        return
    size = f"size={size_bytes},nr_inodes={inodes}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _recorded(
    builder: BuilderHarness,
    sandbox: PlainDebian,
    result: BuildFinished,
    folders: dict[Path, str],
    *,
    small_disk: bool,
) -> Recorded:
    proxy, ended = _RecordingProxy.last, sandbox.last_result
    log = bytes(builder.log)
    # The last line is the builder's own verdict.
    log = log[: log.rstrip(b"\n").rfind(b"\n") + 1]
    common = _replacements(folders)
    fault = str(proxy.last_error or "") if proxy else ""
    evidence = msgspec.to_builtins(result.evidence)
    evidence.pop("disk_free_bytes", None)
    facts = Facts(
        status=ended.status if ended else None,
        limit=str(ended.limit_exceeded or "") if ended else "",
        phase=builder.phases[-1] if builder.phases else "",
        outcome=str(result.outcome),
        builder_class=str(result.failure_class or ""),
        reason=_scrub(result.reason.encode(), common).decode(),
        duration_s=round(result.duration_s, 1),
        proxy_answers=dict(proxy.answers) if proxy else {},
        proxy_error=_scrub(fault.encode(), common).decode(),
        wheels=sandbox.wheels,
        disk_free_bytes=sandbox.disk_free if small_disk else None,
        evidence=evidence,
    )
    return Recorded(log=_scrub(log, common), facts=facts)


def _replacements(folders: dict[Path, str]) -> dict[bytes, bytes]:
    """What stands in a log instead of this machine's folders."""
    found = {
        **{
            str(path).encode(): f"/var/lib/piwheels-builder{below}".encode()
            for path, below in folders.items()
        },
        str(requires.find_python("3.13").parents[2]).encode(): b"/opt/python",
    }
    with suppress(OSError):  # there is no Rust
        found[str(rust_toolchain()).encode()] = b"/opt/rust"
    return found


def _scrub(text: bytes, replacements: dict[bytes, bytes]) -> bytes:
    """Without this machine's folders and ports."""
    for mine, common in replacements.items():
        text = text.replace(mine, common)
    return re.sub(rb"\b127\.0\.0\.1([:', port=]{1,8})\d{4,5}\b", rb"127.0.0.1\g<1>40000", text)
