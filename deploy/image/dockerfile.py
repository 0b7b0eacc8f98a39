"""Reads a Dockerfile into stages of instructions, as far as this project's own goes."""

import json
import re
import shlex
from dataclasses import dataclass, field

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_KNOWN = frozenset(
    {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"}
    | {"RUN", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its word, its flags (`--from=build`), and the rest as it was written."""

    word: str
    flags: dict[str, str]
    text: str

    @property
    def words(self) -> list[str]:
        """The rest as a list: JSON when it is written so, else split as a shell would."""
        if self.text.startswith("["):
            found: list[str] = json.loads(self.text)
            return found
        return shlex.split(self.text)


@dataclass(slots=True)
class Stage:
    """What stands between two FROM lines."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [one for one in self.instructions if one.word == word]

    def last(self, word: str) -> Instruction:
        """Raises LookupError when the stage has none."""
        found = self.all(word)
        if not found:
            raise LookupError(f"the Dockerfile has no {word}")
        return found[-1]


def parse(text: str) -> list[Stage]:
    """The stages in order. Raises ValueError for what is not understood."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for instruction in _instructions(text):
        if instruction.word == "ARG" and not stages:
            name, _, value = instruction.text.partition("=")
            arguments[name] = value
        elif instruction.word == "FROM":
            parts = expand(instruction.text, arguments).split()
            stages.append(Stage(parts[0], parts[2] if len(parts) == 3 else ""))
        elif stages:
            stages[-1].instructions.append(instruction)
        else:
            raise ValueError(f"{instruction.word} before the first FROM")
    return stages


def expand(text: str, values: dict[str, str]) -> str:
    """`$NAME` and `${NAME}`; unknown names become empty, as Docker has it."""
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], ""), text)


def assignments(instruction: Instruction) -> dict[str, str]:
    """The pairs of an ENV or LABEL instruction."""
    pairs = (word.partition("=") for word in shlex.split(instruction.text))
    return {name: value for name, _, value in pairs}


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [_instruction(line.strip()) for line in joined.splitlines() if line.strip()]


def _instruction(line: str) -> Instruction:
    word, _, rest = line.partition(" ")
    if word not in _KNOWN:
        raise ValueError(f"{word} is not understood")
    flags: dict[str, str] = {}
    rest = rest.strip()
    while match := re.match(r"--([\w-]+)=(\S+)\s+", rest):
        flags[match[1]] = match[2]
        rest = rest[match.end() :]
    return Instruction(word, flags, re.sub(r"\s+", " ", rest) if word != "RUN" else rest)
