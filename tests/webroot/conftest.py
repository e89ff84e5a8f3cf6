"""An empty tree."""

from pathlib import Path

import pytest

from piwheels.webroot import Webroot


@pytest.fixture
def tree(tmp_path: Path) -> Webroot:
    root = tmp_path / "www"
    root.mkdir()
    return Webroot(root)
