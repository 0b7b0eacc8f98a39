"""OpenAI's shapes, for the OpenAPI description (platform.openai.com/docs/api-reference).

The pipeline neither parses nor renders with them: bodies pass through as bytes.
"""

from __future__ import annotations

from rest_framework import serializers


class ErrorDetailSerializer(serializers.Serializer[dict[str, object]]):
    message = serializers.CharField(help_text="What is wrong and how to mend it.")
    type = serializers.CharField()
    param = serializers.CharField(allow_null=True, help_text="The field that is wrong.")
    code = serializers.CharField(allow_null=True, help_text="Stable; branch on it.")


class ErrorSerializer(serializers.Serializer[dict[str, object]]):
    error = ErrorDetailSerializer()


class StreamOptionsSerializer(serializers.Serializer[dict[str, object]]):
    include_usage = serializers.BooleanField(
        required=False, help_text="Send one more chunk with the usage before the end."
    )


class MessageSerializer(serializers.Serializer[dict[str, object]]):
    role = serializers.ChoiceField(["system", "developer", "user", "assistant", "tool"])
    content = serializers.JSONField(
        help_text="Text, or a list of parts: text, image_url, input_audio, file."
    )
    name = serializers.CharField(required=False)
    tool_calls = serializers.ListField(child=serializers.DictField(), required=False)
    tool_call_id = serializers.CharField(required=False)


class GenerationSerializer(serializers.Serializer[dict[str, object]]):
    """What chat and legacy completions share."""

    model = serializers.CharField(
        help_text="An alias of this ChatVault; GET /v1/models lists them."
    )
    max_tokens = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="Most tokens of one choice."
    )
    n = serializers.IntegerField(required=False, min_value=1, max_value=128, default=1)
    stop = serializers.JSONField(required=False, help_text="Text, or up to four texts.")
    stream = serializers.BooleanField(required=False, default=False)
    stream_options = StreamOptionsSerializer(required=False)
    temperature = serializers.FloatField(required=False, min_value=0, max_value=2)
    top_p = serializers.FloatField(required=False, min_value=0, max_value=1)
    seed = serializers.IntegerField(required=False)
    user = serializers.CharField(required=False)


class ChatCompletionRequestSerializer(GenerationSerializer):
    messages = MessageSerializer(many=True)
    max_completion_tokens = serializers.IntegerField(
        required=False, min_value=1, max_value=2**31 - 1, help_text="Follows `max_tokens`."
    )
    tools = serializers.ListField(child=serializers.DictField(), required=False)
    tool_choice = serializers.JSONField(required=False)
    parallel_tool_calls = serializers.BooleanField(required=False)
    response_format = serializers.DictField(required=False)
    logprobs = serializers.BooleanField(required=False)
    top_logprobs = serializers.IntegerField(required=False, min_value=0, max_value=20)
    reasoning_effort = serializers.CharField(required=False)


class CompletionRequestSerializer(GenerationSerializer):
    prompt = serializers.JSONField(help_text="Text, texts, tokens or lists of tokens.")
    best_of = serializers.IntegerField(required=False, min_value=1, max_value=128)
    suffix = serializers.CharField(required=False)
    echo = serializers.BooleanField(required=False)


class EmbeddingRequestSerializer(serializers.Serializer[dict[str, object]]):
    model = serializers.CharField(help_text="An alias of this ChatVault.")
    input = serializers.JSONField(help_text="Text, texts, tokens or lists of tokens.")
    dimensions = serializers.IntegerField(required=False, min_value=1)
    encoding_format = serializers.ChoiceField(["float", "base64"], required=False)
    user = serializers.CharField(required=False)


class PromptDetailsSerializer(serializers.Serializer[dict[str, object]]):
    cached_tokens = serializers.IntegerField(required=False)
    audio_tokens = serializers.IntegerField(required=False)


class CompletionDetailsSerializer(serializers.Serializer[dict[str, object]]):
    reasoning_tokens = serializers.IntegerField(required=False)
    audio_tokens = serializers.IntegerField(required=False)


class UsageSerializer(serializers.Serializer[dict[str, object]]):
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField(required=False)
    total_tokens = serializers.IntegerField()
    prompt_tokens_details = PromptDetailsSerializer(required=False)
    completion_tokens_details = CompletionDetailsSerializer(required=False)


class ChoiceSerializer(serializers.Serializer[dict[str, object]]):
    index = serializers.IntegerField()
    message = MessageSerializer()
    logprobs = serializers.DictField(allow_null=True, required=False)
    finish_reason = serializers.ChoiceField(["stop", "length", "tool_calls", "content_filter"])


class ChatCompletionSerializer(serializers.Serializer[dict[str, object]]):
    id = serializers.CharField()
    object = serializers.CharField(help_text="Always `chat.completion`.")
    created = serializers.IntegerField(help_text="Seconds since the epoch.")
    model = serializers.CharField(help_text="Who really answered, as the provider says.")
    choices = ChoiceSerializer(many=True)
    usage = UsageSerializer(required=False)


class TextChoiceSerializer(serializers.Serializer[dict[str, object]]):
    index = serializers.IntegerField()
    text = serializers.CharField()
    finish_reason = serializers.CharField()


class CompletionSerializer(serializers.Serializer[dict[str, object]]):
    id = serializers.CharField()
    object = serializers.CharField(help_text="Always `text_completion`.")
    created = serializers.IntegerField()
    model = serializers.CharField()
    choices = TextChoiceSerializer(many=True)
    usage = UsageSerializer(required=False)


class EmbeddingSerializer(serializers.Serializer[dict[str, object]]):
    index = serializers.IntegerField()
    object = serializers.CharField(help_text="Always `embedding`.")
    embedding = serializers.ListField(child=serializers.FloatField())


class EmbeddingListSerializer(serializers.Serializer[dict[str, object]]):
    object = serializers.CharField(help_text="Always `list`.")
    model = serializers.CharField()
    data = EmbeddingSerializer(many=True)  # type: ignore[assignment]
    usage = UsageSerializer()


class ModelSerializer(serializers.Serializer[dict[str, object]]):
    id = serializers.CharField()
    object = serializers.CharField(help_text="Always `model`.")
    created = serializers.IntegerField()
    owned_by = serializers.CharField()


class ModelListSerializer(serializers.Serializer[dict[str, object]]):
    object = serializers.CharField(help_text="Always `list`.")
    data = ModelSerializer(many=True)  # type: ignore[assignment]


class ProbeSerializer(serializers.Serializer[dict[str, object]]):
    status = serializers.CharField()
