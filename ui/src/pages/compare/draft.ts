import type { Definition, Kind } from "../../listening";

export interface Trap {
  text: string;
  expected: number;
}

/** A test as it stands in the form. */
export interface Draft {
  title: string;
  kind: Kind;
  models: readonly string[];
  /** In which all of them speak; empty: each in its own. */
  voice: string;
  /** One per line. */
  texts: string;
  language: string;
  /** Empty: as many as the server thinks right. */
  trials: string;
  minVotes: string;
  isBlindToTheEnd: boolean;
  allowTies: boolean;
  traps: readonly Trap[];
}

export const EMPTY_DRAFT: Draft = {
  title: "",
  kind: "preference",
  models: [],
  voice: "",
  texts: "",
  language: "",
  trials: "",
  minVotes: "30",
  isBlindToTheEnd: false,
  allowTies: false,
  traps: [],
};

export function linesOf(texts: string): readonly string[] {
  return texts.split("\n").map((line) => line.trim()).filter((line) => line !== "");
}

/** What the form says, without what its kind of test doesn't have. */
export function definitionOf(draft: Draft): Definition {
  const language = draft.language.trim() || null;
  return {
    title: draft.title.trim(),
    kind: draft.kind,
    systems: draft.models.map((submission) => ({ submission, voice: draft.voice || "default" })),
    texts: linesOf(draft.texts).map((text) => ({ text, language })),
    traps: draft.kind === "mos" ? draft.traps.filter(({ text }) => text.trim()).map((trap) => ({ ...trap, language })) : [],
    allow_ties: draft.kind === "preference" && draft.allowTies,
    reveal: draft.isBlindToTheEnd ? "end" : "vote",
    trials_per_rater: draft.trials === "" ? null : Number(draft.trials),
    min_votes: Number(draft.minVotes),
  };
}
