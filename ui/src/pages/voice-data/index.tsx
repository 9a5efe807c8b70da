import { useState } from "preact/hooks";

import { ApiError, getJson } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { Progress } from "../../components/Progress";
import { Title } from "../../components/Title";
import { bytes } from "../../format";
import { strings } from "../../strings";
import { TooManyFiles, type Chosen } from "../../upload/chosenFiles";
import { DropArea } from "../../upload/DropArea";
import { useFetched } from "../../useFetched";
import { Contributed } from "./Contributed";
import { Contributions } from "./Contributions";
import { DeclarationForm } from "./DeclarationForm";
import { forget, look, numChosen, stage } from "./looking";
import type { Rules } from "./rules";
import { RulesCard } from "./RulesCard";
import { VerdictCard } from "./VerdictCard";
import "./voice-data.css";

/** From recordings on the contributor's machine to a contribution, and to a voice that speaks. */
export default function VoiceData() {
  const t = strings.value.voiceData;
  const now = stage.value;
  const rules = useFetched((signal) => getJson<Rules>("/v1/voice-data/rules", { signal }), []);
  return (
    <>
      <Title lead={t.lead}>{t.title}</Title>
      <div class="stack" aria-live="polite">
        <ErrorNote error={rules.error} onRetry={rules.again} />
        {now.at === "choosing" && <Choosing />}
        {now.at === "failed" && (
          <Card title={t.failed}>
            <ErrorNote error={now.error} />
            <div class="row">
              <Button onClick={forget}>{t.again}</Button>
            </div>
          </Card>
        )}
        {(now.at === "sending" || now.at === "listening") && <UnderWay />}
        {now.at === "looked" && (
          <>
            <div class="row apart">
              <h2>{t.verdicts(now.recordings.length)}</h2>
              <Button onClick={forget}>{t.again}</Button>
            </div>
            {now.recordings.map((recording) => (
              <VerdictCard key={recording.file} recording={recording} rules={rules.answer} />
            ))}
            {rules.answer && now.recordings.some(({ verdict }) => verdict !== "refused") && (
              <DeclarationForm rules={rules.answer} recordings={now.recordings} error={now.error} />
            )}
          </>
        )}
        {now.at === "contributed" && (
          <Contributed contribution={now.contribution} recordings={now.recordings} rules={rules.answer} />
        )}
        {now.at === "choosing" && rules.answer && <RulesCard rules={rules.answer} />}
        {now.at === "choosing" && <Contributions />}
      </div>
    </>
  );
}

function Choosing() {
  const t = strings.value.voiceData;
  const [error, setError] = useState<unknown>(null);
  const choose = ({ files }: Chosen) => {
    if (files.length) look(files);
    else setError(new ApiError(t.drop.nothing, 0));
  };
  const refuse = (failure: unknown) => setError(failure instanceof TooManyFiles ? new ApiError(t.drop.tooMany, 0) : failure);
  return (
    <>
      <ErrorNote error={error} />
      <DropArea strings={t.drop} accept=".wav,.zip,audio/wav,application/zip" onChosen={choose} onError={refuse} />
    </>
  );
}

function UnderWay() {
  const t = strings.value.voiceData;
  const now = stage.value;
  if (now.at !== "sending" && now.at !== "listening") return null;
  const isSending = now.at === "sending";
  return (
    <Card title={isSending ? t.sending : t.listening} aside={<Button onClick={forget}>{strings.value.common.cancel}</Button>}>
      <Progress label={t.files(numChosen())} done={now.done} total={now.total || null}>
        {now.total > 0 && (isSending ? `${bytes(now.done)} / ${bytes(now.total)}` : "")}
      </Progress>
      {isSending && now.isInterrupted && <p role="status">{t.interrupted}</p>}
      {!isSending && <p class="small muted">{t.listeningNote}</p>}
    </Card>
  );
}
