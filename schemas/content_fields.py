"""Names of fields that hold content: what somebody said, wrote, heard or looked up. Nothing under them is ever taken in.

The names are those that the GenAI semantic conventions of OpenTelemetry mark as likely to contain sensitive information,
their deprecated forms, and what the instrumentations of OpenLLMetry (`traceloop.*`, `llm.*`) and OpenInference (`input.value`,
`llm.input_messages`, …) use for the same. Instrumentations flatten: `gen_ai.prompt.0.content` is content because `gen_ai.prompt` is. Case, and
whether words are parted by dots, underscores or hyphens, makes no difference: labels and columns cannot have dots.
"""

from __future__ import annotations

import re
from functools import lru_cache

CONTENT_FIELDS = (
    # OpenTelemetry GenAI, current and deprecated.
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.tool.definitions",
    "gen_ai.retrieval.query.text",
    "gen_ai.retrieval.documents",
    "gen_ai.memory.query.text",
    "gen_ai.memory.records",
    "gen_ai.evaluation.explanation",
    "gen_ai.request.stop_sequences",
    "gen_ai.prompt",
    "gen_ai.completion",
    "gen_ai.content",
    "gen_ai.task.input",
    "gen_ai.task.output",
    "gen_ai.choice",
    "gen_ai.event.content",
    "mcp.request.argument",
    "mcp.response.value",
    # OpenLLMetry.
    "traceloop.entity.input",
    "traceloop.entity.output",
    "traceloop.prompt.template",
    "traceloop.prompt.template_variables",
    "traceloop.association.properties",
    "llm.prompts",
    "llm.prompt",
    "llm.completions",
    "llm.completion",
    "llm.content",
    "llm.request.functions",
    "llm.chat.stop_sequences",
    "db.query.embeddings.vector",
    "db.search.embeddings.vector",
    "db.query.result.document",
    # OpenInference.
    "input.value",
    "output.value",
    "llm.input_messages",
    "llm.output_messages",
    "llm.messages",
    "llm.choices",
    "llm.function_call",
    "llm.tools",
    "llm.prompt_template",
    "message.content",
    "message.contents",
    "message_content",
    "message.tool_calls",
    "message.function_call_arguments_json",
    "tool_call.function.arguments",
    "tool.parameters",
    "document.content",
    "retrieval.documents",
    "reranker.query",
    "reranker.input_documents",
    "reranker.output_documents",
    "embedding.text",
    "embedding.vector",
    "embedding.embeddings",
    # Others of OpenTelemetry that repeat what somebody wrote, or who it was.
    "exception.message",
    "exception.stacktrace",
    "error.message",
    "db.statement",
    "db.query.text",
    "db.query.parameter",
    "graphql.document",
    "url.full",
    "url.query",
    "http.url",
    "http.request.body.content",
    "http.response.body.content",
    "http.request.header",
    "http.response.header",
    "messaging.message.body",
    "user.email",
    "user.full_name",
    "user.name",
    "enduser.id",
)
"""A field is content if its name is one of these, or lies below one of these."""

NOT_CONTENT = ("gen_ai.prompt.name", "llm.prompt_template.version", "gen_ai.choice.index")
"""Names that lie below one and hold no content."""

CONTENT_WORDS = frozenset(
    [
        "transcript",
        "transcription",
        "transcripts",
        "utterance",
        "utterances",
        "prompt",
        "prompts",
        "completion",
        "completions",
        "messages",
        "message_text",
        "audio",
        "audio_bytes",
        "audio_data",
        "pcm",
        "waveform",
        "wav",
        "samples",
        "embedding",
        "embeddings",
        "voiceprint",
        "speaker_embedding",
        "system_prompt",
        "system_instructions",
        "tool_arguments",
        "tool_result",
        "ssml",
        "user_text",
        "assistant_text",
        "reply_text",
        "body",
        "raw_text",
    ]
)
"""Whole names that a voice stack gives to content, whoever they come from."""


def _spelled(name: str) -> str:
    return re.sub(r"[._\-/: ]+", "_", name.strip().lower())


_EXACT = re.compile("|".join(re.escape(_spelled(name)) for name in CONTENT_FIELDS) + r"|gen_ai_[a-z]+_message")
_BELOW = re.compile(rf"(?:{_EXACT.pattern})(?:_.*)?", re.DOTALL)
_HARMLESS = frozenset(map(_spelled, NOT_CONTENT))
NAME_LENGTH_MAX = 256


@lru_cache(maxsize=4_096)
def _is_content(name: str) -> bool:
    spelled = _spelled(name)
    if spelled in _HARMLESS:
        return False
    return spelled in CONTENT_WORDS or _BELOW.fullmatch(spelled) is not None


def is_content_field(name: str) -> bool:
    """Whether a field, attribute, label, event or column of this name holds content.

    >>> [is_content_field(name) for name in ("gen_ai.prompt.0.content", "gen_ai_input_messages", "gen_ai.user.message")]
    [True, True, True]
    >>> [is_content_field(name) for name in ("gen_ai.request.model", "gen_ai.usage.input_tokens", "gen_ai.prompt.name")]
    [False, False, False]
    """
    return _is_content(name[:NAME_LENGTH_MAX])
