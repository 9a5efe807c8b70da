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
    <ul class="problems">
      {problems.map(({ file, headline, found, expected, remedy, action }, number) => (
        <li key={number} class={`problem ${kind}`}>
          <div class="row">
            {file ? <code>{file}</code> : <strong>{t.refused.whole}</strong>}
            {headline && <span class={`tag ${kind}`}>{headline}</span>}
          </div>
          <dl>
            <dt>{t.finding.found}</dt>
            <dd>{found}</dd>
            <dt>{t.finding.expected}</dt>
            <dd>{expected}</dd>
            <dt>{t.finding.remedy}</dt>
            <dd>{remedy}</dd>
          </dl>
          {action && <div class="row">{action}</div>}
        </li>
      ))}
    </ul>
  );
}
