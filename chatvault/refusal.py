"""How the command line says no: one sentence that tells how to mend it, and a status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from chatvault.settings.section import Section, SettingUnreadable, variables_of


class Refusal(Exception):
    """ChatVault cannot start; the text says why and how to mend it."""


@contextmanager
def told_in_a_sentence() -> Iterator[None]:
    """Turns refusals and wrong settings into a line on standard error and exit status 2."""
    try:
        yield
    except (Refusal, SettingUnreadable) as refusal:
        _exit(str(refusal))
    except ValidationError as error:
        _exit(*_wrong_settings(error))


def _exit(*sentences: str) -> None:
    for sentence in sentences:
        sys.stderr.write(f"chatvault: {sentence}\n")
    sys.exit(2)


def _wrong_settings(error: ValidationError) -> list[str]:
    """Names variables, never values: a value may be a secret in the wrong place."""
    sections = {section.__name__: section for section in Section.__subclasses__()}
    section = sections.get(error.title)
    sentences = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = str(problem["loc"][0]) if problem["loc"] else error.title
        if section is not None and name in section.model_fields:
            name = " or ".join(variables_of(section, name))
        sentences.append(f"The setting {name} is wrong: {problem['msg']}.")
    return sentences
