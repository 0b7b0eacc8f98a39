"""One tree of errors. Class attributes say everything; the doors only render it.

    ChatVaultError
    ├── BadRequest ─ MalformedJson, InvalidField, UnsupportedField, Conflict, PeriodClosed
    ├── BodyTooLarge, RouteNotFound, MethodNotAllowed, Unauthenticated
    ├── Forbidden ─ ModelNotAllowed, KeyDisabled, NetworkNotAllowed, ScopeMissing
    ├── ModelNotFound, BudgetExhausted, BudgetHeld, Unpriced, RateLimited ─ TooManyAttempts
    ├── NoDeployment ─ ProviderBudgetExhausted
    ├── JournalUnavailable, LimitsUnavailable, NotReady, KeysUnavailable, ShuttingDown, Overloaded
    ├── UpstreamError ─ UpstreamConnectFailed, UpstreamForbidden, UpstreamTimedOut,
    │                   UpstreamBroken, UpstreamTooLarge, UpstreamInvalid, UpstreamRefused
    └── InternalError

Codes are stable and of low cardinality: clients branch on them, metrics count them.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ChatVaultError(Exception):
    """Anything ChatVault tells a caller. `message` is safe to show to that caller."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    code: ClassVar[str] = "internal_error"
    default_message: ClassVar[str] = "ChatVault failed to handle the request."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message or self.default_message
        self.param = param
        self.scope = ""  # of a limit that refused: what it is on, such as "client"
        self.headers = headers or {}
        super().__init__(self.message)

    @property
    def http_status(self) -> int:
        return self.status

    @property
    def public_type(self) -> str:
        return self.type

    @property
    def public_code(self) -> str:
        return self.code

    def openai(self) -> dict[str, Any]:
        """OpenAI's error object (platform.openai.com/docs/guides/error-codes)."""
        return {
            "error": {
                "message": self.message,
                "type": self.public_type,
                "param": self.param,
                "code": self.public_code,
            }
        }


class BadRequest(ChatVaultError):
    status = 400
    type = "invalid_request_error"
    code = "invalid_request"
    default_message = "The request is not valid."


class MalformedJson(BadRequest):
    code = "malformed_json"
    default_message = "The body is not valid JSON."


class InvalidField(BadRequest):
    code = "invalid_value"
    default_message = "A field of the request has a value that is not valid."


class UnsupportedField(BadRequest):
    code = "unsupported_value"
    default_message = "The provider behind this model cannot honour a field of the request."


class Conflict(BadRequest):
    """What was asked for does not go together with what there is."""

    status = 409
    code = "conflict"
    default_message = "Another row has this name already, or somebody changed it meanwhile."


class PeriodClosed(BadRequest, ValueError):
    """A correction was dated into books that are closed."""

    status = 409
    code = "period_closed"
    default_message = (
        "The books of this time are closed. Make it a credit note, which is dated now."
    )


class BodyTooLarge(ChatVaultError):
    status = 413
    type = "invalid_request_error"
    code = "body_too_large"
    default_message = "The body is larger than this gateway accepts."


class RouteNotFound(ChatVaultError):
    status = 404
    type = "invalid_request_error"
    code = "unknown_url"
    default_message = "There is no such endpoint."


class MethodNotAllowed(ChatVaultError):
    status = 405
    type = "invalid_request_error"
    code = "method_not_allowed"
    default_message = "This endpoint does not take that method."


class Unauthenticated(ChatVaultError):
    """Unknown, malformed, expired and revoked keys all look the same to a caller."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"
    default_message = (
        "The API key is missing or not valid. Send it as 'Authorization: Bearer cv_…'; "
        "an admin of this ChatVault can issue a new one."
    )


class Forbidden(ChatVaultError):
    status = 403
    type = "permission_error"
    code = "forbidden"
    default_message = "The key may not do this."


class KeyDisabled(Forbidden):
    code = "key_disabled"
    default_message = "The key, its client or its team is disabled. Ask an admin to enable it."


class NetworkNotAllowed(Forbidden):
    code = "network_not_allowed"
    default_message = "The key may not be used from this address. Its owner can change the list."


class ScopeMissing(Forbidden):
    code = "scope_missing"
    default_message = "The key or token may not call models: it lacks the scope 'inference'."


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"
    default_message = "The key may not use this model."


class ModelNotFound(ChatVaultError):
    status = 404
    type = "invalid_request_error"
    code = "model_not_found"
    default_message = "There is no such model. GET /v1/models lists those that the key may use."


class BudgetExhausted(ChatVaultError):
    """The budget of this period cannot cover the request, whatever else is in flight."""

    status = 402
    type = "insufficient_quota"
    code = "budget_exhausted"
    default_message = "The budget of this period cannot cover the request."
    _status: int | None = None

    @property
    def http_status(self) -> int:
        return self._status or self.status

    def with_status(self, status: int) -> BudgetExhausted:
        """The same refusal under the status that the installation chose: 402, or OpenAI's 429."""
        self._status = status
        return self


class BudgetHeld(ChatVaultError):
    """The request would fit what is left, but requests in flight hold it (promise R7)."""

    status = 429
    type = "rate_limit_error"
    code = "budget_reserved_in_flight"
    default_message = "Requests in flight hold what is left of the budget. Try again shortly."


class Unpriced(ChatVaultError):
    status = 402
    type = "insufficient_quota"
    code = "model_unpriced"
    default_message = (
        "The model has no price, so a client with a budget may not use it. "
        "An admin can add one to the client's price book."
    )


class RateLimited(ChatVaultError):
    """`quota_id` is the quota that refused, for our own counts; callers are never told it."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"
    default_message = "A rate limit is reached."

    def __init__(
        self,
        message: str | None = None,
        *,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        quota_id: int = 0,
    ) -> None:
        super().__init__(message, param=param, headers=headers)
        self.quota_id = quota_id


class TooManyAttempts(RateLimited):
    """An address or an account asked an endpoint of the control plane too often."""

    code = "too_many_attempts"
    default_message = "Too many attempts. Wait a moment before the next one."


class NoDeployment(ChatVaultError):
    status = 503
    type = "service_unavailable_error"
    code = "no_deployment"
    default_message = "No deployment of this model is available now."


class ProviderBudgetExhausted(NoDeployment):
    code = "provider_budget_exhausted"
    default_message = "All providers of this model have used up their budgets. Try another model."


class JournalUnavailable(ChatVaultError):
    status = 503
    type = "service_unavailable_error"
    code = "journal_unavailable"
    default_message = "The request cannot be recorded now. Try again."


class LimitsUnavailable(ChatVaultError):
    """What is spent cannot be known now, and what may be spent without knowing is used up."""

    status = 503
    type = "service_unavailable_error"
    code = "limits_unavailable"
    default_message = (
        "What is left of this budget cannot be checked for the moment. Nothing was sent to a "
        "provider; try again in a second."
    )


class NotReady(ChatVaultError):
    status = 503
    type = "service_unavailable_error"
    code = "not_ready"
    default_message = "This gateway is starting. Try again."


class KeysUnavailable(ChatVaultError):
    """The key cannot be looked up; never confused with a wrong key (promise R14)."""

    status = 503
    type = "service_unavailable_error"
    code = "keys_unavailable"
    default_message = "Keys cannot be looked up now. Try again."


class ShuttingDown(ChatVaultError):
    """The process ends and its patience with running requests is over."""

    status = 503
    type = "service_unavailable_error"
    code = "shutting_down"
    default_message = "This gateway is being replaced and could not wait any longer. Try again."


class Overloaded(ChatVaultError):
    """More is asked for than can be answered in time; refused before anything is counted."""

    status = 503
    type = "service_unavailable_error"
    code = "overloaded"
    default_message = "This gateway has more to do than it can do in time. Try again shortly."


class UpstreamError(ChatVaultError):
    """A provider failed. `retryable`: another attempt may succeed; `blames_deployment`:
    the breaker counts it against the deployment."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"
    default_message = "The provider failed to answer."
    retryable: bool = True
    blames_deployment: bool = True


class UpstreamConnectFailed(UpstreamError):
    code = "upstream_unreachable"
    default_message = "The provider could not be reached."


class UpstreamForbidden(UpstreamError):
    """The guard refused the provider's address; nothing was sent."""

    code = "upstream_forbidden"
    default_message = "The provider's address is not one that this gateway may call."


class UpstreamTimedOut(UpstreamError):
    """`phase` is the deadline that passed: connect, first_byte, idle or total."""

    status = 504
    code = "upstream_timeout"
    default_message = "The provider did not answer in time."

    def __init__(self, phase: str, message: str | None = None) -> None:
        self.phase = phase
        super().__init__(message or f"The provider did not answer in time ({phase}).")


class UpstreamBroken(UpstreamError):
    code = "upstream_broken"
    default_message = "The provider's answer broke off."


class UpstreamTooLarge(UpstreamError):
    code = "upstream_too_large"
    default_message = "The provider's answer is larger than this gateway accepts."


class UpstreamInvalid(UpstreamError):
    code = "upstream_invalid"
    default_message = "The provider's answer is not what its protocol says."


class UpstreamRefused(UpstreamError):
    """The provider answered with an error of its own; `http_status` is what the caller gets.

    `message` is a sanitised sentence, never the provider's body.
    """

    code = "upstream_refused"

    def __init__(
        self,
        message: str,
        *,
        upstream_status: int,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        retryable: bool = False,
        blames_deployment: bool = False,
    ) -> None:
        super().__init__(message, param=param, headers=headers)
        self.upstream_status = upstream_status
        self._status = status or upstream_status
        self._type = type or self.type
        self._code = code or self.code
        self.retryable = retryable
        self.blames_deployment = blames_deployment

    @property
    def http_status(self) -> int:
        return self._status

    @property
    def public_type(self) -> str:
        return self._type

    @property
    def public_code(self) -> str:
        return self._code


class InternalError(ChatVaultError):
    """A fault of ChatVault's own; what happened is in the log, under the request id."""

    default_message = "ChatVault failed to handle the request. Its log has the request id."
