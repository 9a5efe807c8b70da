import { useEffect, useState } from "preact/hooks";

import { postJson } from "../../api";

/** What POST /v1/audio/prompts answers. */
export interface Reading {
  characters: number;
  max_characters: number;
  languages: string[];
  utterances: { text: string; language: string; tokens: number }[];
  sampling: { temperature: number; top_k: number; top_p: number; repetition_penalty: number; noise_scale: number };
}

/** As GET /v1/models describes it. */
export interface Model {
  id: string;
  family: string;
  variant: string;
  languages: string[];
  voices: { name: string }[];
}

const PAUSE_MS = 350; // in typing, after which it is worth asking

/** What the submission would read of a text; keeps the last answer while the next is on its way. */
export function useReading(model: string | undefined, input: string, language: string): { reading: Reading | null; error: unknown } {
  const [state, setState] = useState<{ reading: Reading | null; error: unknown }>({ reading: null, error: null });
  useEffect(() => {
    if (model === undefined || !input.trim()) return setState(({ reading }) => ({ reading, error: null }));
    const asking = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const body = { model, input, language: language || null };
        const reading = await postJson<Reading>("/v1/audio/prompts", body, { signal: asking.signal });
        setState({ reading, error: null });
      } catch (error) {
        if (!asking.signal.aborted) setState(({ reading }) => ({ reading, error }));
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      asking.abort();
    };
  }, [model, input, language]);
  return state;
}
