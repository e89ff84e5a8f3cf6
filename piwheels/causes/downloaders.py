"""Which program a build downloads with, as the line that tells and those around it show."""

import re

from piwheels.causes.log_text import Line, PlainLog

_LINES_AFTER, _LINES_BEFORE = 40, 15

#: A message of each program, the most specific first.
_MESSAGES = (
    ("curl", re.compile(r"\bcurl: \(\d+\)")),
    ("wget", re.compile(r"^wget: |--\d{4}-\d\d-\d\d \d\d:\d\d:\d\d--  \w+://")),
    ("npm", re.compile(r"\bnpm (?:ERR!|error|http)\b")),
    ("yarn", re.compile(r"\btrouble with your network\b")),
    ("go", re.compile(r"^go: |\bdial tcp\b")),
    ("rustup", re.compile(r"could not download file from '\S+' to")),
    (
        "cargo",
        re.compile(r"\bdownload of config\.json failed|[Uu]nable to update (?:registry )?`?\w"),
    ),
    ("cargo", re.compile(r"\bfailed to (?:fetch|download|get|load source)\b.*`")),
    ("cargo", re.compile(r"\bno matching packages? (?:named|found)")),
    ("cmake", re.compile(r"[Ee]ach download failed|^error: downloading '|^status: \[\d+;")),
    ("git", re.compile(r"^fatal: |Failed to clone repository|clone of '\S+' into submodule")),
    ("git", re.compile(r"^Cloning into '|Could not read from remote repository")),
    ("pip", re.compile(r"\bpip\._(?:vendor|internal)\.|^WARNING: Retrying \(Retry\(")),
    ("Python (httpx)", re.compile(r"^httpx\.")),
    ("Python (requests)", re.compile(r"^requests\.|HTTPS?ConnectionPool\(")),
    ("Python (urllib)", re.compile(r"^urllib\.error\.|<urlopen error ")),
)
#: A command that is told to have failed: ['git', 'clone', ...] or 'npm ci'.
_COMMAND = re.compile(
    r"Command (?:\[)?'(?:[^' ]*/)?(?P<name>git|curl|wget|npm|yarn|pnpm|go|cargo|rustup|svn|hg)\b"
)
_PYTHON = re.compile(r"^(?:socket\.\w+|OSError|ConnectionError|TimeoutError): ")


def find_downloader(log: PlainLog, line: Line) -> str:
    """The name of the program that reached for a host on a line; "" if nothing tells."""
    if own := _program_of(line.text):
        return own
    after = [each.text for each in log.telling_after(line, _LINES_AFTER)]
    for text in after:
        if command := _COMMAND.search(text):
            return command["name"]
    near = (*after, *(each.text for each in log.before(line, _LINES_BEFORE)))
    found = next((program for text in near if (program := _program_of(text))), "")
    return found or ("Python" if _PYTHON.match(line.text) else "")


def _program_of(text: str) -> str:
    return next((program for program, pattern in _MESSAGES if pattern.search(text)), "")
