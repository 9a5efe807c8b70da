import { Button } from "../../components/Button";
import { bytes } from "../../format";
import { strings } from "../../strings";
import { ProblemList } from "./ProblemList";
import type { Finding } from "./inspection";

/** What the page itself finds wrong with a choice. */
export function Findings({ findings, onRename }: { findings: readonly Finding[]; onRename: (from: string, to: string) => void }) {
  const t = strings.value.contribute;
  if (findings.length === 0) return null;
  return (
    <ProblemList
      problems={findings.map((finding) => {
        const { file, rename } = finding;
        return {
          ...wordsOf(finding),
          file,
          action: rename && (
            <Button kind="secondary" onClick={() => onRename(rename, file)}>
              {t.rename(rename, file)}
            </Button>
          ),
        };
      })}
    />
  );
}

function wordsOf({ code, found, size, limit, rename }: Finding): { found: string; expected: string; remedy: string } {
  const words = strings.value.contribute.findings[rename ? "misnamed" : code];
  return {
    found: words.found(rename ?? (size === undefined ? found : bytes(size))),
    expected: words.expected(limit === undefined ? "" : bytes(limit)),
    remedy: words.remedy(),
  };
}
