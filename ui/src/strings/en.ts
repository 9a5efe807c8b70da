/** Every visible string, in English. One part per page; `ko.ts` has the same parts. */
export const en = {
  site: {
    name: "Voice Core",
    skip: "Skip to content",
    navigation: "Pages",
    language: "Language",
    languages: { en: "English", ko: "한국어" },
    theme: "Theme",
    themes: { auto: "Auto", light: "Light", dark: "Dark" },
    api: "HTTP API",
    footer: "Submitted voices, spoken and compared.",
  },
  common: {
    close: "Close",
    cancel: "Cancel",
    retry: "Try again",
    copy: "Copy",
    copied: "Copied",
    loading: "Loading…",
    unreachable: "The server does not answer. Check the connection and try again.",
    unreadable: (status: number) => `The server answered with status ${status} and nothing readable. Try again; if it stays, ask who runs the server.`,
    broken: "The page ran into an error of its own. Reload it.",
  },
  key: {
    title: "This server asks for a key",
    why: "Whoever runs it has it. It stays in this browser and is sent to this server only.",
    label: "API key",
    wrong: "The server did not take this key.",
    remember: "Remember it in this browser",
    submit: "Continue",
  },
  landing: {
    title: "Hand in a voice. Hear it speak.",
    lead: "Voice Core takes voice models that people trained themselves, checks them, and speaks with many of them at once. Listeners compare them without knowing whose voice is whose.",
    doors: {
      model: {
        title: "I got a voice model",
        text: "A folder from GPT-SoVITS or XTTS. It is checked while you watch, and speaks a minute later.",
        action: "Contribute a model",
        closed: "Not on this page yet. On the server’s machine: voicecore submit FOLDER.",
      },
      data: {
        title: "I got voice data",
        text: "Recordings of a voice that you have the right to share: speech only, authentic, no noise behind it, as .wav.",
        action: "Contribute recordings",
        closed: "Recordings can’t be handed in yet. Keep the originals: .wav files, uncompressed and unedited.",
      },
      listen: {
        title: "Speak and listen",
        text: "Type a text, choose a voice, and hear it while it is being made.",
        action: "Open the playground",
        closed: "Not on this page yet. POST /v1/audio/speech speaks.",
      },
    },
    recognition: {
      title: "Speech recognition",
      text: "Turning speech into text (STT) is provided by Azure. It takes no contributions: there is nothing to hand in for it here.",
    },
  },
  notFound: {
    title: "There is no such page",
    text: "The address is wrong, or what it named is gone.",
    home: "To the start",
  },
} as const;
