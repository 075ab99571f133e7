"""What is kept of a receipt of the release's own kinds, where it is longer than `RECEIPT_WHOLE_BYTES_MAX`.

Rule 1. Named is what the built-in modules read, and what rules of grants read most; the rest is dropped, and
        hash and size of the whole stand beside. Shorter receipts are kept as they are.
Rule 2. These schemas refuse nothing: a receipt of any shape settles.

A provider's whole answer is such a receipt: it is settled by its usage block, wherever providers put it.
"""

from typing import Any

from splittally.core.limits import RECEIPT_WHOLE_BYTES_MAX

_ANY_KIND = ("id", "status", "usage", "cost", "total_cost", "bytes")

# Counts of tokens and their details as providers spell them, and what says which model was charged and what.
_OF_ANSWERS = (
    "prompt_tokens", "promptTokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count",
    "input_tokens", "inputTokens", "inputTokenCount", "input_token_count", "inputTextTokenCount",
    "completion_tokens", "completionTokens", "output_tokens", "outputTokens", "outputTokenCount",
    "output_token_count", "eval_count", "candidatesTokenCount", "candidates_token_count",
    "generation_token_count", "generated_tokens",
    "total_tokens", "totalTokens", "totalTokenCount", "total_token_count",
    "thoughtsTokenCount", "thoughts_token_count", "toolUsePromptTokenCount", "tool_use_prompt_token_count",
    "cached_tokens", "prompt_cache_hit_tokens", "cachedContentTokenCount", "cached_content_token_count",
    "cachedInputTokens", "cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount",
    "cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount", "cache_creation",
    "reasoning_tokens", "reasoningTokens",
    "usageMetadata", "usage_metadata", "token_usage", "tokenUsage", "usage_details", "x_groq",
    "amazon-bedrock-invocationMetrics", "billed_units", "tokens",
    "prompt_tokens_details", "input_tokens_details", "input_token_details", "promptTokensDetails",
    "inputTokenDetails", "prompt_token_details", "completion_tokens_details", "output_tokens_details",
    "output_token_details", "candidatesTokensDetails", "outputTokenDetails", "candidates_tokens_details",
    "cacheTokensDetails", "cache_tokens_details",
    "model", "modelVersion", "model_version", "service_tier", "cost_usd", "total_cost_usd", "response_cost",
    "estimated_cost", "cost_in_usd_ticks", "images", "image_count", "num_images",
)  # fmt: skip

# In these an answer, or what is said of it, stands in another map.
_ENVELOPES = ("response", "message", "metadata", "meta", "delta", "response_metadata")

_READ = {
    "http.request": ("bytes_sent", "bytes_received", "status_code"),
    "blob.put": ("size",),
    "blob.get": ("size",),
    "email.send": ("recipients",),
    "mcp.call": ("isError", "is_error"),
    "tool.call": ("isError", "is_error"),
    "shell.run": ("seconds", "exit_code"),
    "sql.execute": ("rows",),
    "task.post": ("amounts",),
}


def receipt_schema(kind: str) -> dict[str, Any]:
    """The receipt schema of one of the release's kinds."""
    named: dict[str, Any] = dict.fromkeys((*_ANY_KIND, *_READ.get(kind, ())), True)
    if kind != "llm.generate":
        return {"x-cut": RECEIPT_WHOLE_BYTES_MAX, "properties": named}
    inside = {"$ref": "#/$defs/answer"}
    named |= dict.fromkeys(_OF_ANSWERS, True) | dict.fromkeys(_ENVELOPES, inside)
    answer = {"x-cut": True, "properties": named}
    return {"x-cut": RECEIPT_WHOLE_BYTES_MAX, "properties": named, "$defs": {"answer": answer}}
