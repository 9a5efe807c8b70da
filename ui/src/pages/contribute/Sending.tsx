import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { bytes, percent } from "../../format";
import { strings } from "../../strings";
import { contribution, progress, takeBreak } from "./contribution";
import { Moving } from "./Moving";

/** While files are on their way. */
export function Sending({ isInterrupted }: { isInterrupted: boolean }) {
  const t = strings.value.contribute.sending;
  const { name, files } = contribution.value!;
  const { done } = progress.value; // follows it: a file's own count is no signal
  return (
    <Card title={t.title(name)} aside={<Button onClick={takeBreak}>{t.pause}</Button>}>
      <Moving label={t.label} />
      {isInterrupted && <p class="interrupted">{t.interrupted}</p>}
      <ul class="files" data-done={done}>
        {files.map(({ path, sent, size }) => (
          <li key={path}>
            <code>{path}</code>
            <span class="figures muted">{sent === size ? "✓" : sent > 0 ? percent(sent / size) : bytes(size)}</span>
          </li>
        ))}
      </ul>
      <p class="small muted">{t.stay}</p>
    </Card>
  );
}
