import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { ErrorNote } from "../../components/ErrorNote";
import { strings } from "../../strings";
import { contribution, forget, goOn } from "./contribution";
import { Moving } from "./Moving";

/** The reader wanted a break, or something went wrong that the submission isn't to blame for. */
export function Paused({ error, onGivenUp }: { error: unknown; onGivenUp: () => void }) {
  const { paused: t, sending } = strings.value.contribute;
  const giveUp = () => {
    onGivenUp();
    forget();
  };
  return (
    <Card title={t.title(contribution.value?.name ?? "")}>
      <ErrorNote error={error} />
      <Moving label={sending.label} />
      <p class="small muted">{t.text}</p>
      <div class="row">
        <Button kind="primary" onClick={goOn}>
          {t.goOn}
        </Button>
        <Button kind="danger" onClick={giveUp}>
          {t.giveUp}
        </Button>
      </div>
    </Card>
  );
}
