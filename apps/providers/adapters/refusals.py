"""What a caller hears when a provider answers with an error of its own.

The provider's text is passed on only where the caller's request is at fault (400, 404, 413, 422),
shortened and without anything that looks like a secret. Everything else is a sentence of ours:
a provider's 401 or 500 speaks of ChatVault's credential or the provider's insides.
"""

from __future__ import annotations

import re

import msgspec

from chatvault.lib.errors import UpstreamError, UpstreamRefused

MAX_MESSAGE = 500
_CALLERS_FAULT = frozenset({400, 404, 413, 422})

# Codes that OpenAI and the vendors that speak its format document; clients branch on them.
KNOWN_CODES = frozenset(
    {
        "context_length_exceeded",
        "model_not_found",
        "invalid_value",
        "invalid_type",
        "unsupported_value",
        "unsupported_parameter",
        "unknown_parameter",
        "missing_required_parameter",
        "invalid_request_error",
        "content_filter",
        "content_policy_violation",
        "string_above_max_length",
        "string_below_min_length",
        "array_above_max_length",
        "array_below_min_length",
        "integer_above_max_value",
        "integer_below_min_value",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "invalid_function_parameters",
        "invalid_json_schema",
        "invalid_image",
        "invalid_image_url",
        "invalid_image_format",
        "invalid_base64_image",
        "image_too_large",
        "image_parse_error",
        "json_validate_failed",
        "tool_use_failed",
        "max_tokens_exceeded",
        "unsupported_model",
        "model_not_supported",
        "invalid_prompt",
        "empty_array",
        "invalid_tool_call_id",
        "model_decommissioned",
        "request_too_large",
        "not_found_error",
    }
)
_KNOWN_TYPES = frozenset({"invalid_request_error", "not_found_error", "request_too_large"})
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_.\[\]]{0,99}")
_PREFIXED_SECRET = re.compile(
    r"(?i)\b(?:(?:sk|pk|rk|cv|gsk|xai|ghp|gho|glpat|hf|pat|key|api|org|proj|user|acct|whsec)[-_]"
    r"[A-Za-z0-9_\-]{6,}|AIza[0-9A-Za-z_\-]{6,}|AKIA[0-9A-Z]{6,}|ya29\.[0-9A-Za-z_\-.]+"
    r"|eyJ[A-Za-z0-9_\-]{6,}[A-Za-z0-9_\-.]*)|(?:bearer|basic)\s+\S+"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=]{16,}|[A-Za-z0-9+/=_\-]{32,}")
_MASKED_RUN = re.compile(r"\S*\*{3,}\S*")  # a vendor's own half-masked key
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.\-]*://\S+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
_RETRY_AFTER = re.compile(r"\d{1,6}(?:\.\d{1,3})?|[A-Z][a-z]{2}, [0-9A-Za-z: ]{1,30} GMT")
_MILLISECONDS = re.compile(r"\d{1,9}(?:\.\d{1,6})?")


class Detail(msgspec.Struct, frozen=True):
    """What a family found in its provider's error body; nothing of it is trusted."""

    message: str = ""
    type: str = ""
    code: str = ""
    param: str = ""


def refusal(status: int, headers: dict[str, str], detail: Detail) -> UpstreamError:
    """The error for a provider's answer with this status. Never raises."""
    if status in _CALLERS_FAULT:
        return _fault_of_caller(status, detail)
    if status in (401, 403):
        return UpstreamRefused(
            "The provider refused ChatVault's credential for this model. "
            "An admin has to look at the provider's credential.",
            upstream_status=status,
            status=502,
            code="upstream_credential_refused",
            retryable=True,
            blames_deployment=True,
        )
    if status == 402 or detail.code in ("insufficient_quota", "credit_balance_exhausted"):
        return UpstreamRefused(
            "The provider refuses: ChatVault's account there has no quota or credit left.",
            upstream_status=status,
            status=502,
            code="upstream_quota_exhausted",
            retryable=True,
            blames_deployment=True,
        )
    if status == 429:
        return UpstreamRefused(
            "The provider's rate limit for this model is reached.",
            upstream_status=status,
            type="rate_limit_error",
            code="upstream_rate_limited",
            headers=retry_headers(headers),
            retryable=True,
            blames_deployment=True,
        )
    return _fault_of_provider(status, headers)


def _fault_of_caller(status: int, detail: Detail) -> UpstreamRefused:
    said = clean_message(detail.message)
    return UpstreamRefused(
        said or "The provider refused the request as invalid.",
        upstream_status=status,
        type=detail.type if detail.type in _KNOWN_TYPES else "invalid_request_error",
        code=detail.code if detail.code in KNOWN_CODES else "upstream_invalid_request",
        param=detail.param if _is_path(detail.param) else None,
    )


def _is_path(param: str) -> bool:
    return bool(_PARAM.fullmatch(param)) and clean_message(param) == param


def _fault_of_provider(status: int, headers: dict[str, str]) -> UpstreamRefused:
    """Timeouts keep 504, overload keeps 503; all the rest is a bad gateway."""
    public, code, said = 502, "upstream_error", "The provider failed to answer."
    if status in (408, 504):
        public, code, said = 504, "upstream_timeout", "The provider ran out of time."
    elif status in (503, 529):
        public, code, said = 503, "upstream_overloaded", "The provider is overloaded."
    return UpstreamRefused(
        said,
        upstream_status=status,
        status=public,
        code=code,
        headers=retry_headers(headers),
        retryable=status >= 500 or status in (408, 409, 425),
        blames_deployment=True,
    )


def retry_headers(headers: dict[str, str]) -> dict[str, str]:
    """The provider's advice on when to come back, where it is well formed."""
    kept = {}
    for name, pattern in (("retry-after", _RETRY_AFTER), ("retry-after-ms", _MILLISECONDS)):
        value = headers.get(name, "")
        if pattern.fullmatch(value):
            kept[name] = value
    return kept


def clean_message(text: str) -> str:
    """One line of at most 500 characters without keys, tokens, URL queries or user parts."""
    text = _CONTROL.sub(" ", text[: 8 * MAX_MESSAGE])
    text = _PREFIXED_SECRET.sub("***", text)
    text = _URL.sub(_bare_url, text)
    text = _MASKED_RUN.sub("***", text)
    text = _LONG_RUN.sub(_mask_mixed, text).strip()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"


def _bare_url(match: re.Match[str]) -> str:
    url = match.group()
    scheme, _, rest = url.partition("://")
    rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def _mask_mixed(match: re.Match[str]) -> str:
    """Words and model names stay; a long run of letters mixed with digits goes."""
    run = match.group()
    for part in re.split(r"[-_/]", run):
        has_digit = any(c.isdigit() for c in part)
        if len(part) >= 16 and has_digit and any(c.isalpha() for c in part):
            return "***"
    return run
