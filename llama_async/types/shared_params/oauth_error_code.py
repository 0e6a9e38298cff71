"""Error codes of a token exchange."""

from ..shared.oauth_error_code import OAuthErrorCode

__all__ = ["OAuthErrorCode"]
