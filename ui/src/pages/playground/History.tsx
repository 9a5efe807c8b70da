import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { Empty } from "../../components/Empty";
import { language } from "../../preferences";
import { strings } from "../../strings";
import { takes, type Take } from "./takes";

/** The session's takes: to hear again, and to take their settings back up. */
export function History({ shown, onShow, onReuse }: { shown: Take | null; onShow: (take: Take) => void; onReuse: (take: Take) => void }) {
  const t = strings.value.playground.history;
  return (
    <Card title={t.title} aside={<span class="note">{t.note}</span>}>
      {takes.value.length === 0 ? (
        <Empty>{t.empty}</Empty>
      ) : (
        <ol class="history">
          {takes.value.map((take) => (
            <li key={take.id} aria-current={take === shown}>
              <div class="history-text">
                <p>{take.wish.input}</p>
                <p class="note figures">
                  {take.at.toLocaleTimeString(language.value)} · {take.wish.model} · {take.wish.voice} · {figures(take)}
                </p>
              </div>
              <div class="row">
                <Button kind="quiet" onClick={() => onShow(take)}>
                  {t.show}
                </Button>
                <Button kind="quiet" onClick={() => onReuse(take)}>
                  {t.reuse}
                </Button>
              </div>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}

function figures(take: Take): string {
  const { arrivedS, firstAudioMs, phase } = take.progress.value;
  if (firstAudioMs === null) return strings.value.playground.take.phases[phase];
  return `${arrivedS.toFixed(1)} s · ${Math.round(firstAudioMs)} ms`;
}
