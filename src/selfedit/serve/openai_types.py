"""Bodies of OpenAI's chat and completions API, as far as they are understood here.

Unknown fields are let pass, as clients send many; those that ask for something that this server does
not do are refused by name, and never ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from selfedit.errors import InputError
from selfedit.serve.messages import Role

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
Texts = Annotated[list[str], Field(max_length=64)]
Ids = Annotated[list[int], Field(max_length=100_000)]


class Part(BaseModel):
    """A part of a message; only text is understood."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None

    @property
    def turn(self) -> tuple[Role, str]:
        content = self.content or ""
        text = content if isinstance(content, str) else "".join(part.text for part in content)
        return _ROLES[self.role], text


class StreamOptions(BaseModel):
    include_usage: bool = False


class Drawing(BaseModel):
    """What chat and completions have in common. Without a temperature a text is greedy."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(max_length=400)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    n: int | None = Field(None, ge=1, le=16)
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, float] | None = None

    @field_validator("stop")
    @classmethod
    def _some_text(cls, value: str | list[str] | None) -> str | list[str] | None:
        if isinstance(value, list) and not all(value):
            raise ValueError("a stop string is empty")
        return value or None

    @model_validator(mode="after")
    def _only_what_is_done(self) -> Drawing:
        if self.frequency_penalty or self.presence_penalty or self.logit_bias:
            raise ValueError("penalties and logit_bias are not supported")
        for name in _UNSUPPORTED:
            if (self.model_extra or {}).get(name):
                raise ValueError(f"{name} is not supported")
        form = (self.model_extra or {}).get("response_format")
        if form and (not isinstance(form, dict) or form.get("type") != "text"):
            raise ValueError("response_format other than text is not supported")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def usage_wanted(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


_UNSUPPORTED = ("tools", "functions", "audio", "prediction", "web_search_options", "echo", "suffix")


class Chat(Drawing):
    """POST /v1/chat/completions."""

    messages: list[Message] = Field(min_length=1, max_length=1000)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=20)

    @property
    def most_tokens(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    @property
    def top(self) -> int | None:
        """Raises InputError."""
        if self.top_logprobs and not self.logprobs:
            raise InputError("top_logprobs are told with logprobs: true alone")
        return (self.top_logprobs or 0) if self.logprobs else None


class Completing(Drawing):
    """POST /v1/completions."""

    prompt: str | Texts | Ids | Annotated[list[Ids], Field(max_length=64)]
    max_tokens: int | None = Field(None, ge=1)
    logprobs: int | None = Field(None, ge=0, le=20)
    best_of: int | None = None

    @model_validator(mode="after")
    def _no_choice(self) -> Completing:
        if self.best_of is not None and self.best_of != (self.n or 1):
            raise ValueError("best_of other than n is not supported")
        return self

    def prompts(self) -> list[tuple[str, tuple[int, ...]]]:
        """(text, ids) of each; ids only where they were given."""
        given: Any = self.prompt
        if isinstance(given, str):
            return [(given, ())]
        if given and all(isinstance(one, int) for one in given):
            return [("", tuple(given))]
        return [(one, ()) if isinstance(one, str) else ("", tuple(one)) for one in given]
