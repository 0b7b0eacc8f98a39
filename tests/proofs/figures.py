"""What a proof says: its figures, and those that must be a certain value."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Figures:
    """`must` holds what every figure in it has to be; all others only inform."""

    name: str
    values: dict[str, Any] = field(default_factory=dict)
    must: dict[str, Any] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)

    def note(self, **values: Any) -> None:
        self.values.update(values)

    def require(self, **values: tuple[Any, Any]) -> None:
        """`lost=(found, wanted)`"""
        for name, (found, wanted) in values.items():
            self.values[name] = found
            self.must[name] = wanted

    def excuse(self, *names: str) -> None:
        """These only inform."""
        for name in names:
            self.must.pop(name, None)
            self.most.pop(name, None)

    def at_most(self, **values: tuple[float, float]) -> None:
        for name, (found, bound) in values.items():
            self.values[name] = found
            self.most[name] = bound

    @property
    def broken(self) -> dict[str, str]:
        """The figures that are not what they must be."""
        wrong = {
            name: f"{self.values[name]!r}, must be {wanted!r}"
            for name, wanted in self.must.items()
            if self.values[name] != wanted
        }
        wrong |= {
            name: f"{self.values[name]!r}, may be at most {bound!r}"
            for name, bound in self.most.items()
            if not self.values[name] <= bound
        }
        return wrong

    def line(self) -> str:
        return json.dumps({"proof": self.name, **self.values, "holds": not self.broken})

    def table(self) -> str:
        width = max(map(len, self.values), default=0)
        rows = [self.name] + [
            f"  {name:<{width}}  {_text(value)}{self._bound(name)}"
            for name, value in self.values.items()
        ]
        return "\n".join(rows)

    def _bound(self, name: str) -> str:
        if name in self.broken:
            return f"   <- {self.broken[name]}"
        if name in self.must:
            return "   (as it must be)"
        return f"   (at most {self.most[name]:g})" if name in self.most else ""

    def show(self) -> "Figures":
        """Print the table and the line; returns itself."""
        print(self.table())
        print(self.line(), flush=True)
        return self

    def check(self) -> None:
        assert not self.broken, f"{self.name}: {self.broken}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {count}" for key, count in value.items()) or "none"
    return str(value)
