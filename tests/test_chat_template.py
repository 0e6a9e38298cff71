"""Templates that a client or a request brings along instead of the model's own: Jinja text, or the name of a format."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from jinja_oracle import render
from support import CLIENT_OPTIONS, QUESTION, gather
from tools.tiny_models import llama_model

from llama_async import AsyncLlama, BadRequestError, OptionError
from llama_async._chat_formats import chat_formats, chat_template

ONLY_ASYNCIO = True

pytestmark = pytest.mark.anyio

TEMPLATE = "{% for message in messages %}[{{ message.role }}]{{ message.content }}{% endfor %}[assistant]"
GREEDY: dict[str, Any] = {"model": "default", "messages": QUESTION, "temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
async def client(anyio_backend: Any, model_path: Path) -> AsyncIterator[AsyncLlama]:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS) as client:
        yield client


def body(template: object, **more: object) -> dict[str, Any]:
    return {"extra_body": {"cache_prompt": False, "chat_template": template, **more}}


# -- by request --------------------------------------------------------------------------------------------------------


async def test_a_request_brings_its_template(client: AsyncLlama) -> None:
    prompt = await client.apply_template(QUESTION, extra_body={"chat_template": TEMPLATE})
    assert prompt == f"[user]{QUESTION[0]['content']}[assistant]"
    completion = await client.chat.completions.create(**GREEDY, **body(TEMPLATE))
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == await client.count_tokens(prompt)
    # The next one has the model's own again.
    own = await client.chat.completions.create(**GREEDY)
    assert own.usage is not None
    assert own.usage.prompt_tokens == await client.count_tokens(QUESTION)


async def test_its_variables_are_given_beside_it(client: AsyncLlama) -> None:
    extra = {"chat_template": "{{ tag }}{{ messages[0].content }}", "chat_template_kwargs": {"tag": "#"}}
    assert await client.apply_template(QUESTION, extra_body=extra) == f"#{QUESTION[0]['content']}"


async def test_requests_with_many_templates_at_once(client: AsyncLlama) -> None:
    # More of them than are kept compiled.
    async def ask(index: int) -> str:
        return await client.apply_template(QUESTION, extra_body={"chat_template": f"{TEMPLATE}{index % 40}"})

    prompts = await gather(*(lambda index=index: ask(index) for index in range(80)))
    assert prompts == [f"[user]{QUESTION[0]['content']}[assistant]{index % 40}" for index in range(80)]


async def test_a_model_without_a_template_takes_one(tmp_path: Path) -> None:
    path = llama_model(chat_template=None).save(tmp_path / "base.gguf")
    async with AsyncLlama(path, n_ctx=256, n_threads=1) as client:
        with pytest.raises(BadRequestError, match="chat_template"):
            await client.apply_template(QUESTION)
        assert await client.apply_template(QUESTION, extra_body={"chat_template": "alpaca"})
        assert (await client.chat.completions.create(**{**GREEDY, "max_tokens": 1}, **body("alpaca"))).choices


@pytest.mark.parametrize(
    "template",
    ["", 3, "no-such-format", "\ud800{{ messages }}", "{" + "x" * (1 << 18)],
    ids=["empty", "number", "name", "surrogate", "long"],
)
async def test_what_is_no_template_is_refused_by_name(client: AsyncLlama, template: object) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.chat.completions.create(**GREEDY, **body(template))
    assert caught.value.param == "chat_template"


@pytest.mark.parametrize(
    "template",
    [
        "{% for %}",
        "{{ messages[0].content",
        "{% import 'os' as os %}{{ os }}",
        "{% include '/etc/passwd' %}",
        "{% extends 'base' %}",
        "{{ " + "(" * 200 + ")" * 200 + " }}",
        "{#- stop: [1] -#}{{ messages[0].content }}",
    ],
)
async def test_a_template_that_cannot_be_compiled_is_refused_by_name(client: AsyncLlama, template: str) -> None:
    with pytest.raises(BadRequestError) as caught:
        await client.apply_template(QUESTION, extra_body={"chat_template": template})
    assert caught.value.param == "chat_template"


async def test_an_unknown_name_is_answered_with_the_known_ones(client: AsyncLlama) -> None:
    with pytest.raises(BadRequestError, match=r"alpaca.*zephyr"):
        await client.apply_template(QUESTION, extra_body={"chat_template": "lama-2"})


# -- by client ---------------------------------------------------------------------------------------------------------


async def test_a_client_names_a_format(model_path: Path) -> None:
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template="vicuna") as client:
        prompt = await client.apply_template(QUESTION)
        assert prompt.endswith(f"USER: {QUESTION[0]['content']} ASSISTANT:")
        # A request's own goes before it.
        assert await client.apply_template(QUESTION, extra_body={"chat_template": TEMPLATE}) != prompt


def test_a_client_is_told_of_a_wrong_name_at_once() -> None:
    with pytest.raises(OptionError, match="vicuna") as caught:
        AsyncLlama("no-such-file.gguf", chat_template="vicunia")
    assert caught.value.param == "chat_template"


# -- where answers end -------------------------------------------------------------------------------------------------

COUNT: Any = {"messages": [{"role": "user", "content": "Count: one, two, three,"}], "max_tokens": 24}


async def test_a_template_says_where_answers_end(client: AsyncLlama, model_path: Path) -> None:
    plain = chat_template("chatml")
    free = await client.chat.completions.create(**{**GREEDY, **COUNT}, **body(plain))
    words = (free.choices[0].message.content or "").split()
    assert len(words) > 3
    ending = plain.replace('"<|im_end|>"', f'"{words[2]}"', 1)
    assert ending != plain
    ended = await client.chat.completions.create(**{**GREEDY, **COUNT}, **body(ending))
    assert ended.choices[0].finish_reason == "stop"
    assert (ended.choices[0].message.content or "").split() == words[: words.index(words[2])]
    async with AsyncLlama(model_path, **CLIENT_OPTIONS, chat_template=ending) as other:
        again = await other.chat.completions.create(**{**GREEDY, **COUNT})
        assert again.choices[0].message.content == ended.choices[0].message.content
        # Not those of a request's own template.
        longer = await other.chat.completions.create(**{**GREEDY, **COUNT}, **body(plain))
        assert longer.choices[0].message.content == free.choices[0].message.content


# -- the formats -------------------------------------------------------------------------------------------------------

SYSTEM = {"role": "system", "content": "Be S."}
TURNS: Any = [
    {"role": "user", "content": "U1"},
    {"role": "assistant", "content": "A1"},
    {"role": "user", "content": "U2"},
]
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and"
    " polite answers to the user's questions. "
)
ALPACA = "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
SNOOZY = (
    "### Instruction:\nThe prompt below is a question to answer, a task to complete, or a conversation to respond to;"
    " decide which and write an appropriate response.\n"
)
FUNCTIONARY = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and"
    " polite answers to the user's questions. The assistant calls functions with appropriate input when necessary"
)
QWEN = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
PHIND = "### System Prompt\nYou are an intelligent programming assistant.\n\n"

CHATML = (
    "<|im_start|>system\nBe S.<|im_end|>\n",
    "<|im_start|>user\nU1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nU2<|im_end|>\n<|im_start|>assistant\n",
)

# What comes before the turns with a system message and without one, and the turns; BOS is <s>, EOS </s>. As the models'
# own documentation has it, which llama-cpp-python's code does not always reach.
FORMATS: dict[str, tuple[str, str, str]] = {
    "alpaca": (
        "Be S.\n\n",
        ALPACA,
        "### Instruction:\nU1\n\n### Response:A1</s>\n\n### Instruction:\nU2\n\n### Response:",
    ),
    "baichuan": ("Be S.", "", "<reserved_102>U1<reserved_103>A1<reserved_102>U2<reserved_103>"),
    "baichuan-2": ("Be S.", "", "<reserved_106>U1<reserved_107>A1<reserved_106>U2<reserved_107>"),
    "chatglm3": ("<|system|>\nBe S.", "", "<|user|>\n U1<|assistant|>\n A1<|user|>\n U2<|assistant|>"),
    "chatml": (CHATML[0], "", CHATML[1]),
    "chatml-function-calling": (CHATML[0], "", CHATML[1]),
    "functionary": (
        f"system:\n{FUNCTIONARY}\nsystem:\nBe S.\n",
        f"system:\n{FUNCTIONARY}\n",
        "user:\n</s>U1</s>\nassistant:\nA1\nuser:\n</s>U2</s>\nassistant:\n",
    ),
    "functionary-v1": (
        f"system:\n{FUNCTIONARY}<|END_OF_SYSTEM|>\nsystem:\nBe S.<|END_OF_SYSTEM|>\n",
        f"system:\n{FUNCTIONARY}<|END_OF_SYSTEM|>\n",
        ("user:\nU1<|END_OF_USER|>\nassistant:\nA1<|END_OF_ASSISTANT|>\nuser:\nU2<|END_OF_USER|>\nassistant:\n"),
    ),
    "functionary-v2": (
        (
            f"<|from|>system\n<|recipient|>all\n<|content|>{FUNCTIONARY}\n"
            "<|from|>system\n<|recipient|>all\n<|content|>Be S.\n"
        ),
        f"<|from|>system\n<|recipient|>all\n<|content|>{FUNCTIONARY}\n",
        (
            "<|from|>user\n<|recipient|>all\n<|content|>U1\n<|from|>assistant\n<|recipient|>all\n<|content|>A1<|stop|>\n"
            "<|from|>user\n<|recipient|>all\n<|content|>U2\n<|from|>assistant\n<|recipient|>all\n<|content|>"
        ),
    ),
    "intel": ("### System:\nBe S.\n", "", "### User:\nU1\n### Assistant:\nA1\n### User:\nU2\n### Assistant:\n"),
    "llama-3": (
        "<s><|start_header_id|>system<|end_header_id|>\n\nBe S.<|eot_id|>",
        "<s>",
        (
            "<|start_header_id|>user<|end_header_id|>\n\nU1<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nA1<|eot_id|>"
            "<|start_header_id|>user<|end_header_id|>\n\nU2<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
    ),
    "mistrallite": (
        "<|system|>Be S.</s>",
        "",
        "<|prompter|>U1</s><|assistant|>A1</s><|prompter|>U2</s><|assistant|>",
    ),
    "oasst_llama": (
        "[INST] <<SYS>>\nBe S.\n<</SYS>>\n\n",
        "",
        "<|prompter|>U1</s><|assistant|>A1</s><|prompter|>U2</s><|assistant|>",
    ),
    "open-orca": (
        "Be S.<|end_of_turn|>\n",
        "",
        "User: U1<|end_of_turn|>\nAssistant: A1<|end_of_turn|>\nUser: U2<|end_of_turn|>\nAssistant: ",
    ),
    "openbuddy": ("Be S.\n\n", "", "User: U1\nAssistant: A1\nUser: U2\nAssistant:"),
    "openchat": (
        "<s>Be S.<|end_of_turn|>",
        "<s>",
        (
            "GPT4 Correct User: U1<|end_of_turn|>GPT4 Correct Assistant: A1<|end_of_turn|>"
            "GPT4 Correct User: U2<|end_of_turn|>GPT4 Correct Assistant:"
        ),
    ),
    "phi-3": (
        "<|system|>\nBe S.<|end|>\n",
        "",
        "<|user|>\nU1<|end|>\n<|assistant|>\nA1<|end|>\n<|user|>\nU2<|end|>\n<|assistant|>\n",
    ),
    "phind": (
        "### System Prompt\nBe S.\n\n",
        PHIND,
        "### User Message\nU1\n\n### Assistant\nA1\n\n### User Message\nU2\n\n### Assistant\n",
    ),
    "pygmalion": ("<|system|>Be S.", "", "<|user|>U1<|model|>A1<|user|>U2<|model|>"),
    "qwen": (CHATML[0], QWEN, CHATML[1]),
    "redpajama-incite": ("Be S.\n", "", "<human>: U1\n<bot>: A1\n<human>: U2\n<bot>:"),
    "saiga": ("<s>system\nBe S.</s>", "", "<s>user\nU1</s><s>bot\nA1</s><s>user\nU2</s><s>bot"),
    "snoozy": (
        "### Instruction:\nBe S.\n",
        SNOOZY,
        "### Prompt: U1\n### Response: A1\n### Prompt: U2\n### Response:",
    ),
    "vicuna": ("Be S. ", VICUNA, "USER: U1 ASSISTANT: A1</s>USER: U2 ASSISTANT:"),
    "zephyr": (
        "<|system|>\nBe S.</s>\n",
        "",
        "<|user|>\nU1</s>\n<|assistant|>\nA1</s>\n<|user|>\nU2</s>\n<|assistant|>\n",
    ),
}
# Those whose system message stands within the user's turn: the whole prompt with it, and without.
WITHIN: dict[str, tuple[str, str]] = {
    "gemma": (
        (
            "<s><start_of_turn>user\nBe S.\n\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
            "<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n"
        ),
        (
            "<s><start_of_turn>user\nU1<end_of_turn>\n<start_of_turn>model\nA1<end_of_turn>\n"
            "<start_of_turn>user\nU2<end_of_turn>\n<start_of_turn>model\n"
        ),
    ),
    "llama-2": (
        "<s>[INST] <<SYS>>\nBe S.\n<</SYS>>\n\nU1 [/INST] A1 </s><s>[INST] U2 [/INST]",
        "<s>[INST] U1 [/INST] A1 </s><s>[INST] U2 [/INST]",
    ),
    "mistral-instruct": (
        "<s>[INST] Be S.\n\nU1 [/INST] A1</s>[INST] U2 [/INST]",
        "<s>[INST] U1 [/INST] A1</s>[INST] U2 [/INST]",
    ),
}


def of_this_vocabulary(prompt: str) -> str:
    return prompt.replace("<s>", "<|im_start|>").replace("</s>", "<|im_end|>")


@pytest.mark.parametrize("name", chat_formats())
async def test_a_format_is_what_its_models_were_trained_with(client: AsyncLlama, name: str) -> None:
    if name in WITHIN:
        with_system, without = WITHIN[name]
    else:
        system, default, turns = FORMATS[name]
        with_system, without = system + turns, default + turns
    for messages, wanted in (([SYSTEM, *TURNS], with_system), (TURNS, without)):
        assert await client.apply_template(messages, extra_body={"chat_template": name}) == of_this_vocabulary(wanted)
        assert (
            render(
                chat_template(name), messages=messages, bos_token="<s>", eos_token="</s>", add_generation_prompt=True
            )
            == wanted
        )


def test_there_is_an_expectation_for_each_format() -> None:
    assert sorted([*FORMATS, *WITHIN]) == list(chat_formats())
