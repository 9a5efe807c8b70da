import type { Status, Test } from "../listening";
import { strings } from "../strings";

const TONES: Record<Status, string> = { waiting: "warn", synthesising: "warn", open: "good", closed: "", failed: "bad" };

/** What a test's state is, in a word. */
export function StatusTag({ test }: { test: Test }) {
  return <span class={`tag ${TONES[test.status]}`}>{strings.value.compare.statuses[test.status]}</span>;
}
