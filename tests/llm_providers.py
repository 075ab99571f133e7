"""How large providers count and bill tokens, small and slow; the tests compare the module with it.

A call used `Used` tokens. Each function of `USAGES` says that in one provider's words. Each of `REQUESTS`
makes a request and says how many tokens its prompt has at most: a byte is one, and a template adds its own.
"""

from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

from hypothesis import strategies as st

NATURAL_MAX = 2**64 - 1


class Used(NamedTuple):
    """Tokens by what they are, each counted once."""

    plain: int = 0
    cached: int = 0
    written: int = 0
    said: int = 0
    thought: int = 0

    @property
    def prompt(self) -> int:
        return self.plain + self.cached + self.written

    @property
    def completion(self) -> int:
        return self.said + self.thought


def openai_chat(used: Used) -> Any:
    return {
        "usage": {
            "prompt_tokens": used.prompt,
            "completion_tokens": used.completion,
            "total_tokens": used.prompt + used.completion,
            "prompt_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
            "completion_tokens_details": {"reasoning_tokens": used.thought},
        }
    }


def openai_responses(used: Used) -> Any:
    usage = {
        "input_tokens": used.prompt,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
        "output_tokens": used.completion,
        "output_tokens_details": {"reasoning_tokens": used.thought},
        "total_tokens": used.prompt + used.completion,
    }
    return {"type": "response.completed", "response": {"usage": usage}}


def anthropic(used: Used) -> Any:
    return {
        "usage": {
            "input_tokens": used.plain,
            "cache_read_input_tokens": used.cached,
            "cache_creation_input_tokens": used.written,
            "cache_creation": {
                "ephemeral_5m_input_tokens": used.written // 2,
                "ephemeral_1h_input_tokens": used.written - used.written // 2,
            },
            "output_tokens": used.completion,
            "service_tier": "standard",
        }
    }


def gemini(used: Used) -> Any:
    usage = {
        "promptTokenCount": used.plain + used.cached,
        "cachedContentTokenCount": used.cached,
        "toolUsePromptTokenCount": used.written,
        "candidatesTokenCount": used.said,
        "thoughtsTokenCount": used.thought,
        "totalTokenCount": used.prompt + used.completion,
    }
    return {"usageMetadata": {name: count for name, count in usage.items() if count}}  # a zero is left out


def vertex(used: Used) -> Any:
    return {
        "usage_metadata": {
            "prompt_token_count": used.prompt,
            "cached_content_token_count": used.cached,
            "candidates_token_count": used.said,
            "thoughts_token_count": used.thought or None,
            "total_token_count": used.prompt + used.completion,
        }
    }


def bedrock(used: Used) -> Any:
    usage = {
        "inputTokens": used.plain,
        "cacheReadInputTokens": used.cached,
        "cacheWriteInputTokens": used.written,
        "outputTokens": used.completion,
        "totalTokens": used.prompt + used.completion,
    }
    return {"metadata": {"usage": usage, "metrics": {"latencyMs": 551}}}


def cohere(used: Used) -> Any:
    billed = {"input_tokens": used.prompt, "output_tokens": used.completion}
    tokens = {"input_tokens": used.prompt + 67, "output_tokens": used.completion + 2}
    return {"meta": {"api_version": {"version": "1"}, "billed_units": billed, "tokens": tokens}}


def deepseek(used: Used) -> Any:
    return {
        "usage": {
            "prompt_tokens": used.prompt,
            "prompt_cache_hit_tokens": used.cached,
            "prompt_cache_miss_tokens": used.plain + used.written,
            "completion_tokens": used.completion,
            "completion_tokens_details": {"reasoning_tokens": used.thought},
        }
    }


def xai(used: Used) -> Any:
    return {
        "usage": {
            "prompt_tokens": used.prompt,
            "completion_tokens": used.said,
            "total_tokens": used.prompt + used.completion,
            "prompt_tokens_details": {"cached_tokens": used.cached},
            "completion_tokens_details": {"reasoning_tokens": used.thought},
        }
    }


def ollama(used: Used) -> Any:
    return {"response": "…", "prompt_eval_count": used.prompt, "eval_count": used.completion}


def langchain(used: Used) -> Any:
    return {
        "usage_metadata": {
            "input_tokens": used.prompt,
            "output_tokens": used.completion,
            "total_tokens": used.prompt + used.completion,
            "input_token_details": {"cache_read": used.cached, "cache_creation": used.written},
            "output_token_details": {"reasoning": used.thought},
        }
    }


# Beside each shape which parts it tells apart; the others are billed as the plain prompt or completion.
USAGES: dict[str, tuple[Callable[[Used], Any], set[str]]] = {
    "openai chat": (openai_chat, {"cached", "written", "thought"}),
    "openai responses": (openai_responses, {"cached", "written", "thought"}),
    "anthropic": (anthropic, {"cached", "written"}),
    "gemini": (gemini, {"cached", "thought"}),
    "vertex": (vertex, {"cached", "thought"}),
    "bedrock": (bedrock, {"cached", "written"}),
    "cohere": (cohere, set()),
    "deepseek": (deepseek, {"cached", "thought"}),
    "xai": (xai, {"cached", "thought"}),
    "ollama": (ollama, set()),
    "langchain": (langchain, {"cached", "written", "thought"}),
}


def cost(row: dict[str, Any], used: Used, told: set[str]) -> int:
    """What a call costs by a row, as the providers add it up: exact, rounded up once."""
    prices = dict(row)
    for tier in row.get("tiers", []):
        if tier["above"] < used.prompt:
            prices = row | {name: price for name, price in tier.items() if name != "above"}
    names = {
        "plain": "prompt",
        "cached": "cached",
        "written": "cache_write",
        "said": "completion",
        "thought": "reasoning",
    }
    whole = {
        "plain": "prompt",
        "cached": "prompt",
        "written": "prompt",
        "said": "completion",
        "thought": "completion",
    }
    total = Fraction(0)
    for part, count in used._asdict().items():
        name = names[part] if part in told else whole[part]
        total += Fraction(count * prices.get(name, prices[whole[part]]), 10**6)
    return ceil(total + row.get("call", 0))


# --- requests ----------------------------------------------------------------------------------------

PICTURE_TOKENS = 4_784  # the most that Anthropic, OpenAI's larger models and Gemini take for one
TEMPLATE_TOKENS = 40  # of a request: a system text of the template's own
MESSAGE_TOKENS = 7
TOOLS_TOKENS = 530  # the text that lets a model use tools
TOOL_TOKENS = 8

texts = st.one_of(st.text(max_size=40), st.sampled_from(["word " * 50, "{", "π" * 20, ""]))
schemas = st.recursive(
    st.one_of(
        st.text(max_size=8), st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), st.floats(0, 1)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)


def size(text: str) -> int:
    return len(text.encode())


def written_size(value: Any) -> int:
    """The bytes of a value as a template writes it: JSON without escapes."""
    match value:
        case str():
            return size(value) + 2
        case list():
            return 2 + sum(written_size(item) + 1 for item in value)
        case dict():
            return 2 + sum(size(key) + 3 + written_size(item) + 1 for key, item in value.items())
        case None | bool():
            return len(str(value)) + 1
        case _:
            return len(str(value))


class Asked(NamedTuple):
    """A request and the tokens that its prompt has at most."""

    params: dict[str, Any]
    prompt: int


@st.composite
def openai_requests(draw: st.DrawFn) -> Asked:
    prompt, messages = TEMPLATE_TOKENS, []
    for role in draw(st.lists(st.sampled_from(["system", "user", "assistant"]), min_size=1, max_size=4)):
        parts, text = [], draw(texts)
        prompt += MESSAGE_TOKENS + size(text)
        if draw(st.booleans()):
            parts = [{"type": "text", "text": text}]
            if draw(st.booleans()):
                url = draw(
                    st.sampled_from(["https://example.com/a.png", "data:image/png;base64," + "A" * 9000])
                )
                parts.append({"type": "image_url", "image_url": {"url": url, "detail": "high"}})
                prompt += PICTURE_TOKENS
        messages.append({"role": role, "content": parts or text})
    params: dict[str, Any] = {"messages": messages}
    if draw(st.booleans()):
        schema = draw(st.dictionaries(st.text(max_size=8), schemas, max_size=4))
        params["response_format"] = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
        prompt += written_size(schema)
    tools = draw(st.lists(st.dictionaries(st.text(max_size=8), schemas, max_size=4), max_size=3))
    if tools:
        params["tools"] = [
            {"type": "function", "function": {"name": "find", "description": "d", "parameters": each}}
            for each in tools
        ]
        prompt += TOOLS_TOKENS + sum(TOOL_TOKENS + len("findd") + written_size(each) for each in tools)
    return Asked(params, prompt)


@st.composite
def anthropic_requests(draw: st.DrawFn) -> Asked:
    system = draw(texts)
    prompt, messages = TEMPLATE_TOKENS + size(system), []
    for _ in range(draw(st.integers(1, 3))):
        text, used = draw(texts), draw(st.dictionaries(st.text(max_size=8), schemas, max_size=3))
        parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
        parts.append({"type": "tool_use", "id": "toolu_1", "name": "find", "input": used})
        prompt += MESSAGE_TOKENS + size(text) + len("toolu_1find") + TOOL_TOKENS + written_size(used)
        if draw(st.booleans()):
            source = draw(
                st.sampled_from(
                    [
                        {"type": "base64", "media_type": "image/png", "data": "A" * 5000},
                        {"type": "url", "url": "https://example.com/a.png"},
                        {"type": "file", "file_id": "file_1"},
                    ]
                )
            )
            parts.append({"type": "image", "source": source})
            prompt += PICTURE_TOKENS
        messages.append({"role": "user", "content": parts})
    params: dict[str, Any] = {"system": [{"type": "text", "text": system}], "messages": messages}
    if draw(st.booleans()):
        schema = draw(st.dictionaries(st.text(max_size=8), schemas, max_size=4))
        params["tools"] = [{"name": "find", "description": "d", "input_schema": schema}]
        prompt += TOOLS_TOKENS + TOOL_TOKENS + len("findd") + written_size(schema)
    return Asked(params, prompt)


@st.composite
def gemini_requests(draw: st.DrawFn) -> Asked:
    system = draw(texts)
    prompt, contents = TEMPLATE_TOKENS + size(system), []
    for text in draw(st.lists(texts, min_size=1, max_size=3)):
        parts: list[dict[str, Any]] = [{"text": text}]
        prompt += MESSAGE_TOKENS + size(text)
        if draw(st.booleans()):
            parts.append({"inlineData": {"mimeType": "audio/mp3", "data": "A" * 8000}})
            prompt += 32 * 6  # six kilobytes of speech at 8 kbit/s are six seconds
        contents.append({"role": "user", "parts": parts})
    schema = draw(st.dictionaries(st.text(max_size=8), schemas, max_size=4))
    prompt += TOOLS_TOKENS + TOOL_TOKENS + len("find") + 2 * written_size(schema)
    config = {"responseSchema": schema, "temperature": 0.5}
    tools = [{"functionDeclarations": [{"name": "find", "parameters": schema}]}]
    instruction = {"parts": [{"text": system}]}
    return Asked(
        {"systemInstruction": instruction, "contents": contents, "tools": tools, "generationConfig": config},
        prompt,
    )


@st.composite
def bedrock_requests(draw: st.DrawFn) -> Asked:
    system, text = draw(texts), draw(texts)
    schema = draw(st.dictionaries(st.text(max_size=8), schemas, max_size=4))
    content = [
        {"text": text},
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://a/b.png"}}}},
    ]
    prompt = TEMPLATE_TOKENS + MESSAGE_TOKENS + size(system) + size(text) + PICTURE_TOKENS
    prompt += TOOLS_TOKENS + TOOL_TOKENS + len("find") + written_size(schema)
    tools = [{"toolSpec": {"name": "find", "inputSchema": {"json": schema}}}]
    params = {
        "system": [{"text": system}],
        "messages": [{"role": "user", "content": content}],
        "toolConfig": {"tools": tools},
    }
    return Asked(params, prompt)


@st.composite
def responses_requests(draw: st.DrawFn) -> Asked:
    system, text = draw(texts), draw(texts)
    part = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 5000}
    given = draw(
        st.sampled_from([text, [{"role": "user", "content": [{"type": "input_text", "text": text}, part]}]])
    )
    prompt = TEMPLATE_TOKENS + MESSAGE_TOKENS + size(system) + size(text) + PICTURE_TOKENS * (given != text)
    return Asked({"instructions": system, "input": given}, prompt)


REQUESTS = {
    "openai chat": openai_requests(),
    "openai responses": responses_requests(),
    "anthropic": anthropic_requests(),
    "gemini": gemini_requests(),
    "bedrock": bedrock_requests(),
}
