import { useState } from "preact/hooks";

import { getJson, send } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { language } from "../../preferences";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import type { Contribution } from "./looking";

/** What was contributed to this server, to be withdrawn again. */
export function Contributions() {
  const t = strings.value.voiceData.contributions;
  const { answer, error, again } = useFetched((signal) => getJson<{ data: Contribution[] }>("/v1/voice-data", { signal }), []);
  const [failure, setFailure] = useState<unknown>(null);
  const present = answer?.data.filter(({ withdrawn_at }) => !withdrawn_at) ?? [];
  const withdraw = (id: string) => send(`/v1/voice-data/${id}`, { method: "DELETE" }).then(again, setFailure);
  if (!error && present.length === 0) return null;
  return (
    <Card title={t.title}>
      <ErrorNote error={error ?? failure} onRetry={again} />
      <ul class="contributions">
        {present.map((contribution) => (
          <Item key={contribution.id} contribution={contribution} onWithdraw={() => void withdraw(contribution.id)} />
        ))}
      </ul>
    </Card>
  );
}

function Item({ contribution, onWithdraw }: { contribution: Contribution; onWithdraw: () => void }) {
  const t = strings.value.voiceData.contributions;
  const [isSure, setSure] = useState(false);
  const seconds = contribution.recordings.reduce((sum, { duration_s }) => sum + duration_s, 0);
  const when = new Intl.DateTimeFormat(language.value, { dateStyle: "medium" }).format(new Date(contribution.contributed_at));
  return (
    <li class="row apart">
      <span>
        {when} · {t.recordings(contribution.recordings.length, Math.max(1, Math.round(seconds)))} · {contribution.declaration.licence}
      </span>
      {isSure ? (
        <span class="row">
          <span class="small">{t.sure}</span>
          <Button kind="danger" onClick={onWithdraw}>
            {t.withdraw}
          </Button>
          <Button onClick={() => setSure(false)}>{strings.value.common.cancel}</Button>
        </span>
      ) : (
        <Button kind="quiet" onClick={() => setSure(true)}>
          {t.withdraw}
        </Button>
      )}
    </li>
  );
}
