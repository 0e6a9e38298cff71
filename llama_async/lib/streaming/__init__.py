"""Events of streamed answers. `openai.lib.streaming` itself exports helpers of an endpoint that is not here."""
