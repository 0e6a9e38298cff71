"""The `error` object of a failed request."""

from typing import Literal

from llama_async._models import BaseModel

__all__ = ["ErrorObject", "Misalignment", "MisalignmentSteer"]


class MisalignmentSteer(BaseModel):
    """Guidance after misaligned behaviour."""

    message: str


class Misalignment(BaseModel):
    """What misaligned behaviour was found."""

    detailed_explanation: str | None = None
    error_type: (
        str
        | Literal[
            "potentially_unintended_data_transfer",
            "potentially_unintended_data_access",
            "potentially_unintended_destructive_activity",
            "other",
        ]
        | None
    ) = None
    review_target: str | None = None
    steer: MisalignmentSteer | None = None


class ErrorObject(BaseModel):
    """What went wrong, where, and with which code."""

    code: str | None = None
    message: str
    param: str | None = None
    """The parameter that is at fault."""

    type: str
    misalignment: Misalignment | None = None
