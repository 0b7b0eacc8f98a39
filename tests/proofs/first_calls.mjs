// The first calls of a newcomer with the official openai package; prints what came, as JSON.
import OpenAI from "openai";

const { BASE_URL, API_KEY } = process.env;
const client = new OpenAI({ baseURL: BASE_URL, apiKey: API_KEY, maxRetries: 0 });
const model = "demo";
const messages = [{ role: "user", content: "Hello from Node" }];

const told = (response, content, usage) => ({
  id: response.headers.get("x-request-id").replaceAll("-", ""),
  content,
  usage: [usage.prompt_tokens, usage.completion_tokens ?? 0],
});

async function chat() {
  const { data, response } = await client.chat.completions
    .create({ model, messages })
    .withResponse();
  return told(response, data.choices[0].message.content, data.usage);
}

async function stream() {
  const { data, response } = await client.chat.completions
    .create({ model, messages, stream: true, stream_options: { include_usage: true } })
    .withResponse();
  let content = "";
  let usage = null;
  for await (const chunk of data) {
    content += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  return told(response, content, usage);
}

async function embeddings() {
  const { data, response } = await client.embeddings
    .create({ model, input: "Hello from Node" })
    .withResponse();
  return told(response, `${data.data[0].embedding.length} numbers`, data.usage);
}

const models = [];
for await (const one of client.models.list()) models.push(one.id);
console.log(
  JSON.stringify({
    models,
    calls: { chat: await chat(), stream: await stream(), embeddings: await embeddings() },
  }),
);
