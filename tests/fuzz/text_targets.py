"""Texts that people, programs and web servers write: logs, configuration, requirements, commands."""

import io
import math
import time
from collections.abc import Callable, Sequence

from piwheels.accesslog.csv_import import read_days
from piwheels.accesslog.log_formats import LogFormat, Parser
from piwheels.accesslog.rejected_lines import RejectedLineSample
from piwheels.accesslog.user_agents import parse_user_agent
from piwheels.causes.classify import classify
from piwheels.cli.options import given_duration
from piwheels.config.loading import load
from piwheels.control.name_index import NameIndex
from piwheels.debian_index.contents import reduce_contents
from piwheels.debian_index.table import compress_table
from piwheels.errors import ConfigError, RejectedError, UsageError
from piwheels.formatting import parse_duration
from piwheels.protocol.commands import definition
from piwheels.protocol.message_base import MAX_SHORT_CHARS
from piwheels.recipes.parse import parse_recipe
from piwheels.requirements import parse_requirements, target_environments
from piwheels.sanitize import strip_controls_multiline, strip_terminal_codes, truncate_line
from piwheels.tui.model.tables.table_model import natural_sort_key
from piwheels.tui.settings import settings_file, view_file
from piwheels.tui.widgets.cell_text import printable_text
from piwheels.tui.widgets.log_marks import ERROR_PATTERN, WARNING_PATTERN
from piwheels.website.log_excerpt import read_excerpt
from tests.accesslog import log_generator
from tests.causes.samples import SAMPLES
from tests.fuzz.scratch import as_text, empty_folder, scratch_file
from tests.fuzz.target import Target

_APACHE = b"www.example.org " + log_generator.download("demo")
_COMMON = b'192.0.2.1 - - [10/Mar/2026:12:00:00 +0000] "GET /simple/demo/ HTTP/1.1" 200 17\n'
_NGINX = b"""{"remote_addr": "192.0.2.1", "status": "200", "request": "GET /simple/demo/ HTTP/1.1",
"body_bytes_sent": "17", "http_user_agent": "pip/24", "time_iso8601": "2026-03-10T12:00:00+00:00",
"msec": "1773144000.123", "time_local": "10/Mar/2026:12:00:00 +0000"}""".replace(b"\n", b" ")
_CADDY = b"""{"ts": 1773144000.5, "request":{"method": "GET", "uri": "/simple/demo/", "client_ip": "::1",
"headers": {"User-Agent": ["pip/24"]}}, "status": 200, "size": 17}""".replace(b"\n", b" ")
_LINES = {
    LogFormat.AUTO: [log_generator.download("demo"), _NGINX],
    LogFormat.COMBINED: [log_generator.download("demo")],
    LogFormat.COMMON: [_COMMON],
    LogFormat.APACHE: [_APACHE],
    LogFormat.NGINX_JSON: [_NGINX],
    LogFormat.CADDY_JSON: [_CADDY],
}
_CONFIG = b"""[webroot]
root = "www"
url = "http://farm.example/"
[master]
control_bind = "ipc://control"
[upstream]
url = "https://index.example/simple/"
poll_interval_s = 60
[builder]
max_roots_mb = 200
[root.trixie-arm64]
folder = "system"
"""
_RECIPE = b"""packages = ["libxml2-dev"]
constraints = ["numpy<2"]
tools = { setuptools = "57.5.0", cython = "<3" }
tools_date = 2021-08-01
environment = { STATIC_DEPS = "false" }
patches = [{ file = "a.patch", sha256 = "0000" }]
memory_class = "large"
time_limit = "3h"
versions = "<5"
targets = ["cp313-*"]
skip = "needs a GPU"
contact = "wheels@example.org"
"""
_REQUIREMENTS = b"""# coding: utf-8
demo[a]>=1,<2 ; python_version < "3.12"  # comment
--index-url https://x.example -r input
other==1.0 --hash=sha256:aa \\
  --hash=sha256:bb
-c constraints.txt
git+https://x.example/y.git#egg=y
${HOME}
"""
_CONSOLE = b"""theme = "dark"
links = false
window = "day"
[keys]
quit = "q"
[contexts.home]
connect = "ssh://pi@host"
[tables.builds]
sort = "at"
"""
_CONTENTS = b"""usr/include/libxml2/libxml/tree.h      libdevel/libxml2-dev
usr/lib/x86_64-linux-gnu/libxml2.so.2.9.14  libs/libxml2
usr/lib/x86_64-linux-gnu/pkgconfig/libxml-2.0.pc libdevel/libxml2-dev,oldlibs/x
usr/share/cmake/Modules/FindZLIB.cmake  devel/cmake
"""
_CSV = b"day,downloads,bytes,saved_s\n2026-01-01,12,1000,1.5\n2026-01-02,0,,\n"


def _access_log(line_format: LogFormat) -> Callable[[bytes], object]:
    def parse(data: bytes) -> object:
        parsed = Parser(line_format).parse(data, int(time.time()) + 10 * 365 * 86400)
        RejectedLineSample(scratch_file(b"", "rejected")).add(parsed.rejected)
        return parsed

    return parse


def _configuration(data: bytes) -> object:
    return load(scratch_file(data, "piwheels.toml"), environ={})


def _console(data: bytes) -> object:
    folder = empty_folder("console")
    file = folder / "console.toml"
    found = []
    for make in (settings_file, view_file):
        file.write_bytes(data)
        loaded = make(file).load()
        assert "\n" not in loaded.problem
        found.append(loaded)
    return found


def _recipe(data: bytes) -> object:
    recipe, faults = parse_recipe("demo.toml", data, _patch)
    assert not any("\n" in str(fault) for fault in faults)
    return recipe


def _patch(name: str) -> bytes:
    raise FileNotFoundError(2, "No such file or directory", name)


def _requirements(data: bytes) -> object:
    scratch_file(b"other<3\n", "constraints.txt")
    parsed = parse_requirements([], [scratch_file(data, "requirements.txt")])
    targets = [target_environments("cp313-trixie-aarch64"), target_environments("pypy311_pp73-x-y")]
    return parsed.build_requests(targets, latest=1)


def _argument(data: bytes) -> object:
    """A requirement that is typed."""
    parsed = parse_requirements([as_text(data)], [])
    return parsed.build_requests([target_environments("cp313-trixie-aarch64")], latest=1)


def _build_log(data: bytes) -> object:
    text = data.decode(errors="replace")
    for line in text.splitlines()[:200]:
        ERROR_PATTERN.search(line)
        WARNING_PATTERN.search(line)
    return classify(text)


def _terminal_text(data: bytes) -> object:
    text = as_text(data)
    return (
        read_excerpt(io.BytesIO(data), 7),
        strip_terminal_codes(text),
        strip_controls_multiline(text),
        truncate_line(text),
        printable_text(text),
        natural_sort_key(text),
    )


def _typed(data: bytes) -> object:
    """What an operator types in a dialog."""
    text = as_text(data)
    return (
        definition.parse_count(text), definition.parse_packages(text), definition.parse_hours(text),
        parse_duration(text), definition.parse_until(text),
        NameIndex("demo\ndemo-two\nother").find(text[:MAX_SHORT_CHARS], 10),
    )  # fmt: skip


def _duration(data: bytes) -> object:
    seconds = given_duration(as_text(data))
    assert math.isfinite(seconds)
    return seconds


def _contents(data: bytes) -> object:
    return compress_table(reduce_contents(data.decode(errors="replace").splitlines()))


def _build_logs() -> Sequence[bytes]:
    return [sample.log.encode() for sample in SAMPLES[::8]]


TEXT_TARGETS = (
    *(
        Target(f"access-log-{name}", _access_log(name), (), lambda lines=lines: lines)  # type: ignore[misc]
        for name, lines in _LINES.items()
    ),
    Target(
        "user-agent",
        lambda data: parse_user_agent(as_text(data)),
        (),
        lambda: [log_generator.pip_agent().encode(), log_generator.MIRROR.encode()],
    ),
    Target(
        "access-csv",
        lambda data: read_days(scratch_file(data, "days.csv")),
        (RejectedError,),
        lambda: [_CSV],
    ),
    Target("configuration", _configuration, (ConfigError,), lambda: [_CONFIG]),
    Target("console-settings", _console, (), lambda: [_CONSOLE]),
    Target("recipe", _recipe, (), lambda: [_RECIPE]),
    Target("requirements-file", _requirements, (ConfigError,), lambda: [_REQUIREMENTS]),
    Target("requirement-argument", _argument, (UsageError,), lambda: [b"demo>=1,<2; os_name=='x'"]),
    Target("debian-contents", _contents, (), lambda: [_CONTENTS]),
    Target("build-log", _build_log, (), _build_logs),
    Target(
        "terminal-text", _terminal_text, (), lambda: [b"\x1b[31mred\x1b[0m \x1b]0;t\x07 a\rb\tc"]
    ),
    Target(
        "typed-text",
        _typed,
        (),
        lambda: [b"90m", b"2026-12-01 08:00", b"18:00", b"libx-dev, y", b"1,5"],
    ),
    Target(
        "duration",
        _duration,
        (UsageError,),
        lambda: [b"-1.5h", b"90"],
    ),
)
