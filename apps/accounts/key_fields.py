"""What may be written into a key's lists: scopes, networks, labels. Raises FieldWrong."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from apps.accounts.errors import FieldWrong
from apps.accounts.roles import MACHINE_SCOPES

MOST_NETWORKS: Final = 64
MOST_LABELS: Final = 32
MAX_LABEL_VALUE: Final = 200
LABEL_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?"


def read_scopes(given: Iterable[Any]) -> list[str]:
    """Sorted, each once; at least one."""
    names = sorted({str(each) for each in given})
    unknown = [name for name in names if name not in MACHINE_SCOPES]
    if unknown:
        raise FieldWrong(
            f"There is no scope {unknown[0][:64]!r}.",
            f"Choose from {', '.join(sorted(MACHINE_SCOPES))}.",
            field="scopes",
        )
    if not names:
        raise FieldWrong(
            "A key without a scope could do nothing.", "Choose one, such as inference.", "scopes"
        )
    return names


def read_networks(given: Iterable[Any]) -> list[str]:
    """In CIDR form, sorted, each once. A single address is a network of one."""
    found = {_network(str(each).strip()) for each in given}
    if len(found) > MOST_NETWORKS:
        raise FieldWrong(
            f"These are more than {MOST_NETWORKS} networks.", "Give larger ones.", "networks"
        )
    return sorted(found)


def read_labels(given: Any) -> dict[str, str]:
    """Names and values as text, sorted by name."""
    if not isinstance(given, Mapping):
        raise FieldWrong("Labels are names with values.", 'Write {"name": "value"}.', "labels")
    if len(given) > MOST_LABELS:
        raise FieldWrong(f"These are more than {MOST_LABELS} labels.", "Leave some out.", "labels")
    return {name: _value(name, given[name]) for name in sorted(given, key=_label_name)}


def is_label_name(name: str) -> bool:
    return re.fullmatch(LABEL_NAME, name) is not None


def is_within(networks: Iterable[str], allowed: Iterable[str]) -> bool:
    """Whether each network lies in one that is allowed; an empty list is everywhere."""
    inner = [ipaddress.ip_network(each) for each in networks]
    outer = [ipaddress.ip_network(each) for each in allowed]
    if not outer:
        return True
    return bool(inner) and all(any(_lies_in(one, other) for other in outer) for one in inner)


def _lies_in(one: Any, other: Any) -> bool:
    return one.version == other.version and one.subnet_of(other)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        hint = "Write an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32."
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise FieldWrong(f"{text[:60]!r} is no network.", hint, "networks") from None
        raise FieldWrong(
            f"{text} has bits set behind its length.", f"Write {meant}.", "networks"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped:
        raise FieldWrong(f"{text} is an IPv4 network within IPv6.", "Write it as IPv4.", "networks")
    return str(network)


def _label_name(name: Any) -> str:
    if not isinstance(name, str) or not is_label_name(name):
        raise FieldWrong(
            f"{str(name)[:63]!r} is no name of a label.",
            "Use 1 to 63 letters, digits and . _ / - with a letter or digit at both ends.",
            "labels",
        )
    return name


def _value(name: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > MAX_LABEL_VALUE or not value.isprintable():
        raise FieldWrong(
            f"The value of the label {name} is not one line of at most {MAX_LABEL_VALUE} "
            "characters.",
            "Write short text; numbers in quotes.",
            "labels",
        )
    return value
