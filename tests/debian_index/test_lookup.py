"""Tables, their reduction from Contents lists, and the rules of lookups."""

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piwheels.causes import Missing, MissingKind, PackageLookup
from piwheels.debian_index import DebianIndex, load_index, make, releases
from piwheels.debian_index.contents import reduce_contents
from piwheels.debian_index.rules import load_rules
from piwheels.debian_index.runtime import translate_packages
from piwheels.debian_index.table import Entry, EntryKind, Table, compress_table
from piwheels.errors import ConfigError

ARCHIVE = """\
usr/bin/foo-config                              libdevel/libfoo-dev
usr/bin/gamer                                   games/gamer
usr/games/gamer                                 games/gamer
usr/include/foo-2/foo/foo.h                     libdevel/libfoo-dev
usr/include/foo-2/config.h                      libdevel/libfoo-dev
usr/include/deep/a/b/c.h                        libdevel/libdeep-dev
usr/include/x86_64-linux-gnu/arch.h             libdevel/liba-gnutls-dev,libdevel/liba-openssl-dev
usr/include/python3.11/longintrepr.h            libdevel/libpython3.11-dev
usr/lib/x86_64-linux-gnu/foo-2/include/fooconfig.h libdevel/libfoo-dev
usr/lib/x86_64-linux-gnu/libfoo.so              libdevel/libfoo-dev
usr/lib/x86_64-linux-gnu/libfoo.so.2            libs/libfoo2
usr/lib/x86_64-linux-gnu/libonly.so.1           libs/libonly1
usr/lib/x86_64-linux-gnu/pkgconfig/foo-2.pc     libdevel/libfoo-dev
usr/lib/x86_64-linux-gnu/cmake/Foo/FooConfig.cmake libdevel/libfoo-dev
usr/share/doc/libempty-dev                      libdevel/libempty-dev
usr/bin/odd name with spaces                    utils/odd
usr/x86_64-w64-mingw32/include/windows.h        devel/mingw-w64-common
"""


@pytest.fixture
def index() -> DebianIndex:
    entries = reduce_contents(ARCHIVE.splitlines())
    return DebianIndex(Table(compress_table(entries)), load_rules())


@pytest.mark.parametrize(
    ("kind", "name", "packages"),
    [
        ("header", "foo-2/foo/foo.h", ("libfoo-dev",)),
        ("header", "foo/foo.h", ("libfoo-dev",)),  # found by a private -I
        ("header", "foo.h", ("libfoo-dev",)),
        ("header", "oo.h", ()),
        ("header", "bar/foo.h", ()),
        ("header", "fooconfig.h", ("libfoo-dev",)),  # usr/lib/*/include
        ("header", "arch.h", ("liba-openssl-dev", "liba-gnutls-dev")),
        ("header", "deep/a/b/c.h", ("libdeep-dev",)),
        ("header", "a/b/c.h", ("libdeep-dev",)),
        ("header", "longintrepr.h", ()),
        ("library", "foo", ("libfoo-dev",)),
        ("library", "-lfoo", ("libfoo-dev",)),
        ("library", "libfoo.so.2", ("libfoo-dev",)),
        ("library", "only", ("libonly1",)),
        ("pkg-config", "foo-2", ("libfoo-dev",)),
        ("pkg-config", "foo-2.pc", ("libfoo-dev",)),
        ("program", "foo-config", ("libfoo-dev",)),
        ("program", "/usr/bin/foo-config", ("libfoo-dev",)),
        ("program", "gamer", ()),
        ("program", "odd name with spaces", ("odd",)),
        ("cmake", "FOO", ("libfoo-dev",)),
        ("software", "foo", ("libfoo-dev",)),
        ("software", "libempty-dev", ("libempty-dev",)),
        ("software", "pkg-config", ()),
        ("module", "foo", ()),
        ("header", "", ()),
        ("header", "a\tb", ()),
        ("header", "x" * 5000, ()),
    ],
)
def test_lookups(index: DebianIndex, kind: str, name: str, packages: tuple[str, ...]) -> None:
    assert index.find_packages(kind, name) == packages


def test_a_rule_names_only_packages_that_the_release_has(index: DebianIndex) -> None:
    assert index.find_packages("header", "mpi.h") == ()
    assert load_index("bookworm").find_packages("header", "mpi.h")[0] == "libopenmpi-dev"


def test_a_header_of_many_packages_belongs_to_none() -> None:
    lines = [f"usr/include/lib{n}/shared.h libdevel/lib{n}-dev" for n in range(5)]
    table = Table(compress_table(reduce_contents(lines)))
    assert DebianIndex(table, load_rules()).find_packages("header", "shared.h") == ()


def test_a_folder_of_very_many_headers_has_one_entry() -> None:
    lines = [f"usr/include/huge/x{n}.h libdevel/libhuge-dev" for n in range(401)]
    entries = reduce_contents(lines)
    assert [entry for entry in entries if entry.kind is not EntryKind.PACKAGE] == [
        Entry(EntryKind.FOLDER, "huge", "", ("libhuge-dev",))
    ]
    index = DebianIndex(Table(compress_table(entries)), load_rules())
    assert index.find_packages("header", "huge/x7.h") == ("libhuge-dev",)


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
@pytest.mark.parametrize(
    ("text", "packages"),
    [
        (
            "Error: Please make sure the libxml2 and libxslt development packages are installed.",
            ("libxml2-dev", "libxslt1-dev"),
        ),
        ("The headers or library files could not be found for zlib,", ("zlib1g-dev",)),
        ("ERROR: MySQL client or openssl missing", ("default-libmysqlclient-dev", "libssl-dev")),
        ("please install libyaml-dev, or PyYAML will be slow", ("libyaml-dev",)),
        ("pkg-config could not be found; numpy is needed", ()),
        ("in /usr/lib/openssl/x.c and openssl.c", ()),
    ],
)
def test_software_in_sentences(release: str, text: str, packages: tuple[str, ...]) -> None:
    assert load_index(release).find_in_text(text) == packages


@settings(max_examples=20)
@given(
    st.sets(
        st.tuples(st.sampled_from(list(EntryKind)), st.text("abc.-+_Ä ", min_size=1), st.text("d/"))
    )
)
def test_a_table_finds_exactly_what_was_put_in(keys: set[tuple[EntryKind, str, str]]) -> None:
    entries = [Entry(*key, ("one", "two")) for key in keys]
    table = Table(compress_table(entries))
    for entry in entries:
        same = {other for other in entries if other[:2] == entry[:2]}
        assert set(table.find(entry.kind, entry.name)) == same
    assert not list(table.find(EntryKind.HEADER, "absent"))


def test_the_index_is_what_causes_ask() -> None:
    lookup: PackageLookup = load_index("trixie")
    missing = Missing(MissingKind.PKG_CONFIG, "libpq")
    assert lookup.find_packages(missing.kind, missing.name)[0] == "libpq-dev"


@pytest.mark.parametrize(
    ("packages", "target", "names"),
    [
        (["libssl3"], "trixie", ("libssl3t64",)),
        (["libpq5", "libgfortran5"], "trixie", ("libgfortran5", "libpq5")),
        (["libpng16-16"], "trixie", ("libpng16-16t64",)),
        (["libicu72"], "trixie", None),  # libicuuc.so.72, and trixie has another version
        (["libssl3"], "potato", None),
        (["no-such-package"], "trixie", None),
    ],
)
def test_packages_have_their_names_of_another_release(
    packages: list[str], target: str, names: tuple[str, ...] | None
) -> None:
    assert translate_packages(packages, "bookworm", target) == names


def test_a_runtime_library_has_its_package_and_no_version_behind_its_name() -> None:
    index = load_index("bookworm")
    assert index.library_owners("libpq.so.5") == ("libpq5",)
    assert index.library_owners("libpq.so.5.15") == ()
    assert "libpq.so.5" in index.libraries_of("libpq5")
    assert "libopenblas.so.0" in index.libraries_of("libopenblas0-pthread")


def test_both_releases_have_a_table_and_others_are_refused() -> None:
    assert releases() == ("bookworm", "trixie")
    with pytest.raises(ConfigError, match="no table of the packages of 'potato'"):
        load_index("potato")


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_each_software_and_alternative_has_a_package_in_each_release(release: str) -> None:
    rules, index = load_rules(), load_index(release)
    tables = {**rules.alternatives, "software": rules.software}
    lacking = [
        f"{kind} {name}: {packages}"
        for kind, names in tables.items()
        for name, packages in names.items()
        if not any(map(index.has_package, packages))
    ]
    assert not lacking


# --- making a table ---


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Nothing: requests are of no interest."""


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of an archive with one suite, and its folder."""
    suite = tmp_path / "archive" / "dists" / "tiny"
    (suite / "main").mkdir(parents=True)
    checksums = ""
    for architecture, text in {"amd64": ARCHIVE, "all": "usr/bin/any utils/any\n"}.items():
        packed = gzip.compress(text.encode())
        (suite / f"main/Contents-{architecture}.gz").write_bytes(packed)
        digest = hashlib.sha256(packed).hexdigest()
        checksums += f" {digest} {len(packed)} main/Contents-{architecture}.gz\n"
    (suite / "Release").write_text(f"SHA256:\n{checksums}")
    handler = partial(QuietHandler, directory=str(tmp_path / "archive"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", suite
        server.shutdown()


def test_make_writes_a_table_that_is_the_same_again(
    mirror: tuple[str, Path], tmp_path: Path
) -> None:
    command = ["tiny", "--mirror", mirror[0], "--output", str(tmp_path)]
    assert make.main(command) == 0
    first = (tmp_path / "tiny.xz").read_bytes()
    table = Table(first)
    assert [entry.packages for entry in table.find(EntryKind.PROGRAM, "any")] == [("any",)]
    assert make.main(command) == 0
    assert (tmp_path / "tiny.xz").read_bytes() == first


def test_make_refuses_a_list_that_is_not_the_archives(
    mirror: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mirror[1] / "main/Contents-all.gz").write_bytes(gzip.compress(b"usr/bin/evil utils/evil\n"))
    assert make.main(["tiny", "--mirror", mirror[0], "--output", str(tmp_path)]) == 1
    assert "Contents-all.gz is not the list that" in capsys.readouterr().err
    assert not (tmp_path / "tiny.xz").exists()


def test_make_names_an_archive_without_the_suite(
    mirror: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert make.main(["none", "--mirror", mirror[0], "--output", str(tmp_path)]) == 1
    assert "dists/none/Release cannot be read" in capsys.readouterr().err
