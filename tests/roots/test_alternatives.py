"""What update-alternatives would do, from scripts that are not run."""

from pathlib import Path

from piwheels.roots.alternatives import Alternative, choose_links, read_alternatives
from piwheels.roots.deb_file import Package
from piwheels.roots.system_files import link_alternatives

_GCC = """#!/bin/sh
set -e
case "$1" in configure)
update-alternatives --quiet \\
    --install /usr/bin/cc cc /usr/bin/gcc 20 \\
    --slave /usr/share/man/man1/cc.1.gz cc.1.gz /usr/share/man/man1/gcc.1.gz
esac
"""
_BLAS = """
libdir=usr/lib/aarch64-linux-gnu
prio="100"
update-alternatives --install /$libdir/libblas.so.3 libblas.so.3-$arch /${libdir}/openblas/libblas.so.3 $prio
"""


def test_continued_lines_slaves_and_variables_are_read() -> None:
    assert read_alternatives(_GCC) == (
        Alternative("/usr/bin/cc", "/usr/bin/gcc", 20),
        Alternative("/usr/share/man/man1/cc.1.gz", "/usr/share/man/man1/gcc.1.gz", 20),
    )
    folder = "/usr/lib/aarch64-linux-gnu"
    assert read_alternatives(_BLAS) == (
        Alternative(f"{folder}/libblas.so.3", f"{folder}/openblas/libblas.so.3", 100),
    )


def test_what_a_script_computes_is_left_out() -> None:
    script = 'update-alternatives --install "$(which x)" y /usr/bin/$name 10\n'
    assert read_alternatives(script + "update-alternatives --remove cc /usr/bin/gcc\n") == ()
    assert read_alternatives("update-alternatives --install /etc/x x /bin/y 1\n") == ()
    assert read_alternatives("update-alternatives --install '/usr/bin/x x /usr/bin/y 1\n") == ()


def test_the_highest_priority_comes_first() -> None:
    low, high = (
        Alternative("/usr/bin/x", "/usr/bin/a", 1),
        Alternative("/usr/bin/x", "/usr/bin/b", 2),
    )
    assert choose_links([low, high]) == {"/usr/bin/x": ["/usr/bin/b", "/usr/bin/a"]}


def test_links_are_relative_and_only_made_for_what_is_there(tmp_path: Path) -> None:
    root, layer = tmp_path / "root", tmp_path / "layer"
    for path in (root / "usr/bin/gcc", layer / "usr/bin/gawk"):
        path.parent.mkdir(parents=True)
        path.touch()
    link_alternatives(root, [_package(_GCC)], "aarch64-linux-gnu")
    assert (root / "usr/bin/cc").readlink() == Path("gcc")
    assert not (root / "usr/share/man").exists()
    (root / "usr/bin/awk").touch()
    script = "update-alternatives --install /usr/bin/awk awk /usr/bin/gawk 10\n"
    link_alternatives(layer, [_package(script)], "aarch64-linux-gnu", below=(root,))
    assert not (layer / "usr/bin/awk").exists(), "no layer replaces what the root has"


def _package(postinst: str) -> Package:
    return Package(name="a", version="1", arch="all", control="", postinst=postinst, files=())
