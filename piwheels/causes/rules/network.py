"""Lines about hosts: of the index, and those that a build itself tries to reach."""

from piwheels.causes.missing import MissingKind
from piwheels.causes.rule import Rank, rule
from piwheels.model import FailureClass as C

_HOST = r"(?P<name>[A-Za-z0-9][\w-]*(?:\.[\w-]+)+)"

RULES = (
    # The index, as pip reports it
    rule(
        "digest-mismatch",
        ("DO NOT MATCH THE HASHES", "Got        "),
        r"THESE PACKAGES DO NOT MATCH THE HASHES",
        C.DAMAGED_DOWNLOAD,
        Rank.PRECISE,
    ),
    rule(
        "pip-retry",
        "after connection broken by",
        r"Retrying \(Retry\(.*\)\) after connection broken by .*: (?:https?:)?/",
        C.INDEX_FAULT,
        Rank.HINT,
        weight=0,
    ),
    rule(
        "index-http-error",
        ("HTTP error ", " Server Error: ", " Client Error: "),
        r"HTTP error (?:404|410|5\d\d|429|403) while getting|\b(?:404|410|429|403|5\d\d) "
        r"(?:Server|Client) Error: .* for url: \S*(?:/simple/|/files/|pypi|pythonhosted)",
        C.INDEX_FAULT,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "index-connection",
        (
            "HTTPConnectionPool",
            "HTTPSConnectionPool",
            "ReadTimeout",
            "IncompleteRead",
            "Could not fetch URL",
            "onnection broken",
            "ProtocolError",
            "ChunkedEncodingError",
        ),
        r"Could not install packages due to an OSError: .*HTTPS?ConnectionPool"
        r"|^(?:WARNING: )?Could not fetch URL "
        r"|^(?:ERROR: )?pip\._(?:vendor|internal)\.\S*(?:ReadTimeoutError|ProtocolError"
        r"|IncompleteRead|ConnectionError|NewConnectionError|ConnectTimeoutError|MaxRetryError"
        r"|ChunkedEncodingError|SSLError|IncompleteDownloadError)"
        r"|HTTPS?ConnectionPool\(.*(?:/simple/|/files/|pypi\.org|pythonhosted\.org)",
        C.INDEX_FAULT,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "index-incomplete-download",
        ("ncomplete-download", "Download failed because not enough bytes", "not enough bytes"),
        r"incomplete-download|Download failed (?:because|after \d+ attempts)|not enough bytes",
        C.INDEX_FAULT,
        Rank.ERROR,
        weight=0,
    ),
    rule(
        "index-html",
        "Skipping page ",
        r"Skipping page \S+ because the (?:GET|HEAD) request got Content-Type",
        C.INDEX_FAULT,
        Rank.HINT,
        weight=0,
    ),
    # Cargo, offline
    rule(
        "cargo-download",
        (
            "failed to download from `",
            "failed to fetch `",
            "failed to download `",
            "nable to update ",
            "failed to load source for dependency",
        ),
        r"failed to (?:download from|fetch) `\S*?https?://"
        + _HOST
        + r"|[Uu]nable to update (?:registry )?`?https?://(?P<name2>[^/`]+)"
        r"|failed to download `[^`]+`|failed to load source for dependency",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=2,
    ),
    rule(
        "cargo-no-package",
        "no matching package",
        r"error: no matching package(?:s)? (?:named `[^`]+` )?found",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        weight=2,
    ),
    # What a build downloads
    rule(
        "no-such-host",
        (
            "resolve host",
            "unable to access",
            "unable to resolve",
            "resolve hostname",
            "look up ",
            "resolve address",
            "ould not connect to server",
            "ailed to connect to ",
            "nresolved host",
        ),
        r"(?:Could not|Couldn't|unable to|could not) resolve (?:host(?:name)?(?: address)?|proxy)"
        r"(?: name)?:?\s*(?:\([^)]*: )?['‘\"]?"
        + _HOST
        + r"|unable to access ['‘]?https?://(?P<name2>[^/'’:]+)"
        r"|failed to resolve address for (?P<name5>[\w.-]+)|unable to look up (?P<name3>[\w.-]+)"
        r"|[Ff]ailed to connect to (?P<name4>[\w.-]+) port|[Cc]ould not resolve host",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=1,
    ),
    rule(
        "connection-pool",
        ("ConnectionPool(host=",),
        r"HTTPS?ConnectionPool\(host='(?P<name>[^']+)', port=\d+\): Max retries exceeded",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=1,
    ),
    rule(
        "urlopen",
        (
            "urlopen error",
            "name resolution",
            "Name or service not known",
            "No address associated",
            "nodename nor servname",
            "Network is unreachable",
        ),
        r"<?urlopen error |(?:Temporary failure in|failure in) name resolution"
        r"|\[Errno -[235]\] |Name or service not known|No address associated with hostname"
        r"|: Network is unreachable|\[Errno 101\]",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        weight=2,
    ),
    rule(
        "git-clone",
        (
            "unable to access",
            "Failed to clone repository",
            "fatal: unable to",
            "clone of '",
            "Could not read from remote repository",
        ),
        r"Failed to clone repository: ['\"]?(?:https?|git|ssh)://(?:\w+@)?(?P<name>[^/'\":]+)"
        r"|clone of '(?:https?|git)://(?P<name2>[^/']+)\S*' into submodule path .* failed"
        r"|^fatal: unable to (?:connect to |look up )?(?P<name3>[\w.-]+)"
        r"|Could not read from remote repository",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=2,
    ),
    rule(
        "git-transport",
        "fatal: transport ",
        r"^fatal: transport '\w+' not allowed",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        weight=2,
    ),
    rule(
        "npm-network",
        ("npm ERR! ", "npm error ", "npm http "),
        r"npm (?:ERR!|error) (?:network )?request to https?://(?P<name>[^/ ]+)\S* failed",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=1,
    ),
    rule(
        "npm-code",
        ("npm ERR! ", "npm error "),
        r"npm (?:ERR!|error) (?:code E(?:AI_AGAIN|NOTFOUND|CONNREFUSED)|errno E(?:AI_AGAIN|NOTFOUND))",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        weight=2,
    ),
    rule(
        "yarn-network",
        "There appears to be trouble with your network",
        r"There appears to be trouble with your network connection",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        weight=2,
    ),
    rule(
        "go-network",
        ("dial tcp", "proxy.golang.org"),
        r"https?://(?P<name>[\w.-]+)\S*\"?: dial tcp|dial tcp: lookup (?P<name2>[\w.-]+)",
        C.NEEDS_NETWORK,
        Rank.ERROR,
        kind=MissingKind.HOST,
        weight=1,
    ),
    rule(
        "cmake-download",
        "ach download failed",
        r"[Ee]ach download failed",
        C.NEEDS_NETWORK,
        weight=3,
    ),
)
