"""pip's settings on this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piwheels.index_client import pip_config


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path of this process's pip configuration."""
    file = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    pip_config._pip_settings.cache_clear()
    yield file
    pip_config._pip_settings.cache_clear()


def test_the_index_is_that_of_pips_configuration(pip: Path) -> None:
    pip.write_text(
        "[global]\nindex-url = https://u:p%40ss@index.example/simple\n"
        "extra-index-url = https://extra.example/\n"
    )
    assert pip_config.pip_index_url() == "https://u:p%40ss@index.example/simple"


def test_the_environment_overrides_the_configuration(
    pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip.write_text("[global]\nindex-url = https://index.example/simple\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example/simple")
    assert pip_config.pip_index_url() == "https://env.example/simple"


def test_the_default_is_the_public_index(pip: Path) -> None:
    pip.write_text("[global]\nextra-index-url = https://extra.example/\n")
    assert pip_config.pip_index_url() == pip_config.PYPI
