import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { bytes } from "../../format";
import { strings } from "../../strings";
import { contribution, forget } from "./contribution";

/** What an earlier visit has begun to send. */
export function Unfinished() {
  const begun = contribution.value;
  if (begun === null || begun.intake !== null || begun.isRefused) return null;
  const t = strings.value.contribute.resume;
  const sum = (of: "sent" | "size") => begun.files.reduce((total, file) => total + file[of], 0);
  return (
    <Card title={t.title(begun.name)}>
      <p>{t.text(bytes(sum("sent")), bytes(sum("size")))}</p>
      <ul class="file-names">
        {begun.files.map(({ path }) => (
          <li key={path}>
            <code>{path}</code>
          </li>
        ))}
      </ul>
      <div class="row">
        <Button kind="danger" onClick={forget}>
          {t.forget}
        </Button>
      </div>
    </Card>
  );
}
