"""The line that opens a port in the firewall of this machine, if one is active (pure)."""

import re
from collections.abc import Sequence

_TABLE = re.compile(r"table (\w+) (\S+) \{")
_CHAIN = re.compile(r"chain (\S+) \{")
_FAMILIES = frozenset({"inet", "ip", "ip6"})


def ufw_line(status: str, ports: Sequence[int]) -> str:
    """The command for ufw; "" if it is not active. `status`: what `ufw status` prints."""
    if "Status: active" not in status.splitlines():
        return ""
    return f"ufw allow {','.join(map(str, ports))}/tcp"


def nft_lines(ruleset: str, ports: Sequence[int]) -> list[str]:
    """The commands for nftables: one for each chain that drops what comes in.

    Args:
        ruleset: what `nft list ruleset` prints.
        ports: TCP ports.
    """
    found, table, chain = [], ("", ""), ""
    for line in map(str.strip, ruleset.splitlines()):
        if match := _TABLE.match(line):
            table = (match[1], match[2])
        elif match := _CHAIN.match(line):
            chain = match[1]
        elif "hook input" in line and "policy drop" in line and table[0] in _FAMILIES:
            listed = ", ".join(map(str, ports))
            found.append(
                f"nft add rule {table[0]} {table[1]} {chain} tcp dport '{{ {listed} }}' accept"
            )
    return found
