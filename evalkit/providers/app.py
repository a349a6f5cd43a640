"""A whole application as a target: its request made from a template, its answer read by paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from evalkit.configfile import FileModel, short_form
from evalkit.providers.base import CallError, ChatRequest, FaultClass, RequestedCall
from evalkit.providers.dialect import QUOTED, Reply, StreamReader, count
from evalkit.providers.json_path import JsonPath, keys_of
from evalkit.providers.json_template import JsonTemplate, TemplateError
from evalkit.records import Json, Message, RetrievedDocument, Usage, question_of
from evalkit.text import excerpt, log_safe

__all__ = ["APP_VARIABLES", "AnswerSpec", "AppDialect", "AppSpec", "RequestTemplate", "variables"]

APP_VARIABLES: Mapping[str, str] = {
    "question": "the text of the last user message",
    "messages": "the conversation, each with role and content",
    "role": "the role of the person who asks",
    "tenant": "the tenant",
    "locale": "the locale, for example de-DE",
    "intent": "the classified intent",
    "risk": "the classified risk",
    "documents": "the documents, each with id, title, text, date, kind and trusted",
    "tools": "the tools that may be called, each with name, description and parameters",
    "model": "what follows the provider's name in the model pin",
    "params": "the parameters of the model pin",
    "seed": "the number of the trial, from 0",
}
"""What every application is given; the `variables` of a case come on top."""

_DEFAULT_REQUEST: Mapping[str, Json] = {
    name: f"{{{{ {name} }}}}" for name in ("question", "messages", "role", "tenant", "locale", "documents")
}
_MOST_ITEMS = 10_000
_MOST_DOLLARS = 10**9
_LARGEST = 1e300


def _check_template(value: dict[str, Json]) -> dict[str, Json]:
    JsonTemplate(value)
    return value


def _check_path(value: str) -> str:
    JsonPath.parse(value)
    return value


RequestTemplate = Annotated[dict[str, Any], AfterValidator(_check_template)]
"""A JSON object whose texts are Jinja2 templates."""
Path = Annotated[str, AfterValidator(_check_path)]


class AnswerSpec(FileModel):
    """Where the parts of an answer lie: paths as `answer.text`, `usage.input` or `calls[*]`.

    A path that leads nowhere is an error, unless it ends in `?`. `null` leaves a part unread.
    """

    model_config = ConfigDict(json_schema_extra=short_form)

    text: Path | None = Field(default=None, description="The text; default `answer`, else `text`, or the whole JSON.")
    tool_calls: Path | None = Field(default="tool_calls?", description="List of objects with `name` and `arguments`.")
    finish_reason: Path | None = Field(default="finish_reason?", description="stop, length, content_filter, ...")
    documents: Path | None = Field(
        default="documents?", description="What the answer stands on: list of objects with `id`, `text` and `title`."
    )
    input_tokens: Path | None = Field(default="input_tokens?", description="Tokens read.")
    output_tokens: Path | None = Field(default="output_tokens?", description="Tokens written.")
    cached_tokens: Path | None = Field(default="cached_tokens?", description="Those of the tokens read from a cache.")
    cost: Path | None = Field(default="cost?", description="What the answer cost, in US dollars.")
    model: Path | None = Field(default="model?", description="The model that answered.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value


class AppSpec(FileModel):
    """How an application is asked and how its answer is read."""

    request: RequestTemplate | None = Field(
        default=None,
        description="The JSON body; its texts are Jinja2 templates. A text that is one `{{ … }}` keeps the type.",
    )
    answer: AnswerSpec | None = Field(default=None, description="Paths of the answer's parts.")


def variables(request: ChatRequest) -> dict[str, Json]:
    """What an application is given, as plain JSON of its own: see :data:`APP_VARIABLES`."""
    return {
        "question": question_of(request.messages),
        **dict.fromkeys(("role", "tenant", "locale", "intent", "risk"), ""),
        "documents": [],
        **_plain(request.context),
        "messages": [_message(message) for message in request.messages],
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": _plain(tool.parameters)}
            for tool in request.tools
        ],
        "model": request.model,
        "params": _plain(request.params),
        "seed": request.seed,
    }


def _message(message: Message) -> dict[str, Json]:
    data: dict[str, Json] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        data["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": _plain(call.arguments)} for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        data["tool_call_id"] = message.tool_call_id
    return data


def _plain(value: Json) -> Json:
    """A copy that a program may change without changing the case."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


class AppDialect:
    """The wire format of a user's own application.

    Args:
        spec: Template of the request and paths of the answer.

    Raises:
        ValueError: when the template or a path does not parse.
    """

    kind = "app"

    def __init__(self, spec: AppSpec | None = None) -> None:
        spec = spec or AppSpec()
        self._request = _DEFAULT_REQUEST if spec.request is None else spec.request
        self._answer: Mapping[str, str | None] = (spec.answer or AnswerSpec()).model_dump()
        self._template = JsonTemplate(self._request)
        self._paths = {name: JsonPath.parse(path) for name, path in self._answer.items() if path is not None}

    @property
    def identity(self) -> Mapping[str, Json]:
        """What of the dialect makes answers different: the template, and how the answer is read."""
        return {"request": self._request, "answer": self._answer}

    @property
    def needed(self) -> Mapping[str, str]:
        """Variables that every case must define for the template, each with its place there."""
        return {name: place for name, place in self._template.needed.items() if name not in APP_VARIABLES}

    def path(self, request: ChatRequest, *, stream: bool) -> str:
        """Nothing: the address is the whole one."""
        return ""

    def headers(self, key: str | None) -> Mapping[str, str]:
        """The key as a bearer token, where there is one."""
        return {"authorization": f"Bearer {key}"} if key else {}

    def payload(self, request: ChatRequest, *, stream: bool) -> Mapping[str, Any]:
        """The template, filled in.

        Raises:
            CallError: of kind ``protocol``, when the template fails for this case.
        """
        try:
            body: dict[str, Any] = self._template.render(variables(request))
        except TemplateError as error:
            raise CallError(f"the request cannot be made: {error}", kind="protocol") from None
        return body

    def reply(self, data: Any) -> Reply:
        """Read an answer; tool calls in it were answered by the application.

        Raises:
            TypeError, ValueError: naming the path of what is missing or of another type.
            CallError: when there is no text but an ``error``.
        """
        calls = tuple(_call(item, place) for place, item in self._items(data, "tool_calls"))
        tokens = {name: self._count(data, name) for name in ("input_tokens", "output_tokens", "cached_tokens")}
        read, written = tokens["input_tokens"], tokens["output_tokens"]
        usage = Usage(source="none")
        if read is not None or written is not None:
            usage = Usage(read or 0, written or 0, tokens["cached_tokens"] or 0)
            if usage.cached_tokens > usage.input_tokens:
                raise ValueError(f"{usage.cached_tokens} cached tokens among {usage.input_tokens} input tokens")
        return Reply(
            text=self._text(data, needed=not calls),
            tool_calls=calls,
            finish_reason=self._word(data, "finish_reason") or ("tool_calls" if calls else "stop"),
            usage=usage,
            model=self._word(data, "model"),
            cost_microusd=self._cost(data),
            documents=self._documents(data),
            final=True,
        )

    def reader(self) -> StreamReader:
        """Refuse: there is no common format in which applications stream.

        Raises:
            CallError: always, and for every call.
        """
        raise CallError("an application cannot be streamed: take `stream` out", kind="protocol", fatal=True)

    def fault(self, status: int, data: Any) -> FaultClass:
        """Always the general one: applications have no common words for the others."""
        return "general"

    def _read(self, data: Any, name: str) -> Json:
        path = self._paths.get(name)
        return None if path is None else path.read(data)

    def _place(self, name: str) -> str:
        return self._paths[name].text

    def _text(self, data: Any, *, needed: bool) -> str:
        path = self._paths.get("text")
        value, why = None, f"neither `answer` nor `text` is there{keys_of(data)}"
        if path is None:
            place, value = _default_text(data)
        else:
            place, needed = path.text, needed and not path.optional
            try:
                value, why = path.read(data), f"`{place}` is null"
            except ValueError as error:
                why = str(error)
        if value is None:
            _refuse_error(data)
            if needed:
                raise ValueError(f"there is no text: {why}")
        elif not isinstance(value, str):
            raise TypeError(f"`{place}` is no text")
        return value or ""

    def _word(self, data: Any, name: str) -> str:
        value = self._read(data, name)
        if value is not None and not isinstance(value, str):
            raise TypeError(f"`{self._place(name)}` is no text")
        return value or ""

    def _count(self, data: Any, name: str) -> int | None:
        value = self._read(data, name)
        return None if value is None else count({self._place(name): value}, self._place(name))

    def _cost(self, data: Any) -> int | None:
        value = self._read(data, "cost")
        if value is None:
            return None
        if not _is_number(value) or not 0 <= value <= _MOST_DOLLARS:
            raise ValueError(f"`{self._place('cost')}` is {value!r:.40}, no number of dollars")
        return round(float(value) * 1e6)

    def _items(self, data: Any, name: str) -> list[tuple[str, Mapping[str, Json]]]:
        """The objects of a list, each with its place."""
        value = self._read(data, name)
        if value is None:
            return []
        place = self._place(name)
        if not isinstance(value, (list, tuple)):
            raise TypeError(f"`{place}` is no list")
        if len(value) > _MOST_ITEMS:
            raise ValueError(f"`{place}` has {len(value):,} items, more than {_MOST_ITEMS:,}")
        for index, item in enumerate(value):
            if not isinstance(item, Mapping):
                raise TypeError(f"item {index} of `{place}` is no object")
        return [(f"item {index} of `{place}`", item) for index, item in enumerate(value)]

    def _documents(self, data: Any) -> tuple[RetrievedDocument, ...] | None:
        if self._read(data, "documents") is None:
            return None
        found = self._items(data, "documents")
        return tuple(_document(item, place, rank) for rank, (place, item) in enumerate(found, 1))


def _default_text(data: Any) -> tuple[str, Json]:
    """The text of an answer for which nobody has said where it lies."""
    if isinstance(data, str):
        return "the answer", data
    if not isinstance(data, Mapping):
        raise TypeError("the answer is neither an object nor a text: name its path under `answer:`")
    name = "text" if data.get("answer") is None and data.get("text") is not None else "answer"
    return name, data.get(name)


def _refuse_error(data: Any) -> None:
    problem = data.get("error") if isinstance(data, Mapping) else None
    if problem:
        shown = excerpt(log_safe(str(problem)), QUOTED)
        raise CallError(f"the application reports an error: {shown}", kind="target")


def _call(item: Mapping[str, Json], place: str) -> RequestedCall:
    name = _field(item, place, "name")
    identity = _field(item, place, "id", "")
    arguments = item.get("arguments")
    if isinstance(arguments, str):
        return RequestedCall.decoded(name, arguments, identity)
    return RequestedCall(name, {} if arguments is None else arguments, identity)


def _document(item: Mapping[str, Json], place: str, rank: int) -> RetrievedDocument:
    trusted, score = item.get("trusted", True), item.get("score")
    if not isinstance(trusted, bool):
        raise TypeError(f"{place}: `trusted` is neither true nor false")
    if score is not None and not _is_number(score):
        raise TypeError(f"{place}: `score` is no number")
    return RetrievedDocument(
        id=_field(item, place, "id"),
        text=_field(item, place, "text"),
        title=_field(item, place, "title", ""),
        date=_field(item, place, "date", "") or None,
        kind=_field(item, place, "kind", "") or "policy",
        trusted=trusted,
        rank=rank,
        score=None if score is None else float(score),
    )


def _field(item: Mapping[str, Json], place: str, name: str, default: str | None = None) -> str:
    value = item.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise TypeError(f"{place}: `{name}` is {'missing' if value is None else 'no text'}")
    return value


def _is_number(value: Json) -> bool:
    """Whether a value is a number that a float can hold; NaN is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
