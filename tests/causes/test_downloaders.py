"""Which program a build tried to download with."""

import pytest

from piwheels.causes import Evidence, FailureClass, IndexRecord, MissingKind, classify
from tests.causes.samples import PIP_END, trace

_FAILED = "subprocess.CalledProcessError: Command {} returned non-zero exit status 1."
_NO_HOST = "Could not resolve host: example.org"

INDEX_WAS_WELL = Evidence(exit_status=1, index=IndexRecord())
LOGS = {
    "git": f"fatal: unable to access 'https://example.org/a.git/': {_NO_HOST}\n",
    "curl": f"curl: (6) {_NO_HOST}\n",
    "wget": "wget: unable to resolve host address 'example.org'\n",
    "npm": "npm error code EAI_AGAIN\nnpm error request to https://example.org/x failed, reason:\n",
    "yarn": "info There appears to be trouble with your network connection. Retrying...\n",
    "go": 'go: a@v1: Get "https://example.org/a": dial tcp: lookup example.org: no such host\n',
    "cargo": "error: failed to fetch `https://example.org/config.json`\n",
    "cmake": "CMake Error at x.cmake:16 (message):\n  Each download failed!\n\n"
    "    error: downloading 'https://example.org/p.tgz' failed\n",
    "pip": "ERROR: Exception:\npip._vendor.requests.exceptions.ConnectionError: "
    "HTTPSConnectionPool(host='example.org', port=443): Max retries exceeded with url: /p\n",
    "Python (requests)": trace(
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='example.org', port=443): "
        "Max retries exceeded with url: /p"
    ),
    "Python (urllib)": trace("urllib.error.URLError: <urlopen error [Errno -2] Name or service>"),
    "Python": trace("OSError: [Errno 101] Network is unreachable"),
    # Only the command tells
    "svn": "Could not resolve host\n" + trace(_FAILED.format("['/usr/bin/svn', 'checkout']")),
    "pnpm": "Could not resolve host\n" + trace(_FAILED.format("'pnpm install'")),
}


@pytest.mark.parametrize("program", LOGS)
def test_the_program_is_named(program: str) -> None:
    cause = classify(LOGS[program] + PIP_END, INDEX_WAS_WELL)
    assert cause.failure_class is FailureClass.NEEDS_NETWORK
    assert [each.name for each in cause.missing if each.kind is MissingKind.DOWNLOADER] == [program]


def test_a_program_is_not_guessed() -> None:
    cause = classify(f"{_NO_HOST}\n{PIP_END}")
    assert [each.kind for each in cause.missing] == [MissingKind.HOST]
