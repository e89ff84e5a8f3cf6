"""What people read of a wheel's metadata: values of any kind, hostile ones included."""

import pytest

from piwheels.model import ProjectMetadata
from piwheels.wheel.project_metadata import project_metadata


def metadata(*lines: str, body: str = "") -> ProjectMetadata:
    head = "\n".join(("Metadata-Version: 2.4", "Name: Demo.Thing", *lines))
    return project_metadata(f"{head}\n\n{body}".encode())


def test_the_fields_of_a_release() -> None:
    found = metadata(
        "Summary: Makes  wheels: größer",
        "Home-page: https://demo.example.org/",
        "Project-URL: Source, https://git.example.org/demo?a=1&b=2",
        "Project-URL: Documentation, http://docs.example.org",
        "License-Expression: MIT OR Apache-2.0",
        body="Summary: this is the description",
    )
    assert found == ProjectMetadata(
        name="Demo.Thing",
        summary="Makes wheels: größer",
        license="MIT OR Apache-2.0",
        link_labels=("Homepage", "Source", "Documentation"),
        link_urls=(
            "https://demo.example.org/",
            "https://git.example.org/demo?a=1&b=2",
            "http://docs.example.org",
        ),
    )


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<script>",
        "ftp://example.org/",
        "//example.org/",
        "https://",
        "https://[::1",
        'https://example.org/"onmouseover=x',
        "https://example.org/<script>",
        "https://example.org/ javascript:x",
        "https://ex\u202eample.org/",
        f"https://example.org/{'x' * 600}",
        "UNKNOWN",
        "",
    ],
)
def test_a_link_that_is_no_web_page_is_left_out(url: str) -> None:
    assert metadata(f"Home-page: {url}", f"Project-URL: Home, {url}").links == ()


def test_texts_are_single_lines_without_control_characters() -> None:
    found = metadata(
        "Summary: one\n        two\x1b[31m\u202e" + "y" * 900, "Project-URL: , http://a.b"
    )
    assert found.summary.startswith("one two [31m y")
    assert len(found.summary) == 300
    assert found.links == (("Link", "http://a.b"),)


@pytest.mark.parametrize(
    ("lines", "license_name"),
    [
        (("License: MIT",), "MIT"),
        (("License: UNKNOWN",), ""),
        ((f"License: {'the whole text ' * 20}", "Classifier: License :: OSI Approved :: BSD License"), "BSD License"),
        (("Classifier: License :: OSI Approved :: MIT License",), "MIT License"),
        (("Classifier: Topic :: Games",), ""),
    ],
)  # fmt: skip
def test_a_license_is_named_in_a_few_words(lines: tuple[str, ...], license_name: str) -> None:
    assert metadata(*lines).license == license_name


def test_links_are_few_and_different() -> None:
    many = [
        f"Project-URL: L{number % 30}, https://example.org/{number % 30}" for number in range(90)
    ]
    assert len(set(metadata(*many).link_urls)) == len(metadata(*many).links) == 10


def test_bytes_that_are_no_metadata_give_nothing() -> None:
    assert project_metadata(b"\xff\xfe\0\n\n") == ProjectMetadata()
    assert project_metadata(b"Name: -not a name-\n") == ProjectMetadata()
