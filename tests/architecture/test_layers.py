"""Imports point down: gateway > forecasts | invoicing > alerts | repricing > usage >
billing | oauth | sign_in > accounts | providers > configuration > audit > lib."""

from tests.architecture.source import Module, modules

RANK = {
    "audit": 0,
    "configuration": 1,
    "accounts": 2,
    "providers": 2,
    "oauth": 3,
    "sign_in": 3,
    "billing": 3,
    "usage": 4,
    "alerts": 5,
    "repricing": 5,
    "forecasts": 6,
    "invoicing": 6,
    "gateway": 7,
}
FOR_EVERY_APP = ("chatvault.lib", "chatvault.settings")
FOR_THE_GATEWAY = ("chatvault.supervisor", "chatvault.checks")
LEAVES = ("chatvault.lib", "chatvault.settings", "chatvault.home", "chatvault.refusal")


def _app_of(name: str) -> str | None:
    parts = name.split(".")
    return parts[1] if parts[0] == "apps" and len(parts) > 1 else None


def _belongs(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def test_apps_import_only_apps_below_them() -> None:
    wrong = [
        f"{module.where} imports {imported}"
        for module in modules("apps")
        for imported in module.imports()
        if (own := _app_of(module.name)) and (other := _app_of(imported))
        if own != other and RANK[other] >= RANK[own]
    ]
    assert wrong == []


def test_apps_know_of_the_project_only_the_library_and_the_settings() -> None:
    def allowed(module: Module) -> tuple[str, ...]:
        is_top = _app_of(module.name) == "gateway"
        return (*FOR_EVERY_APP, *FOR_THE_GATEWAY, "chatvault") if is_top else FOR_EVERY_APP

    wrong = [
        f"{module.where} imports {imported}"
        for module in modules("apps")
        for imported in module.imports()
        if imported.startswith("chatvault.") and not _belongs(imported, allowed(module))
    ]
    assert wrong == []


def test_the_library_and_the_settings_import_no_app() -> None:
    wrong = [
        f"{module.where} imports {imported}"
        for module in modules("chatvault")
        if _belongs(module.name, LEAVES)
        for imported in module.imports()
        if _app_of(imported)
        or (imported.startswith("chatvault.") and not _belongs(imported, LEAVES))
    ]
    assert wrong == []


def test_apps_do_not_talk_by_signals() -> None:
    wrong = [
        f"{module.where} imports {imported}"
        for module in modules("apps")
        for imported in module.imports()
        if imported.startswith(("django.dispatch", "django.db.models.signals"))
    ]
    assert wrong == []


def test_every_app_has_a_place_in_the_order() -> None:
    assert {_app_of(module.name) for module in modules("apps")} - {None} == set(RANK)
