import { useEffect, useState } from "preact/hooks";

import { send } from "../../api";
import { Button } from "../../components/Button";
import { ErrorNote } from "../../components/ErrorNote";
import { language } from "../../preferences";
import { strings } from "../../strings";
import { SENTENCES } from "./sentences";

/** zh-CN says what zh says. */
function sentenceOf(tag: string): string | undefined {
  return SENTENCES[tag] ?? SENTENCES[tag.split("-")[0]!];
}

/** A button that lets a submission say a sentence in a language of its own. */
export function Sample({ model, languages }: { model: string; languages: readonly string[] }) {
  const t = strings.value.contribute.published;
  const [audio, setAudio] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const spoken = [language.value as string, ...languages].find((tag) => languages.includes(tag) && sentenceOf(tag)) ?? "en";
  useEffect(() => () => void (audio && URL.revokeObjectURL(audio)), [audio]);

  const speak = async () => {
    setBusy(true);
    setError(null);
    try {
      const json = { model, input: sentenceOf(spoken), language: spoken, response_format: "mp3" };
      const answer = await send("/v1/audio/speech", { method: "POST", json });
      setAudio(URL.createObjectURL(await answer.blob()));
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <div class="sample">
      <blockquote lang={spoken}>{sentenceOf(spoken)}</blockquote>
      <div class="row">
        <Button kind="primary" isBusy={isBusy} onClick={speak}>
          {audio ? t.again : t.play}
        </Button>
        {audio && <audio src={audio} controls autoplay aria-label={t.sample} />}
      </div>
      <ErrorNote error={error} />
    </div>
  );
}
