import type { ComponentChildren } from "preact";

import { strings } from "../../strings";

export interface ShownProblem {
  /** "" for the whole. */
  file: string;
  headline?: string;
  found: string;
  expected: string;
  remedy: string;
  action?: ComponentChildren;
}

/** What to mend, file by file: what was found, what was expected, what to do. */
export function ProblemList({ problems, kind = "bad" }: { problems: readonly ShownProblem[]; kind?: "bad" | "warn" }) {
  const t = strings.value.contribute;
  return (
    <ul class="problem-files">
      {[...byFile(problems)].map(([file, itsProblems]) => (
        <li key={file} class={`problem-file ${kind}`}>
          <div class="row">
            {file ? <code>{file}</code> : <strong>{t.refused.whole}</strong>}
            {headlines(itsProblems).map((headline) => (
              <span key={headline} class={`tag ${kind}`}>
                {headline}
              </span>
            ))}
          </div>
          <ul class="problems">
            {itsProblems.map(({ found, expected, remedy, action }, number) => (
              <li key={number} class="problem">
                <dl>
                  <dt>{t.finding.found}</dt>
                  <dd>{found}</dd>
                  <dt>{t.finding.expected}</dt>
                  <dd>{expected}</dd>
                  <dt>{t.finding.remedy}</dt>
                  <dd>{remedy}</dd>
                </dl>
                {action}
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

function byFile(problems: readonly ShownProblem[]): ReadonlyMap<string, ShownProblem[]> {
  const files = new Map<string, ShownProblem[]>();
  for (const problem of problems) files.set(problem.file, [...(files.get(problem.file) ?? []), problem]);
  return files;
}

function headlines(problems: readonly ShownProblem[]): string[] {
  return [...new Set(problems.flatMap(({ headline }) => headline ?? []))];
}
