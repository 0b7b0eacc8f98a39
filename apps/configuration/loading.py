"""YAML text to plain data: the safe types only, no anchors, no duplicate keys, no surprises."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

from apps.configuration.problems import DocumentRefused, Problem

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 32


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser where it is built in


class _Loader(_Fast):
    """The safe loader, refusing fields that are there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                what = "is here twice" if isinstance(key, Hashable) else "cannot be a name"
                raise yaml.MarkedYAMLError(
                    problem=f"The field {key_node.value!r} {what}",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def load(text: str) -> Any:
    """The data of a YAML (or JSON) text. Raises DocumentRefused with the line that is wrong."""
    if len(text) > MAX_BYTES:
        raise _refused("document", "It is larger than 4 MiB.", "Split it into several.")
    loader = None
    try:
        _check_shape(text)
        loader = _Loader(text)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "document"
        reason = (error.problem or "This is not YAML").rstrip(".")
        raise _refused(where, f"{reason}.", "Mend the YAML here.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise _refused("document", "It is not YAML.", "Save it as UTF-8 text.") from None
    finally:
        if loader is not None:
            loader.dispose()


def _check_shape(text: str) -> None:
    """Aliases can blow a small text up, and nesting can exhaust whoever walks it: neither gets as
    far as becoming data."""
    depth = 0
    for event in yaml.parse(text, Loader=_Fast):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise _at(event, "Anchors and aliases are not supported")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _at(event, "This is nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _at(event: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


def _refused(path: str, reason: str, hint: str) -> DocumentRefused:
    return DocumentRefused([Problem(path, reason, hint)])
