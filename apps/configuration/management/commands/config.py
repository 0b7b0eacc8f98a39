from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import yaml
from django.core.management.base import BaseCommand, CommandError

from apps.configuration import documents, loading
from apps.configuration.database import Unprepared, require_prepared
from apps.configuration.models import Revision
from apps.configuration.problems import DocumentRefused, Problem


class Command(BaseCommand):
    help = "Apply, check or export the configuration as a document."
    requires_system_checks = ()  # after the question whether there is a database

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        for verb, text in (
            ("apply", "make the configuration what the document says"),
            ("check", "say what applying would do and what is wrong, and change nothing"),
        ):
            command = verbs.add_parser(verb, help=text)
            command.add_argument("file", help="a YAML file, or - for standard input")
            command.add_argument(
                "--prune",
                action="store_true",
                help="the document is the whole truth: what it does not name is removed",
            )
        verbs.add_parser("export", help="write the present configuration; it holds no secrets")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            require_prepared()
        except Unprepared as unprepared:
            raise CommandError(str(unprepared)) from None
        if not options.get("skip_checks"):
            self.check()
        if options["verb"] == "export":
            self.stdout.write(to_yaml(documents.export()), ending="")
            return
        text = _read(options["file"])
        if options["verb"] == "check":
            self._check(text, prune=options["prune"])
            return
        try:
            applied = documents.apply(
                text, source=Revision.Source.DOCUMENT, actor=None, prune=options["prune"]
            )
        except DocumentRefused as refused:
            self._refuse(refused.problems)
        else:
            self._tell(applied)

    def _check(self, text: str, *, prune: bool) -> None:
        planned, problems = documents.plan(text, prune=prune)
        if problems:
            self._refuse(problems)
        self._tell_lists(planned)
        if planned.notes:
            count = _counted(len(planned.notes), "note")
            self.stdout.write(f"It can be applied, with {count}; nothing was changed.")
        else:
            self.stdout.write("Nothing is wrong; nothing was changed.")

    def _tell(self, applied: documents.Applied) -> None:
        self._tell_lists(applied)
        for made in applied.issued_keys:
            self.stdout.write(f"key {made.client} / {made.name}: {made.secret.reveal()}")
        if applied.issued_keys:
            self.stdout.write("These keys are shown once: keep them now.")
        self.stdout.write(
            f"{len(applied.created)} created, {len(applied.changed)} changed, "
            f"{len(applied.removed)} removed, {applied.unchanged} unchanged; "
            f"revision {applied.revision}."
        )

    def _tell_lists(self, applied: documents.Applied) -> None:
        for sign, labels in (
            ("+", applied.created),
            ("~", applied.changed),
            ("-", applied.removed),
        ):
            for label in labels:
                self.stdout.write(f"{sign} {label}")
        for note in applied.notes:
            self.stdout.write(f"note: {note}")

    def _refuse(self, problems: list[Problem]) -> None:
        for problem in problems:
            self.stderr.write(str(problem))
        count = _counted(len(problems), "problem")
        raise CommandError(f"The document has {count}; nothing was changed.")


def to_yaml(document: dict[str, Any]) -> str:
    """A document as people write it; text that reads like another type is quoted."""
    text: str = yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000
    )
    return text


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _read(name: str) -> str:
    try:
        if name == "-":
            return sys.stdin.read(loading.MAX_BYTES + 1)
        with Path(name).open(encoding="utf-8") as file:
            return file.read(loading.MAX_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CommandError(f"{name} cannot be read: {reason}.") from None
