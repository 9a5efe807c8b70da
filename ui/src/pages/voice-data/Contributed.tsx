import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { CopyButton } from "../../components/CopyButton";
import { strings } from "../../strings";
import { HearYourself } from "./HearYourself";
import { forget, type Contribution, type LookedAt } from "./looking";
import type { Rules } from "./rules";
import { VerdictCard } from "./VerdictCard";

/** It is taken in: the receipt, a model that speaks with the voice, and what was left out. */
export function Contributed({ contribution, recordings, rules }: { contribution: Contribution; recordings: readonly LookedAt[]; rules: Rules | undefined }) {
  const t = strings.value.voiceData.contributed;
  const refused = recordings.filter(({ verdict }) => verdict === "refused");
  return (
    <>
      <Card title={t.title(contribution.recordings.length)}>
        <p>{t.text}</p>
        <div class="row receipt">
          <code>{contribution.receipt}</code>
          <CopyButton text={contribution.receipt} />
        </div>
        <div class="row">
          <Button onClick={forget}>{t.another}</Button>
        </div>
      </Card>
      <HearYourself contribution={contribution} />
      {refused.map((recording) => (
        <VerdictCard key={recording.file} recording={recording} rules={rules} />
      ))}
    </>
  );
}
