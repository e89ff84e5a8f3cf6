"""What is remembered of keys that were refused."""

from piwheels.protocol.refused_keys import MAX_OF_ADDRESS, MAX_REFUSED_KEYS, RefusedKeys


def test_one_address_does_not_hide_the_keys_of_others() -> None:
    refused = RefusedKeys()
    for number in range(10 * MAX_REFUSED_KEYS):
        refused.record("builder", f"{number:064x}", "192.0.2.1")
    refused.record("builder", "f" * 64, "192.0.2.2")
    assert len(refused.keys) == MAX_OF_ADDRESS + 1
    assert refused.keys[-1].address == "192.0.2.2"
    for number in range(10 * MAX_REFUSED_KEYS):
        refused.record("builder", f"{number:064x}", f"198.51.100.{number}")
    assert len(refused.keys) == MAX_REFUSED_KEYS


def test_one_host_does_not_hide_others_by_the_addresses_of_its_ipv6_network() -> None:
    refused = RefusedKeys()
    for number in range(MAX_REFUSED_KEYS):
        refused.record("builder", f"{number:064x}", f"2001:db8:0:1::{number + 1:x}")
    assert len(refused.keys) == MAX_OF_ADDRESS
    for number, other in enumerate(
        ("2001:db8:0:2::1", "::ffff:192.0.2.1", "192.0.2.2", "fe80::1%2")
    ):
        refused.record("builder", f"{number:x}".rjust(64, "f"), other)
    assert [it.address for it in refused.keys[MAX_OF_ADDRESS:]] == [
        "2001:db8:0:2::1", "::ffff:192.0.2.1", "192.0.2.2", "fe80::1%2",
    ]  # fmt: skip


def test_a_key_that_somebody_decided_about_is_forgotten() -> None:
    refused = RefusedKeys()
    refused.record("builder", "a" * 64)
    refused.forget("builder", "a" * 64)
    refused.forget("builder", "b" * 64)
    assert not refused.keys
