"""Error codes of a token exchange."""

from llama_async.types.shared.oauth_error_code import OAuthErrorCode

__all__ = ["OAuthErrorCode"]
