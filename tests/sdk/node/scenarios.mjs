// Runs each scenario with the official openai package; prints what happened as one JSON object.
import OpenAI from "openai";

const { BASE_URL, API_KEY } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "Hello there" }];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } } },
  },
};

async function chat(model) {
  const reply = await client.chat.completions.create({ model, messages });
  return {
    text: reply.choices[0].message.content,
    finish: reply.choices[0].finish_reason,
    usage: [reply.usage.prompt_tokens, reply.usage.completion_tokens],
  };
}

async function stream(model) {
  const chunks = await client.chat.completions.create({
    model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage = null;
  for await (const chunk of chunks) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return { text, usage: [usage.prompt_tokens, usage.completion_tokens] };
}

async function tools(model) {
  const first = await client.chat.completions.create({ model, messages, tools: [weather] });
  const call = first.choices[0].message.tool_calls[0];
  const told = [
    ...messages,
    first.choices[0].message,
    { role: "tool", tool_call_id: call.id, content: "sunny" },
  ];
  const second = await client.chat.completions.create({ model, messages: told, tools: [weather] });
  return {
    finish: first.choices[0].finish_reason,
    name: call.function.name,
    arguments: JSON.parse(call.function.arguments),
    then: second.choices[0].finish_reason,
  };
}

async function streamedTools(model) {
  const runner = client.chat.completions.stream({ model, messages, tools: [weather] });
  const message = await runner.finalMessage();
  return message.tool_calls.map((call) => JSON.parse(call.function.arguments));
}

async function embeddings(model) {
  const packed = await client.embeddings.create({ model, input: ["one two", "three"] });
  const plain = await client.embeddings.create({
    model,
    input: ["one two", "three"],
    encoding_format: "float",
  });
  const gap = packed.data[1].embedding.map((n, at) => Math.abs(n - plain.data[1].embedding[at]));
  return { size: packed.data.length, gap: Math.max(...gap) };
}

async function models() {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  return names.sort();
}

async function raised(act) {
  try {
    await act();
    return null;
  } catch (error) {
    return { name: error.constructor.name, status: error.status ?? null, code: error.code ?? null };
  }
}

async function errors() {
  const create = (body, one = client) => one.chat.completions.create({ messages, ...body });
  const stranger = new OpenAI({ baseURL: BASE_URL, apiKey: "cv_wrong", maxRetries: 0 });
  return {
    unknownModel: await raised(() => create({ model: "nothing" })),
    badValue: await raised(() => create({ model: "openai", max_tokens: -1 })),
    wrongKey: await raised(() => create({ model: "openai" }, stranger)),
    rateLimit: await raised(() => create({ model: "limited" })),
    brokenStream: await raised(async () => {
      for await (const _ of await create({ model: "broken", stream: true }));
    }),
  };
}

const families = ["openai", "anthropic", "gemini"];
const result = { embeddings: await embeddings("embedder"), models: await models() };
for (const family of families) {
  result[family] = {
    chat: await chat(family),
    stream: await stream(family),
    tools: await tools(family),
    streamedTools: await streamedTools(family),
  };
}
result.errors = await errors();
console.log(JSON.stringify(result));
