from .application import Application, ApplicationQuerySet
from .initial import InitialAccessToken, InitialAccessTokenQuerySet
from .tokens import AccessToken, DeviceGrant, Grant, IDToken, RefreshToken

__all__ = [
    "AccessToken",
    "Application",
    "ApplicationQuerySet",
    "DeviceGrant",
    "Grant",
    "IDToken",
    "InitialAccessToken",
    "InitialAccessTokenQuerySet",
    "RefreshToken",
]
