"""What a bucket says about settings and keys that are wrong: one clear line, and no secret."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from piwheels.bucket.site_objects import headers_of, read_local
from piwheels.bucket.store import open_store
from piwheels.config import PublishSection
from piwheels.errors import ConfigError
from piwheels.object_storage.errors import BucketError
from tests.bucket.seaweed import KEY, READ_KEY, READ_SECRET, SECRET, Seaweed
from tests.ports import free_port


def credentials(folder: Path, key: str = KEY, secret: str = SECRET) -> Path:
    file = folder / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n", "utf-8"
    )
    return file


async def problem_of(settings: PublishSection, folder: Path) -> str:
    """What writing an object says."""
    (folder / "index.html").write_bytes(b"page")
    local = read_local(folder, "index.html", 100)
    assert local is not None
    with pytest.raises(BucketError) as raised:
        await open_store(settings).put("index.html", local, None)
    text = str(raised.value)
    assert "\n" not in text
    assert settings.credentials_file is not None
    assert not any(word in text for word in (KEY, SECRET, READ_SECRET))
    return text


async def test_an_unreachable_storage_is_named(tmp_path: Path) -> None:
    settings = PublishSection(
        target="s3://farm",
        endpoint=f"http://127.0.0.1:{free_port()}",
        region="us-east-1",
        credentials_file=credentials(tmp_path),
    )
    assert await problem_of(settings, tmp_path) == "the object storage cannot be reached"


async def test_a_wrong_key_is_named_without_the_secret(storage: Seaweed, tmp_path: Path) -> None:
    for key, secret in ((KEY, "wrong"), (READ_KEY, READ_SECRET)):
        file = credentials(tmp_path, key, secret)
        settings = replace(storage.settings(), credentials_file=file)
        problem = await problem_of(settings, tmp_path)
        assert problem.startswith("the bucket refuses the key of publish.credentials_file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("", "lacks a section"),
        ("[default]\naws_access_key_id = A\n", "lacks a section"),
        ("no file of this kind", "lacks a section"),
    ],
)
def test_a_wrong_file_of_credentials_is_named(
    tmp_path: Path, content: str | None, message: str
) -> None:
    file = tmp_path / "credentials"
    if content is not None:
        file.write_text(content, "utf-8")
    settings = PublishSection(target="s3://farm", credentials_file=file)
    with pytest.raises(ConfigError, match=message) as raised:
        open_store(settings)
    assert "aws_access_key_id = A" not in str(raised.value)


def test_a_target_that_is_no_bucket_is_refused() -> None:
    with pytest.raises(ConfigError, match="not s3://BUCKET"):
        open_store(PublishSection(target="file:///srv/farm"))


@pytest.mark.parametrize(
    ("key", "compressed", "kind", "encoding"),
    [
        ("simple/index.v1_json", True, "application/vnd.pypi.simple.v1+json", "gzip"),
        ("project/demo/json", True, "application/json", "gzip"),
        ("logs/0000/0001/1.txt", True, "text/plain; charset=utf-8", "gzip"),
        ("packages/ab/abc/demo.whl", False, "application/octet-stream", ""),
        ("packages/ab/abc/demo.whl.provenance.json", False, "application/json", ""),
    ],
)
def test_headers_follow_from_the_key(key: str, compressed: bool, kind: str, encoding: str) -> None:
    headers = headers_of(key, compressed=compressed)
    assert (headers.content_type, headers.content_encoding) == (kind, encoding)
