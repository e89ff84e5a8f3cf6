"""Recipe files: what they allow, one line for each fault, folders with broken files, export."""

import hashlib
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from piwheels.errors import ConfigError
from piwheels.model import MemoryClass, Patch, Recipe, RecipeOrigin
from piwheels.recipes import KEYS, export_recipe, load_folder, parse_recipe

PATCH = "--- a/setup.py\n+++ b/setup.py\n@@ -1 +1 @@\n-1\n+2\n"
DIGEST = hashlib.sha256(PATCH.encode()).hexdigest()
FULL = f"""\
packages = ["libxml2-dev", "libxslt1-dev"]
constraints = ["numpy<2"]
tools = {{ setuptools = "57.5.0", cython = "<3" }}
tools_date = 2021-08-01
environment = {{ STATIC_DEPS = "false" }}
memory_class = "large"
time_limit = "3h"
versions = "<5"
targets = ["cp313-*"]
skip = "needs a GPU"
contact = "wheels@example.org"
patches = [{{ file = "fix.patch", sha256 = "{DIGEST}" }}]
"""
RECIPE = Recipe(
    project="lxml",
    packages=("libxml2-dev", "libxslt1-dev"),
    constraints=("numpy<2",),
    tools=("cython<3", "setuptools==57.5.0"),
    tools_date=date(2021, 8, 1),
    environment=(("STATIC_DEPS", "false"),),
    patches=(Patch("fix.patch", DIGEST, PATCH),),
    memory_class=MemoryClass.LARGE,
    time_limit_s=10800.0,
    versions="<5",
    targets=("cp313-*",),
    skip="needs a GPU",
    contact="wheels@example.org",
)


def read_patch(name: str) -> bytes:
    if name != "fix.patch":
        raise FileNotFoundError(2, "No such file or directory", name)
    return PATCH.encode()


def parse(text: str, filename: str = "lxml.toml") -> tuple[Recipe | None, list[str]]:
    recipe, faults = parse_recipe(filename, text.encode(), read_patch)
    return recipe, [str(fault) for fault in faults]


def test_every_key_is_read() -> None:
    assert parse(FULL) == (RECIPE, [])
    assert {line.partition(" ")[0] for line in FULL.splitlines()} == {key.name for key in KEYS}


def test_examples_of_the_reference_are_valid() -> None:
    lines = "".join(f"{key.name} = {key.example}\n" for key in KEYS if key.name != "patches")
    assert parse(lines)[1] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('package = ["a"]', "package: is no key; allowed: packages (did you mean that?)"),
        ("zzz = 1", "zzz: is no key; allowed: packages, constraints, tools,"),
        ("packages = []\nskip = 'x'\npackages = []", "is no TOML: Cannot overwrite a value"),
        ('packages = "libxml2-dev"', "packages: is no list of texts; allowed: a list of names"),
        ('packages = ["../x"]', "packages: '../x' is no name of a Debian package"),
        ('packages = ["ab", "ab"]', "packages: has 'ab' twice"),
        ('packages = ["libx=1.0"]', "packages: 'libx=1.0' is no name of a Debian package"),
        ('constraints = ["numpy"]', "constraints: 'numpy' has no version"),
        ('constraints = ["a @ https://example.org/a.zip"]', "has an address or extras"),
        ('constraints = ["-r other.txt"]', "constraints: "),
        ("tools = { setuptools = 57 }", "tools: is no table of texts"),
        ('tools = { setuptools = "new" }', "tools: "),
        ('tools_date = "2021-08-01"', "tools_date: is no date; allowed: a TOML date without"),
        ("tools_date = 2021-08-01T00:00:00Z", "tools_date: is no date"),
        ("tools_date = 1999-01-01", "on which there was no index"),
        ("environment = { PATH = '/x' }", "environment: PATH is set by the build itself"),
        ("environment = { PIP_INDEX_URL = 'x' }", "PIP_INDEX_URL is set by the build itself"),
        ("environment = { https_proxy = 'x' }", "https_proxy is set by the build itself"),
        ("environment = { 'a b' = 'x' }", "environment: 'a b' is no name of a variable"),
        ("environment = { A = 1 }", "environment: is no table of texts"),
        ("patches = ['fix.patch']", "patches: is no list of tables; allowed: a list of tables"),
        ("patches = [{ file = 'fix.patch' }]", "patches: has the keys file"),
        ("patches = [{ file = '../fix.patch', sha256 = '' }]", "is no name of a file"),
        ("patches = [{ file = 'fix.patch', sha256 = 'AB' }]", "is not 64 hexadecimal digits"),
        (f"patches = [{{ file = 'fix.patch', sha256 = '{'0' * 64}' }}]", f"allowed: {DIGEST}"),
        (f"patches = [{{ file = 'no.patch', sha256 = '{DIGEST}' }}]", "no.patch: No such file"),
        ("memory_class = 'big'", "memory_class: is 'big'; allowed: small, medium, large, huge"),
        ("time_limit = 90", "time_limit: is '90'; allowed: a number with s, m, h or d"),
        ("time_limit = '8d'", "time_limit: is 8d, longer than 7 days"),
        ("versions = 'new'", "versions: "),
        ("targets = ['cp313; x']", "targets: 'cp313; x' is no pattern of target names"),
        ("skip = ''", "skip: is no text"),
        ('skip = "a\\nb"', "skip: is not one line of text"),
        ("contact = 5", "contact: is no text"),
        ("", "is empty; allowed: packages,"),
        ("= 1", "is no TOML"),
        (f"skip = '{'x' * 70000}'", "is too large; allowed: 64 KiB"),
    ],
)
def test_a_fault_is_one_line_with_file_key_and_what_is_allowed(line: str, fault: str) -> None:
    recipe, faults = parse(line)
    assert recipe is None
    assert len(faults) == 1, faults
    assert faults[0].startswith("lxml.toml: ")
    assert fault in faults[0]
    assert "\n" not in faults[0]


def test_every_fault_of_a_file_is_reported() -> None:
    recipe, faults = parse("package = 1\nskip = 1\ncontact = 1", "Lxml.toml")
    assert recipe is None
    assert [fault.split(": ")[1] for fault in faults] == [
        "the name of the file is not normalized; allowed",
        "package",
        "skip",
        "contact",
    ]


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_content_is_a_recipe_or_has_faults(content: bytes) -> None:
    recipe, faults = parse_recipe("x.toml", content, read_patch)
    assert (recipe is None) == bool(faults)


# --- folders ---


def write(folder: Path, **texts: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_folder_is_loaded_with_its_patches(tmp_path: Path) -> None:
    write(tmp_path / "recipes", lxml=FULL, numpy="skip = 'x'")
    (tmp_path / "recipes" / "fix.patch").write_text(PATCH)
    (tmp_path / "README.toml").write_text("not a recipe")
    loaded = load_folder(tmp_path)
    assert loaded.faults == ()
    assert loaded.recipes == {"lxml": RECIPE, "numpy": Recipe(project="numpy", skip="x")}


def test_a_broken_recipe_keeps_its_former_version(tmp_path: Path) -> None:
    write(tmp_path, good="skip = 'one'", other="skip = 'one'")
    former = load_folder(tmp_path).recipes
    write(tmp_path, good="skip = ", other="skip = 'two'", new="skp = 'x'")
    loaded = load_folder(tmp_path, former)
    assert {name: recipe.skip for name, recipe in loaded.recipes.items()} == {
        "good": "one",
        "other": "two",
    }
    assert sorted(fault.file for fault in loaded.faults) == ["good.toml", "new.toml"]


def test_a_removed_file_is_no_recipe_any_more(tmp_path: Path) -> None:
    write(tmp_path, good="skip = 'one'")
    former = load_folder(tmp_path).recipes
    (tmp_path / "good.toml").unlink()
    assert load_folder(tmp_path, former).recipes == {}


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_folder(tmp_path / "none")


def test_pipes_and_links_are_no_recipes(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "link.toml").symlink_to("/etc/passwd")
    (tmp_path / "dir.toml").mkdir()
    loaded = load_folder(tmp_path)
    assert loaded.recipes == {}
    assert [fault.file for fault in loaded.faults] == ["dir.toml", "link.toml", "pipe.toml"]


# --- export ---


def test_an_exported_recipe_is_read_as_the_same() -> None:
    assert parse(export_recipe(RECIPE)) == (RECIPE, [])


def test_a_learned_recipe_says_so_and_becomes_a_written_one() -> None:
    learned = Recipe(
        project="lxml", origin=RecipeOrigin.LEARNED, packages=("libxml2-dev",), tools=("a<1",)
    )
    text = export_recipe(learned)
    assert text.startswith("# Learned by the farm.\n")
    assert parse(text) == (replace(learned, origin=RecipeOrigin.WRITTEN), [])
