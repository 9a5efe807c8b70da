import { key } from "../../key";
import type { Wish } from "./speech";

/** The same request as a command and as a program. The key is never written out. */
export function curl(wish: Wish): string {
  const authorization = key.value ? ["-H 'authorization: Bearer YOUR-KEY'"] : [];
  return [
    `curl ${location.origin}/v1/audio/speech`,
    "-H 'content-type: application/json'",
    ...authorization,
    `-d ${shellQuoted(JSON.stringify({ ...wish, response_format: "mp3" }))}`,
    "-o speech.mp3",
  ].join(" \\\n  ");
}

export function python({ model, voice, input, speed, ...extra }: Wish): string {
  const known = { model, voice, input, ...(speed === undefined ? {} : { speed }), response_format: "mp3" };
  const extras = Object.entries(extra).map(([name, value]) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return [
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url="${location.origin}/v1", api_key="${key.value ? "YOUR-KEY" : "unused"}")`,
    "with client.audio.speech.with_streaming_response.create(",
    ...Object.entries(known).map(([name, value]) => `    ${name}=${JSON.stringify(value)},`),
    `    extra_body={${extras.join(", ")}},`,
    ") as response:",
    '    response.stream_to_file("speech.mp3")',
  ].join("\n");
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
