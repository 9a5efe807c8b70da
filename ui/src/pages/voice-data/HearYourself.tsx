import { useEffect, useState } from "preact/hooks";

import { getJson, postJson, send } from "../../api";
import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { Field } from "../../components/Field";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";
import type { Contribution } from "./looking";

interface Model {
  id: string;
  family: string;
  languages: string[];
}

// The families that speak with a recording that says nobody knows what.
const FAMILIES = ["xtts"];

/** A submitted model speaks with the voice of a recording that was just contributed. */
export function HearYourself({ contribution }: { contribution: Contribution }) {
  const t = strings.value.voiceData.hear;
  const models = useFetched((signal) => getJson<{ data: Model[] }>("/v1/models", { signal }), []);
  const able = models.answer?.data.filter(({ family }) => FAMILIES.includes(family)) ?? [];
  const [model, setModel] = useState("");
  const [text, setText] = useState<string>(t.sentence);
  const [position, setPosition] = useState(0);
  const [audio, setAudio] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => () => void (audio && URL.revokeObjectURL(audio)), [audio]);
  const chosen = model || able[0]?.id || "";
  const speak = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const voice = `voice-data-${contribution.id}-${position}`;
      await postJson(`/v1/voice-data/${contribution.id}/recordings/${position}/voice`, { name: voice });
      const json = { model: chosen, voice, input: text, response_format: "mp3" };
      const answer = await send("/v1/audio/speech", { method: "POST", json });
      setAudio(URL.createObjectURL(await answer.blob()));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title={t.title}>
      <ErrorNote error={models.error} onRetry={models.again} />
      {models.answer && able.length === 0 ? (
        <p class="muted">{t.noModel}</p>
      ) : (
        <form class="stack" onSubmit={speak}>
          <p class="muted">{t.lead}</p>
          <div class="declared">
            <Field label={t.model}>
              {(described) => (
                <select {...described} value={chosen} onChange={(event) => setModel(event.currentTarget.value)}>
                  {able.map(({ id }) => (
                    <option key={id}>{id}</option>
                  ))}
                </select>
              )}
            </Field>
            <Field label={t.recording}>
              {(described) => (
                <select {...described} value={position} onChange={(event) => setPosition(Number(event.currentTarget.value))}>
                  {contribution.recordings.map(({ file }, place) => (
                    <option key={file} value={place}>
                      {file}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </div>
          <Field label={t.text}>
            {(described) => <textarea {...described} rows={2} value={text} onInput={(event) => setText(event.currentTarget.value)} />}
          </Field>
          <div class="row">
            <Button kind="primary" type="submit" isBusy={isBusy} disabled={!chosen || !text.trim()}>
              {t.speak}
            </Button>
            {audio && <audio src={audio} controls autoplay aria-label={t.audio} />}
          </div>
          <ErrorNote error={error} />
        </form>
      )}
    </Card>
  );
}
