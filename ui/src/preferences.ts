import { effect, signal } from "@preact/signals";

export const LANGUAGES = ["en", "ko"] as const;
export type Language = (typeof LANGUAGES)[number];

export const THEMES = ["auto", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** What the reader chose last time, else what the browser asks for. */
export const language = signal<Language>(
  remembered("language", LANGUAGES) ?? (navigator.language.startsWith("ko") ? "ko" : "en"),
);
export const theme = signal<Theme>(remembered("theme", THEMES) ?? "auto");

effect(() => {
  document.documentElement.lang = language.value;
  localStorage.setItem("language", language.value);
});

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem("theme", theme.value);
});

function remembered<Choice extends string>(name: string, choices: readonly Choice[]): Choice | undefined {
  const found = localStorage.getItem(name);
  return choices.find((choice) => choice === found);
}
