import type { Chosen, ChosenFile } from "../../upload/chosenFiles";
import { ARCHIVE, LAYOUTS, RECORDING_MIN_BYTES, type Layout } from "./layouts";

/** One thing to mend before anything is sent. Its words are `findings[code]` of the strings. */
export interface Finding {
  code: "unknown" | "missing" | "empty" | "stub" | "bloated" | "notJson" | "noRefFile" | "refFileIsPath" | "noRefText" | "tooLarge";
  /** "" for the whole. */
  file: string;
  /** What was found, where the code alone doesn't say it. */
  found: string;
  /** Bytes, for codes about sizes. */
  size?: number;
  limit?: number;
  /** A file that is probably meant. */
  rename?: string;
}

export interface Inspection {
  chosen: Chosen;
  /** null: an archive, or none of the layouts. */
  layout: Layout | null;
  isArchive: boolean;
  /** The recording's name, where it is known. */
  recording: string | null;
  /** What would be sent. */
  wanted: readonly ChosenFile[];
  leftOut: readonly ChosenFile[];
  findings: readonly Finding[];
}

/** What can be said about a choice without the server. `maxBytes`: of everything together. */
export async function inspect(chosen: Chosen, maxBytes: number): Promise<Inspection> {
  const { files } = chosen;
  if (files.length === 1 && ARCHIVE.test(files[0]!.path)) return inspectArchive(chosen, maxBytes);
  const layout = recognise(files);
  if (layout === null) {
    const names = files.slice(0, 8).map(({ path }) => path).join(", ");
    const finding: Finding = { code: "unknown", file: "", found: names };
    return { chosen, layout, isArchive: false, recording: null, wanted: [], leftOut: files, findings: [finding] };
  }
  const config = files.find(({ path }) => path === "config.json");
  const settings = config && (await readSettings(config, layout));
  const recording = layout.recording ?? settings?.recording ?? null;
  const names = new Set([...layout.files.map(({ name }) => name), ...(recording ? [recording] : [])]);
  const wanted = files.filter(({ path }) => names.has(path));
  const findings = [...fileFindings(layout, recording, files), ...(settings?.findings ?? []), ...totalFindings(wanted, maxBytes)];
  return { chosen, layout, isArchive: false, recording, wanted, leftOut: files.filter(({ path }) => !names.has(path)), findings };
}

/** The same choice with a file under another name. */
export function renamed(chosen: Chosen, from: string, to: string): Chosen {
  return { ...chosen, files: chosen.files.map((chosenFile) => (chosenFile.path === from ? { ...chosenFile, path: to } : chosenFile)) };
}

export function totalBytes(files: readonly ChosenFile[]): number {
  return files.reduce((total, { file }) => total + file.size, 0);
}

function inspectArchive(chosen: Chosen, maxBytes: number): Inspection {
  const { path, file } = chosen.files[0]!;
  const empty: Finding[] = file.size ? [] : [{ code: "empty", file: path, found: "" }];
  const findings = [...empty, ...totalFindings(chosen.files, maxBytes)];
  return { chosen, layout: null, isArchive: true, recording: null, wanted: chosen.files, leftOut: [], findings };
}

/** The layout with the most of its telling files; failing that, the one whose kinds of file are there. */
function recognise(files: readonly ChosenFile[]): Layout | null {
  const names = new Set(files.map(({ path }) => path));
  const scores = LAYOUTS.map((layout) => layout.files.filter(({ name, tellsFamily }) => tellsFamily && names.has(name)).length);
  const best = Math.max(...scores);
  if (best > 0) return LAYOUTS[scores.indexOf(best)]!;
  const has = (suffix: string) => files.some(({ path }) => path.toLowerCase().endsWith(suffix));
  if (has(".ckpt")) return LAYOUTS.find(({ family }) => family === "gpt_sovits")!;
  return has(".pth") ? LAYOUTS.find(({ family }) => family === "xtts")! : null;
}

function fileFindings(layout: Layout, recording: string | null, files: readonly ChosenFile[]): Finding[] {
  const required = [...layout.files, ...(recording ? [{ name: recording, minBytes: RECORDING_MIN_BYTES, maxBytes: undefined }] : [])];
  const taken = new Set(required.map(({ name }) => name));
  return required.flatMap(({ name, minBytes, maxBytes }): Finding[] => {
    const found = files.find(({ path }) => path === name);
    if (!found) return [{ code: "missing", file: name, found: "", rename: onlyOneOfItsType(name, files, taken) }];
    const { size } = found.file;
    if (size === 0) return [{ code: "empty", file: name, found: "" }];
    if (size < minBytes) return [{ code: "stub", file: name, found: "", size, limit: minBytes }];
    if (maxBytes && size > maxBytes) return [{ code: "bloated", file: name, found: "", size, limit: maxBytes }];
    return [];
  });
}

function onlyOneOfItsType(name: string, files: readonly ChosenFile[], taken: ReadonlySet<string>): string | undefined {
  const suffix = name.slice(name.lastIndexOf("."));
  const alike = files.filter(({ path }) => !taken.has(path) && path.toLowerCase().endsWith(suffix));
  return alike.length === 1 ? alike[0]!.path : undefined;
}

function totalFindings(wanted: readonly ChosenFile[], maxBytes: number): Finding[] {
  const size = totalBytes(wanted);
  return size > maxBytes ? [{ code: "tooLarge", file: "", found: "", size, limit: maxBytes }] : [];
}

interface Settings {
  recording: string | null;
  findings: Finding[];
}

async function readSettings({ file }: ChosenFile, layout: Layout): Promise<Settings> {
  const row = layout.files.find(({ name }) => name === "config.json")!;
  if (file.size === 0 || file.size > row.maxBytes!) return { recording: null, findings: [] }; // said by its size
  const found: unknown = parse(await file.text());
  if (typeof found !== "object" || found === null || Array.isArray(found)) {
    return { recording: null, findings: [{ code: "notJson", file: "config.json", found: "" }] };
  }
  return layout.recording === null ? readReference(found as Record<string, unknown>) : { recording: null, findings: [] };
}

/** What a GPT-SoVITS folder says about its recording. */
function readReference({ refFile, refText }: Record<string, unknown>): Settings {
  const findings: Finding[] = [];
  let recording: string | null = null;
  if (typeof refFile !== "string" || !refFile.trim()) findings.push({ code: "noRefFile", file: "config.json", found: "" });
  else if (/[/\\:]/.test(refFile)) findings.push({ code: "refFileIsPath", file: "config.json", found: refFile });
  else recording = refFile;
  const isSpoken = typeof refText === "string" && /[\p{L}\p{N}]/u.test(refText);
  if (!isSpoken) findings.push({ code: "noRefText", file: "config.json", found: "" });
  return { recording, findings };
}

/** As leniently as the server: XTTS's published file has the literals Infinity and NaN, others a code fence. */
function parse(text: string): unknown {
  const lenient = text.replace(/^\s*```\w*\n|\n```\s*$/g, "").replace(/-?\b(Infinity|NaN)\b/g, "null");
  for (const attempt of [text, lenient]) {
    try {
      return JSON.parse(attempt);
    } catch {
      continue;
    }
  }
  return undefined;
}
