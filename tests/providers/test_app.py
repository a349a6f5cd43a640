"""An application over HTTP: how it is asked, how its answer is read, and answers that are none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.errors import ConfigError, ExitCode
from evalkit.providers import CallError, ChatRequest, ChatResponse, RequestedCall
from evalkit.providers.app import APP_VARIABLES, AnswerSpec, AppDialect, AppSpec, variables
from evalkit.providers.dialect import Reply
from evalkit.providers.vendor import HttpVendor
from evalkit.records import Json, Message, RetrievedDocument, ToolCall, ToolSpec, Usage
from tests.conftest import ProjectFolder

from .loopback import Loopback, Sent, answer

DOCUMENT = {"id": "returns", "title": "Returns", "text": "30 days", "date": None, "kind": "policy", "trusted": True}
CALL = {"id": "c1", "name": "lookup", "arguments": {"order": "K-1"}}
ASKED = ChatRequest(
    model="v2",
    messages=(
        Message("system", "Be brief."),
        Message("user", "Which order?"),
        Message("assistant", "", (ToolCall("lookup", {"order": "K-1"}, "c1"),)),
        Message("tool", "{}", tool_call_id="c1"),
        Message("user", "How long?"),
    ),
    tools=(ToolSpec("lookup", "Find", {"type": "object"}),),
    params={"temperature": 0},
    context={
        "question": "How long?",
        "role": "customer",
        "tenant": "acme",
        "locale": "de-DE",
        "intent": "returns",
        "risk": "low",
        "documents": (DOCUMENT,),
        "order_id": "K-1",
    },
    seed=2,
    case_id="secret-case",
    trial=2,
)


def read(data: Any, **paths: Any) -> Reply:
    return AppDialect(AppSpec(answer=AnswerSpec(**paths) if paths else None)).reply(data)


# ── requests ────────────────────────────────────────────────────────────────────────────────


def test_without_a_template_the_question_is_sent_with_its_circumstances() -> None:
    assert AppDialect().payload(ASKED, stream=False) == {
        "question": "How long?",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Which order?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "{}", "tool_call_id": "c1"},
            {"role": "user", "content": "How long?"},
        ],
        "role": "customer",
        "tenant": "acme",
        "locale": "de-DE",
        "documents": [DOCUMENT],
    }  # fmt: skip


def test_a_template_may_use_all_variables_and_those_of_the_case() -> None:
    template = {
        **{name: f"{{{{ {name} }}}}" for name in APP_VARIABLES},
        "order": {"id": "{{ order_id }}"},
        "ids": "{{ documents | map(attribute='id') | list }}",
        "text": "{{ role }} asks {{ question }}",
        "stream": False,
    }
    body = AppDialect(AppSpec(request=template)).payload(ASKED, stream=False)
    assert {name: body[name] for name in APP_VARIABLES} == {name: variables(ASKED)[name] for name in APP_VARIABLES}
    assert (body["model"], body["seed"], body["params"], body["risk"]) == ("v2", 2, {"temperature": 0}, "low")
    assert body["tools"] == [{"name": "lookup", "description": "Find", "parameters": {"type": "object"}}]
    assert body["order"] == {"id": "K-1"}
    assert (body["ids"], body["text"], body["stream"]) == (["returns"], "customer asks How long?", False)


def test_every_variable_is_there_even_where_the_request_says_nothing() -> None:
    bare = ChatRequest("m", (Message("user", "first"), Message("user", "hello")))
    found = variables(bare)
    assert found.keys() == APP_VARIABLES.keys()
    assert (found["question"], found["role"], found["documents"]) == ("hello", "", [])


def test_a_case_cannot_replace_the_conversation_and_does_not_see_its_own_name() -> None:
    request = ChatRequest("m", ASKED.messages, context={"messages": "mine", "model": "mine", "seed": 9}, case_id="c-77")
    found = variables(request)
    assert (len(found["messages"]), found["model"], found["seed"]) == (5, "m", 0)
    assert "c-77" not in str(found)


def test_what_an_application_is_given_is_its_own_copy() -> None:
    found = variables(ASKED)
    found["documents"][0]["text"] = "changed"
    found["messages"][2]["tool_calls"][0]["arguments"]["order"] = "changed"
    found["tools"][0]["parameters"]["type"] = "changed"
    found["params"]["temperature"] = 2
    assert variables(ASKED)["documents"] == [DOCUMENT]
    assert "changed" not in str(ASKED)


def test_variables_that_only_the_cases_can_define_are_known_beforehand() -> None:
    dialect = AppDialect(AppSpec(request={"q": "{{ question }}", "o": [{"id": "{{ order_id }} {{ seed }}"}]}))
    assert dialect.needed == {"order_id": "request.o[0].id"}
    assert AppDialect().needed == {}


def test_a_case_without_a_variable_is_an_error_of_that_case() -> None:
    dialect = AppDialect(AppSpec(request={"o": "{{ order_id }}"}))
    with pytest.raises(CallError) as caught:
        dialect.payload(ChatRequest("m", ()), stream=False)
    assert (caught.value.kind, caught.value.retry, caught.value.fatal) == ("protocol", False, False)
    assert "request.o: undefined variable: 'order_id' is undefined; available: documents, intent" in str(caught.value)


def test_the_key_is_a_bearer_token() -> None:
    assert AppDialect().headers("k-1") == {"authorization": "Bearer k-1"}
    assert AppDialect().headers(None) == {}


def test_the_identity_follows_the_template_and_the_paths() -> None:
    specs = [
        AppSpec(),
        AppSpec(request={"q": "{{ question }}"}),
        AppSpec(answer=AnswerSpec(text="reply")),
        AppSpec(answer=AnswerSpec(tool_calls=None)),
    ]
    assert len({str(AppDialect(spec).identity) for spec in specs}) == len(specs)
    assert AppDialect(AppSpec(answer=AnswerSpec())).identity == AppDialect().identity


def test_streaming_is_refused_in_words() -> None:
    with pytest.raises(CallError, match="an application cannot be streamed: take `stream` out") as caught:
        AppDialect().reader()
    assert caught.value.fatal


# ── answers ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "data", [{"answer": "30 days"}, {"text": "30 days"}, "30 days", {"answer": None, "text": "30 days"}]
)
def test_the_text_is_found_without_a_mapping(data: Any) -> None:
    assert read(data) == Reply(text="30 days", finish_reason="stop", final=True)


def test_an_empty_answer_is_an_answer() -> None:
    assert read({"answer": ""}).text == ""
    assert read("").text == ""


FULL = Reply(
    text="30 days",
    tool_calls=(RequestedCall("lookup", {"order": "K-1"}, "c1"), RequestedCall("notify", {})),
    finish_reason="length",
    usage=Usage(120, 30, 100),
    model="app-7",
    cost_microusd=1235,
    documents=(
        RetrievedDocument("d1", "A", rank=1),
        RetrievedDocument("d2", "B", "Title", "2026-03-01", "email", trusted=False, rank=2, score=0.5),
    ),
    final=True,
)
CALLS = [{"name": "lookup", "arguments": {"order": "K-1"}, "id": "c1"}, {"name": "notify"}]
DOCUMENTS = [
    {"id": "d1", "text": "A"},
    {"id": "d2", "text": "B", "title": "Title", "date": "2026-03-01", "kind": "email", "trusted": False, "score": 0.5,
     "url": "https://example.com"},
]  # fmt: skip


def test_the_envelopes_own_names_need_no_mapping() -> None:
    data = {
        "answer": "30 days",
        "tool_calls": CALLS,
        "finish_reason": "length",
        "input_tokens": 120,
        "output_tokens": 30,
        "cached_tokens": 100,
        "model": "app-7",
        "cost": 0.0012346,
        "documents": DOCUMENTS,
        "elapsed": 1.25,
    }
    assert read(data) == FULL


def test_a_mapping_leads_to_every_part() -> None:
    data = {
        "data": [{"reply": {"text": "30 days"}, "why": "length"}],
        "steps": [{"function": CALLS[0]}, {"function": CALLS[1]}],
        "usage": {"in": 120, "out": 30, "details": {"cached": 100}, "dollars": 0.0012346},
        "meta": {"model.name": "app-7"},
        "hits": DOCUMENTS,
    }
    found = read(
        data,
        text="data[0].reply.text",
        finish_reason="data[0].why",
        tool_calls="steps[*].function",
        input_tokens="usage.in",
        output_tokens="usage.out",
        cached_tokens="usage.details.cached",
        cost="usage.dollars",
        model='meta["model.name"]',
        documents="hits",
    )
    assert found == FULL


def test_what_a_mapping_does_not_name_is_still_read_unless_it_is_taken_out() -> None:
    data = {"reply": "x", "tool_calls": CALLS, "documents": "none of ours"}
    assert len(read(data, text="reply", documents=None).tool_calls) == 2
    with pytest.raises(TypeError, match="`documents` is no list"):
        read(data, text="reply")


def test_calls_without_a_text_are_an_answer() -> None:
    for reply in (read({"tool_calls": CALLS}), read({"tool_calls": CALLS, "out": None}, text="out.text")):
        assert (reply.text, reply.finish_reason, len(reply.tool_calls)) == ("", "tool_calls", 2)


def test_arguments_written_as_text_are_decoded_or_kept_with_the_reason() -> None:
    calls = read({"tool_calls": [{"name": "a", "arguments": '{"n": 1}'}, {"name": "b", "arguments": "{n"}]}).tool_calls
    assert calls[0] == RequestedCall("a", {"n": 1})
    assert calls[1].arguments == "{n"
    assert "arguments are not JSON" in str(calls[1].error)


def test_what_is_not_counted_is_not_known() -> None:
    assert read({"answer": "x"}).usage == Usage(source="none")
    assert read({"answer": "x", "input_tokens": None, "output_tokens": 7}).usage == Usage(0, 7)
    assert read({"answer": "x", "cost": None}).cost_microusd is None
    assert read({"answer": "x", "cost": 0}).cost_microusd == 0
    assert read({"answer": "x", "documents": None}).documents is None
    assert read({"answer": "x", "documents": []}).documents == ()


@pytest.mark.parametrize(
    ("data", "paths", "why"),
    [
        ({}, {}, "there is no text: neither `answer` nor `text` is there (it has no keys)"),
        ({"output": "x"}, {}, "there is no text: neither `answer` nor `text` is there (it has output)"),
        ({"answer": 5}, {}, "`answer` is no text"),
        ({"answer": {"text": "x"}}, {}, "`answer` is no text"),
        ({"text": ["x"]}, {}, "`text` is no text"),
        ([], {}, "the answer is neither an object nor a text: name its path under `answer:`"),
        (None, {}, "the answer is neither an object nor a text"),
        (5, {}, "the answer is neither an object nor a text"),
        ("x", {"text": "answer.text"}, "`answer.text`: the answer is a text, not an object with `answer`"),
        ({"answer": {}}, {"text": "answer.text"}, "there is no text: `answer.text` is missing: `answer` has no `text`"),
        ({"answer": {"text": None}}, {"text": "answer.text"}, "there is no text: `answer.text` is null"),
        ({"a": 1}, {"text": "a"}, "`a` is no text"),
        ({"answer": "x"}, {"cost": "usage.cost"}, "`usage.cost` is missing: the answer has no `usage` (it has answer)"),
        ({"answer": "x", "usage": {"in": "12"}}, {"input_tokens": "usage.in"}, "`usage` counts '12' usage.in, not 0"),
        ({"answer": "x", "output_tokens": -1}, {}, "`usage` counts -1 output_tokens"),
        ({"answer": "x", "input_tokens": True}, {}, "`usage` counts True input_tokens"),
        ({"answer": "x", "input_tokens": 1.0}, {}, "`usage` counts 1.0 input_tokens"),
        ({"answer": "x", "input_tokens": 1, "cached_tokens": 2}, {}, "2 cached tokens among 1 input tokens"),
        ({"answer": "x", "cost": "0.01"}, {}, "`cost` is '0.01', no number of dollars"),
        ({"answer": "x", "cost": -0.01}, {}, "`cost` is -0.01, no number of dollars"),
        ({"answer": "x", "cost": math.nan}, {}, "`cost` is nan, no number of dollars"),
        ({"answer": "x", "cost": math.inf}, {}, "`cost` is inf, no number of dollars"),
        ({"answer": "x", "cost": 10**400}, {}, "no number of dollars"),
        ({"answer": "x", "cost": True}, {}, "`cost` is True, no number of dollars"),
        ({"answer": "x", "model": 7}, {}, "`model` is no text"),
        ({"answer": "x", "finish_reason": []}, {}, "`finish_reason` is no text"),
        ({"answer": "x", "tool_calls": {}}, {}, "`tool_calls` is no list"),
        ({"answer": "x", "tool_calls": ["lookup"]}, {}, "item 0 of `tool_calls` is no object"),
        ({"answer": "x", "tool_calls": [{"name": "a"}, {}]}, {}, "item 1 of `tool_calls`: `name` is missing"),
        ({"answer": "x", "c": [{"name": 1}]}, {"tool_calls": "c"}, "item 0 of `c`: `name` is no text"),
        ({"answer": "x", "tool_calls": [{}] * 10_001}, {}, "`tool_calls` has 10,001 items, more than 10,000"),
        ({"answer": "x", "documents": [{"text": "A"}]}, {}, "item 0 of `documents`: `id` is missing"),
        ({"answer": "x", "documents": [{"id": "a"}]}, {}, "item 0 of `documents`: `text` is missing"),
        ({"answer": "x", "documents": [{"id": 1, "text": "A"}]}, {}, "item 0 of `documents`: `id` is no text"),
        ({"answer": "x", "documents": [{"id": "a", "text": "A", "trusted": "no"}]}, {}, "`trusted` is neither"),
        ({"answer": "x", "documents": [{"id": "a", "text": "A", "score": math.nan}]}, {}, "`score` is no number"),
        ({"answer": "x", "documents": [{"id": "a", "text": "A", "score": 10**400}]}, {}, "`score` is no number"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused_by_the_path_in_question(data: Any, paths: dict[str, Any], why: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        read(data, **paths)
    assert why in str(caught.value)


@pytest.mark.parametrize("text", [None, "answer.text", "answer.text?"])
def test_an_error_in_place_of_an_answer_is_an_error_of_the_target(text: str | None) -> None:
    for data in ({"error": "quota\x1b[2J used up"}, {"answer": None, "error": {"message": "quota used up"}}):
        with pytest.raises(CallError, match=r"the application reports an error: .*used up") as caught:
            read(data, text=text)
        assert (caught.value.kind, caught.value.retry) == ("target", False)
        assert "\x1b" not in str(caught.value)


def test_an_error_field_beside_an_answer_is_none() -> None:
    assert read({"answer": "x", "error": None}).text == "x"
    assert read({"answer": "x", "error": "a step failed, and was made again"}).text == "x"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
PARTS = [*AnswerSpec.model_fields, "answer", "error"]


@given(st.dictionaries(st.sampled_from(PARTS), JSON, max_size=8) | JSON)
def test_any_json_is_an_answer_or_one_of_the_documented_errors(data: Any) -> None:
    try:
        reply = read(data)
    except (CallError, TypeError, ValueError):
        return
    assert isinstance(reply.text, str)
    assert reply.final
    assert 0 <= reply.usage.cached_tokens <= reply.usage.input_tokens or reply.usage.source == "none"
    assert reply.cost_microusd is None or reply.cost_microusd >= 0
    assert reply.response(latency_us=5).latency_us == 5


# ── the file ────────────────────────────────────────────────────────────────────────────────


def test_a_text_is_short_for_the_path_of_the_text() -> None:
    assert AppSpec.model_validate({"answer": "data.text"}).answer == AnswerSpec(text="data.text")


@pytest.mark.parametrize(
    ("keys", "place", "why"),
    [
        ({"request": {"a": "{{ x"}}, ("request",), "request.a: the template does not parse"),
        ({"request": {"a": ["{{ x | nope }}"]}}, ("request",), "request.a[0]: the template does not parse: No filter"),
        ({"answer": {"text": "a..b"}}, ("answer", "text"), "`a..b` is no path"),
        ({"answer": {"tokens": "a"}}, ("answer", "tokens"), "Extra inputs are not permitted"),
        ({"reply": "a"}, ("reply",), "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_in_the_file_is_found_when_it_is_read(keys: Any, place: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AppSpec.model_validate(keys)
    problem = caught.value.errors()[0]
    assert problem["loc"] == place
    assert why in problem["msg"]


# ── over the wire ───────────────────────────────────────────────────────────────────────────


def complete(body: Any, spec: AppSpec | None = None, status: int = 200) -> tuple[ChatResponse, Sent]:
    """What a server that answers so is understood to say, and what it was sent."""

    async def run() -> tuple[ChatResponse, Sent]:
        async with Loopback((answer(body, status),)) as server:
            target = HttpVendor("app", AppDialect(spec), base_url=server.url, key="k-1")
            try:
                return await target.complete(ASKED), server.requests[0]
            finally:
                await target.aclose()

    return asyncio.run(run())


def test_over_the_wire() -> None:
    spec = AppSpec(request={"q": "{{ question }}"}, answer=AnswerSpec(text="data.text"))
    response, sent = complete({"data": {"text": "größer"}}, spec)
    assert (response.text, response.final, response.usage.source) == ("größer", True, "none")
    assert response.latency_us > 0
    assert sent.line == "POST /v1 HTTP/1.1"
    assert sent.headers["authorization"] == "Bearer k-1"
    assert sent.json == {"q": "How long?"}


def test_over_the_wire_an_answer_that_is_none_names_its_path() -> None:
    with pytest.raises(CallError, match="`answer` is no text") as caught:
        complete({"answer": 5})
    assert caught.value.kind == "protocol"


def test_over_the_wire_an_error_status_stays_one() -> None:
    with pytest.raises(CallError, match="status 422") as caught:
        complete({"detail": "no"}, status=422)
    assert (caught.value.status, caught.value.fault) == (422, "general")


def test_a_changed_template_is_another_target() -> None:
    def identity(spec: AppSpec) -> Any:
        return HttpVendor("app", AppDialect(spec), base_url="http://127.0.0.1:1/answer").identity

    assert identity(AppSpec()) == identity(AppSpec())
    assert identity(AppSpec()) != identity(AppSpec(request={"q": "{{ question }}"}))
    assert identity(AppSpec()) != identity(AppSpec(answer=AnswerSpec(text="data.text")))


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/answer/", "http://h/answer?tenant=7", "https://h"])
def test_the_address_of_an_application_is_taken_whole(address: str) -> None:
    target = HttpVendor("own", AppDialect(AppSpec()), base_url=address, whole=True)
    assert str(target.identity["base_url"]).rpartition("/")[2] == address.rpartition("/")[2]
    with pytest.raises(ConfigError, match="not an address"):
        HttpVendor("own", AppDialect(AppSpec()), base_url="h/answer", whole=True)


def test_another_version_of_an_application_is_another_target() -> None:
    def identity(version: str) -> Mapping[str, Json]:
        return HttpVendor("own", AppDialect(AppSpec()), base_url="http://h/a", whole=True, version=version).identity

    assert identity("1") != identity("2")
    assert "version" not in identity("")


def test_a_template_that_needs_what_no_case_has_is_refused_before_any_call(project: ProjectFolder) -> None:
    project.configure(
        providers={"own": {"kind": "app", "base_url": "http://127.0.0.1:9/a", "request": {"plan": "{{ tariff }}"}}}
    )
    project.configure_workflow(model="own:shop")
    done = project.run("plan")
    assert done.code == ExitCode.CONFIG
    assert "undefined variable" in done.err
    assert "tariff" in done.err
