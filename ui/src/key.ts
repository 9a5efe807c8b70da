import { signal } from "@preact/signals";

const NAME = "api-key";

/** The API key: remembered by the browser or, if the reader prefers, by this tab only. */
export const key = signal(sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME));

/** Set while the dialog is open: it resolves the requests that wait for the key. */
export const question = signal<{ wasWrong: boolean; answer: (given: boolean) => void } | null>(null);

let asking: Promise<boolean> | null = null;

/** Asks the reader for the key, once however many requests want it. False: the reader has none. */
export function askForKey(): Promise<boolean> {
  asking ??= new Promise<boolean>((resolve) => {
    question.value = { wasWrong: key.value !== null, answer: resolve };
  }).finally(() => {
    asking = null;
    question.value = null;
  });
  return asking;
}

export function setKey(given: string, isRemembered: boolean): void {
  key.value = given;
  sessionStorage.setItem(NAME, given);
  if (isRemembered) localStorage.setItem(NAME, given);
  else localStorage.removeItem(NAME);
}
