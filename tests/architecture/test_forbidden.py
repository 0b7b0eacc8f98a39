"""What must not be in the product: code from data, SQL from input, secrets in sight, machines."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.source import ALL, PRODUCT, ROOT, Module, modules

EXECUTES = {"eval", "exec", "compile", "__import__"}
MODULES = {"pickle", "cPickle", "marshal", "shelve", "subprocess", "jinja2", "commands"}
RAW_SQL = {"raw", "extra", "RawSQL", "executescript"}
STATEMENT = re.compile(
    r"^\s*(SELECT\s.+\sFROM|INSERT\s+(OR\s+\w+\s+)?INTO|UPDATE\s.+\sSET|DELETE\s+FROM|DROP|ALTER"
    r"|TRUNCATE)\b",
    re.DOTALL,
)
GUARDED = "chatvault.lib.guarded_fetch"  # asks the guard itself
EXPORTERS = "opentelemetry.exporter"  # each connects by itself, past the guard
CONNECTS = {"requests", "httpx", "httpx2", "aiohttp", "urllib3", "http.client", "urllib.request"}
MACHINE = re.compile(r"/(?:work|tmp|root|home/\w+)/|\b(?:10|192\.168)\.\d+\.\d+\.\d+\b(?!/)")
TEXTS = ("*.py", "*.md", "*.toml", "*.yml", "*.yaml", "*.txt", "*.in", "*.sh", "Makefile")


def _calls(module: Module) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Name):
                yield node.lineno, function.id, node
            elif isinstance(function, ast.Attribute):
                yield node.lineno, f".{function.attr}", node


def test_nothing_that_was_sent_or_stored_is_executed() -> None:
    wrong = [
        f"{module.where}:{line} calls {name}"
        for module in modules(*PRODUCT)
        for line, name, _ in _calls(module)
        if name in EXECUTES
    ]
    assert wrong == []


def test_modules_that_execute_data_are_not_imported() -> None:
    wrong = [
        f"{module.where} imports {imported}"
        for module in modules(*PRODUCT)
        for imported in module.imports()
        if imported.partition(".")[0] in MODULES
    ]
    assert wrong == []


def test_raw_sql_through_the_orm_is_not_used() -> None:
    wrong = [
        f"{module.where}:{line} {name}"
        for module in modules(*PRODUCT)
        for line, name, _ in _calls(module)
        if name.lstrip(".") in RAW_SQL
    ]
    assert wrong == []


def test_sql_is_never_put_together() -> None:
    """Statements are constants: nothing is pasted, formatted or joined into them."""
    wrong = [
        f"{module.where}:{node.lineno}"
        for module in modules(*PRODUCT)
        for node in ast.walk(module.tree)
        if (text := _pasted_text(node)) and STATEMENT.search(text)
    ]
    assert wrong == []


def _pasted_text(node: ast.AST) -> str:
    """The constant part of an expression that puts text together, else nothing."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        return " ".join(str(part) for part in parts) if len(parts) < len(node.values) else ""
    if isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant):
        return str(node.left.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        is_format = node.func.attr in ("format", "format_map")
        if is_format and isinstance(node.func.value, ast.Constant):
            return str(node.func.value.value)
    return ""


EXPANDED_FROM = re.compile(
    r"\b(request\.(GET|POST|data|query_params|META|headers)|(body|payload))\b"
)


def test_what_was_sent_is_never_spread_into_a_query() -> None:
    """`filter(**request.GET)` lets a caller name columns, lookups and connectors
    (CVE-2025-64459). Whoever needs names from outside takes them through a table of its own."""
    queries = {"filter", "exclude", "get", "annotate", "alias", "update", "create", "Q", "values"}
    wrong = [
        f"{module.where}:{line} {name}(**{ast.unparse(spread.value)})"
        for module in modules(*PRODUCT)
        for line, name, call in _calls(module)
        if name.lstrip(".") in queries
        for spread in call.keywords
        if spread.arg is None and EXPANDED_FROM.search(ast.unparse(spread.value))
    ]
    assert wrong == []


def test_statements_are_executed_as_they_are_written() -> None:
    """What `execute` is given is a name or a constant, never text with values pasted in."""
    wrong = [
        f"{module.where}:{line}"
        for module in modules(*PRODUCT)
        for line, name, call in _calls(module)
        if name in (".execute", ".executemany") and call.args
        if isinstance(call.args[0], ast.JoinedStr) or _is_pasted(call.args[0])
    ]
    assert wrong == []


def _is_pasted(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join")
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod | ast.Add)


def test_no_token_is_read_without_its_signature() -> None:
    """`verify_signature: False`, `verify=False`, `algorithms` with `none` (CVE-2026-59822)."""
    wrong = []
    for module in modules(*PRODUCT):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                off = [key for key, value in pairs if _says(key, "verify_") and _is_false(value)]
            elif isinstance(node, ast.Call):
                off = [k for k in node.keywords if (k.arg or "").startswith("verify")]
                off = [k for k in off if _is_false(k.value)]
            else:
                continue
            wrong += [f"{module.where}:{node.lineno}" for _ in off]
    assert wrong == []


def _says(node: ast.expr | None, start: str) -> bool:
    return isinstance(node, ast.Constant) and str(node.value).startswith(start)


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("rows.filter(**request.GET)", True),
        ("rows.filter(**dict(request.data))", True),
        ("Q(**request.query_params.dict())", True),
        ("rows.filter(**{column: value})", False),
    ],
)
def test_the_gate_of_spread_names_sees_them(text: str, wanted: bool) -> None:
    [call] = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)][:1]
    spread = [k for k in call.keywords if k.arg is None]
    assert bool(EXPANDED_FROM.search(ast.unparse(spread[0].value))) is wanted


def test_one_way_out() -> None:
    """Only providers/upstream opens connections: the guard cannot be passed by."""
    wrong = [
        f"{module.where} imports {imported}"
        for module in modules(*PRODUCT)
        if not module.name.startswith(
            ("apps.providers.upstream", "apps.providers.adapters.litellm", GUARDED)
        )
        for imported in module.imports()
        if imported in CONNECTS
        or imported.partition(".")[0] in CONNECTS
        or imported.startswith(EXPORTERS)
    ]
    assert wrong == []


def test_verification_is_never_switched_off() -> None:
    words = ("CERT_NONE", "_create_unverified_context", "check_hostname = False")
    wrong = [f"{m.where}: {word}" for m in modules(*PRODUCT) for word in words if word in m.text]
    assert wrong == []


@pytest.mark.parametrize("mark", ["TODO", "FIXME", "XXX", "NotImplementedError"])
def test_nothing_is_left_for_later(mark: str) -> None:
    own = "tests/architecture/test_forbidden.py"
    assert [m.where for m in modules(*ALL) if mark in m.text and m.where != own] == []


def test_no_path_of_some_machine() -> None:
    files = {
        path
        for pattern in TEXTS
        for folder in (*PRODUCT, "docs", "scripts", "deploy")
        for path in (ROOT / folder).rglob(pattern)
    }
    files |= {path for pattern in TEXTS for path in ROOT.glob(pattern)}
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted(files)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if MACHINE.search(line)
    ]
    assert wrong == []
