import pytest

from apps.providers.adapters.contract import Adapter
from apps.providers.adapters.openai.options import VENDORS, read_options, vendor_of
from apps.providers.adapters.registry import (
    FAMILIES,
    UnknownFamily,
    find_option_error,
    get_adapter,
)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_an_adapter_of_its_name_and_a_line_for_the_admin(family):
    adapter = get_adapter(family)
    assert isinstance(adapter, Adapter)
    assert adapter.family == family
    assert "chat" in adapter.operations
    assert FAMILIES[family].strip()


@pytest.mark.parametrize("family", ["", "OpenAI", "bedrock", "openai.request", "../openai"])
def test_an_unknown_family_is_never_passed_through(family):
    with pytest.raises(UnknownFamily, match="there are: openai"):
        get_adapter(family)
    with pytest.raises(UnknownFamily):
        find_option_error(family, {})


@pytest.mark.parametrize("family", ["openai", "anthropic", "gemini", "demo"])
def test_options_are_checked_by_name(family):
    assert find_option_error(family, {}) is None
    assert "no_such" in (find_option_error(family, {"no_such": 1}) or "")


@pytest.mark.parametrize("name", VENDORS)
def test_every_vendor_is_found_by_its_name_and_its_base_url(name):
    vendor = VENDORS[name]
    assert vendor_of(read_options({"vendor": name}), "https://elsewhere.test") is vendor
    if vendor.hosts and vendor.base_url:
        assert vendor_of(read_options({}), vendor.base_url) is vendor
    for host in vendor.hosts:
        made = f"https://x{host}" if host.startswith(".") else f"https://{host}"
        assert vendor_of(read_options({}), made) is vendor
        assert vendor_of(read_options({}), made + ".evil.test") is not vendor
