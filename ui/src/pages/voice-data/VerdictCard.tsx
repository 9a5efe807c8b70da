import { useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { strings } from "../../strings";
import { localFile, type Finding, type LookedAt, type Moment } from "./looking";
import { Picture, type Player } from "./Picture";
import { measured, type Rules } from "./rules";

const TAGS = { accepted: "good", accepted_with_warnings: "warn", refused: "bad" } as const;
const SHOWN_MOMENTS = 6;

/** A recording: its verdict, what is wrong and where, its picture, and every measurement. */
export function VerdictCard({ recording, rules }: { recording: LookedAt; rules: Rules | undefined }) {
  const t = strings.value.voiceData;
  const [player, setPlayer] = useState<Player | null>(null);
  const file = localFile(recording.file);
  const moments = flagged(recording);
  return (
    <article class={`card verdict ${TAGS[recording.verdict]}`} aria-label={recording.file}>
      <div class="card-head">
        <h3>
          <code>{recording.file}</code>
        </h3>
        <span class={`tag ${TAGS[recording.verdict]}`}>{t.verdict[recording.verdict]}</span>
      </div>
      {recording.findings.length > 0 && (
        <ul class="findings">
          {recording.findings.map((finding) => (
            <FindingItem key={finding.rule + finding.measurement} finding={finding} rules={rules} player={player} />
          ))}
        </ul>
      )}
      {recording.not_wav === null && <Picture recording={recording} file={file} moments={moments} onReady={setPlayer} />}
      {recording.not_wav === null && rules && <Measurements recording={recording} rules={rules} />}
    </article>
  );
}

/** Every stretch that a finding is about, once: refusals come first. */
function flagged({ findings }: LookedAt): (Moment & { severity: Finding["severity"] })[] {
  const all = findings.flatMap(({ moments, severity }) => moments.map((moment) => ({ ...moment, severity })));
  return all.filter((moment, place) => all.findIndex(({ start_s, end_s }) => start_s === moment.start_s && end_s === moment.end_s) === place);
}

function FindingItem({ finding, rules, player }: { finding: Finding; rules: Rules | undefined; player: Player | null }) {
  const t = strings.value.voiceData;
  const words = t.rules[finding.rule as keyof typeof t.rules];
  const unit = rules?.measurements[finding.measurement]?.unit ?? "";
  const value = measured(finding.measurement, finding.value, unit);
  const bound = finding.bound === null ? null : measured(finding.measurement, finding.bound, unit);
  const side = rules?.rules.find(({ name }) => name === finding.rule)?.side ?? "at_most";
  return (
    <li class={finding.severity === "refusal" ? "bad" : "warn"}>
      <p>
        <strong>{words?.name ?? finding.rule}</strong>{" "}
        <span class="figures">
          {finding.value !== null && value}
          {bound !== null && ` (${side === "at_least" ? t.atLeast(bound) : t.atMost(bound)})`}
        </span>
      </p>
      <p class="small">{words?.remedy ?? finding.message}</p>
      {finding.moments.length > 0 && <Moments moments={finding.moments} player={player} />}
    </li>
  );
}

function Moments({ moments, player }: { moments: readonly Moment[]; player: Player | null }) {
  const t = strings.value.voiceData;
  return (
    <div class="row moments">
      {moments.slice(0, SHOWN_MOMENTS).map(({ start_s, end_s }) => (
        <Button key={start_s} kind="quiet" disabled={!player} onClick={() => player?.play(start_s, end_s)}>
          <span aria-hidden="true">▶</span> {t.moment(start_s.toFixed(1), end_s.toFixed(1))}
        </Button>
      ))}
      {moments.length > SHOWN_MOMENTS && <span class="small muted">{t.moreMoments(moments.length - SHOWN_MOMENTS)}</span>}
    </div>
  );
}

function Measurements({ recording, rules }: { recording: LookedAt; rules: Rules }) {
  const t = strings.value.voiceData;
  return (
    <details>
      <summary>{t.measurements}</summary>
      <dl class="measurements">
        {Object.entries(rules.measurements).map(([name, { unit, method }]) => (
          <div key={name} title={method}>
            <dt>{t.measurement[name as keyof typeof t.measurement] ?? name}</dt>
            <dd class="figures">{measured(name, recording.measurements[name] ?? null, unit)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
