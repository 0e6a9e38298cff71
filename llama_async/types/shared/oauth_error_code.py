"""Error codes of a token exchange."""

from typing import Literal, TypeAlias

__all__ = ["OAuthErrorCode"]

OAuthErrorCode: TypeAlias = Literal["invalid_grant", "invalid_subject_token"] | str
