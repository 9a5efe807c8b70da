/** What the server takes, as far as it can be told before anything is sent. `models_store/families.py` has the rest. */

const KB = 1000;
const MIB = 2 ** 20;

export interface LayoutFile {
  name: string;
  /** Which sentence says what it is. */
  holds: "weights" | "synthesizer" | "text" | "settings" | "reference" | "vocabulary" | "recording";
  /** Other families have no such file. */
  tellsFamily?: true;
  /** Less is a pointer to the file, or a download that broke off. */
  minBytes: number;
  maxBytes?: number;
}

export interface Layout {
  family: "xtts" | "gpt_sovits";
  title: string;
  files: readonly LayoutFile[];
  /** null: config.json names it. */
  recording: string | null;
}

export const LAYOUTS: readonly Layout[] = [
  {
    family: "gpt_sovits",
    title: "GPT-SoVITS",
    files: [
      { name: "sovits.pth", holds: "synthesizer", tellsFamily: true, minBytes: 100 * KB },
      { name: "gpt.ckpt", holds: "text", tellsFamily: true, minBytes: 100 * KB },
      { name: "config.json", holds: "reference", minBytes: 1, maxBytes: MIB },
    ],
    recording: null,
  },
  {
    family: "xtts",
    title: "XTTS",
    files: [
      { name: "model.pth", holds: "weights", tellsFamily: true, minBytes: 100 * KB },
      { name: "config.json", holds: "settings", minBytes: 1, maxBytes: 16 * MIB },
      { name: "vocab.json", holds: "vocabulary", tellsFamily: true, minBytes: 1, maxBytes: 16 * MIB },
    ],
    recording: "audio.wav",
  },
];

export const ARCHIVE = /\.(zip|tar|tar\.gz|tgz)$/i;
export const RECORDING_MIN_BYTES = 1 * KB;
