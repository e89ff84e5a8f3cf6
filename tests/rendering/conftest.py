"""The harness of the website's tests."""

from tests.website.conftest import site

__all__ = ["site"]
