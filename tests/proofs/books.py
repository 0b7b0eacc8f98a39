"""Three witnesses compared: what clients got, what the provider did, what the ledger says."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.fakes.upstream import Seen
from tests.fakes.upstream.answers import prompt_tokens
from tests.proofs.figures import Figures
from tests.proofs.stage import Stage
from tests.proofs.swarm import Sent
from tests.proofs.world import nonce_of

_ROWS = (
    "SELECT request_id, outcome, input_tokens, output_tokens, charged_nano, attempts, "
    "upper_bound_nano, client_name FROM usage_requestlog"
)
_CHARGES = (
    "SELECT request_id, COUNT(*), -SUM(amount_nano) FROM billing_ledgerentry "
    "WHERE account = 'client' GROUP BY request_id"
)


@dataclass(frozen=True, slots=True)
class Row:
    outcome: str
    input_tokens: int
    output_tokens: int
    charged_nano: int
    attempts: int
    upper_bound_nano: int | None
    client: str


class Wrong(NamedTuple):
    """Acknowledged requests without a row, and those whose row says something else."""

    lost: list[Sent]
    misstated: list[tuple[Sent, Row]]


def compare(
    stage: Stage, log: Sequence[Sent], figures: Figures, among: Iterable[str] | None = None
) -> Wrong:
    """Adds what is lost, double, misstated or falsely presented as finished. `among`: only rows
    of these clients count, on a stage that others had before."""
    rows = {str(row[0]): Row(*row[1:]) for row in stage.query(_ROWS + _of_clients(among))}
    charges = {str(row[0]): row[1:] for row in stage.query(_CHARGES)}
    seen = _by_nonce(stage.provider.seen())
    acknowledged = [sent for sent in log if sent.answer.is_acknowledged]
    lost, misstated = [], []
    dup = 0
    for sent in acknowledged:
        row = rows.get(sent.answer.request_id)
        entries, nano = charges.get(sent.answer.request_id, (0, 0))
        if row is None or not entries:
            lost.append(sent)
            continue
        dup += entries > 1
        said = seen[sent.nonce][-1]
        expected = (prompt_tokens(said.json), said.tokens)
        is_right = (row.input_tokens, row.output_tokens) == expected and row.outcome == "ok"
        if not is_right or nano != row.charged_nano:
            misstated.append((sent, row))
    ids = Counter(sent.answer.request_id for sent in acknowledged)
    outcomes = Counter(row.outcome for row in rows.values())
    figures.note(
        requests=len(log), acked=len(acknowledged), rows=len(rows), outcomes=dict(outcomes)
    )
    figures.require(
        lost=(len(lost), 0),
        dup=(dup + sum(count - 1 for count in ids.values()), 0),
        misstated=(len(misstated), 0),
        forgotten=(_forgotten(log, seen, rows), 0),
        false_success=(sum(_is_false_success(sent, seen) for sent in log), 0),
        unbounded=(sum(_is_unbounded(row) for row in rows.values()), 0),
    )
    return Wrong(lost, misstated)


def _of_clients(names: Iterable[str] | None) -> str:
    if names is None:
        return ""
    listed = ", ".join(f"'{name}'" for name in names)
    return f" WHERE client_name IN ({listed})"


def _by_nonce(entries: Sequence[Seen]) -> dict[str, list[Seen]]:
    """Probes of deployments ask for the list of models: they have no body."""
    found: dict[str, list[Seen]] = {}
    for entry in entries:
        if not entry.body:
            continue
        found.setdefault(nonce_of(entry.json), []).append(entry)
    return found


def _forgotten(log: Sequence[Sent], seen: dict[str, list[Seen]], rows: dict[str, Row]) -> int:
    """Calls that the provider got and no row accounts for. A client that was cut off before the
    head came knows no id, so the rest is compared by number."""
    known = {sent.nonce: sent.answer.request_id for sent in log if sent.answer.request_id}
    missing = [nonce for nonce in seen if nonce in known and known[nonce] not in rows]
    named = set(known.values())
    calls = sum(len(entries) for nonce, entries in seen.items() if nonce not in known)
    attempts = sum(row.attempts for request_id, row in rows.items() if request_id not in named)
    return len(missing) + max(0, calls - attempts)


def _is_false_success(sent: Sent, seen: dict[str, list[Seen]]) -> bool:
    """An answer that looks complete and is not what the provider said."""
    if not sent.answer.looks_finished:
        return False
    said = seen.get(sent.nonce)
    return not said or len(sent.answer.text.split()) != said[-1].tokens


def _is_unbounded(row: Row) -> bool:
    """An interrupted request says at least and at most what it can have cost."""
    if row.outcome != "interrupted":
        return False
    return row.upper_bound_nano is None or row.upper_bound_nano < row.charged_nano
