import { useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { bytes } from "../../format";
import { strings } from "../../strings";
import { begin, begunBefore, contribution } from "./contribution";
import { Findings } from "./Findings";
import { totalBytes, type Inspection } from "./inspection";
import { LayoutFiles } from "./Layouts";
import { isName, NameField, suggestedName } from "./NameField";

const MAX_NAMED = 5;

/** A choice, looked over: its files, what to mend, its name, and the button that sends it. */
export function ChosenModel({
  inspection,
  onRename,
  onAgain,
}: {
  inspection: Inspection;
  onRename: (from: string, to: string) => void;
  onAgain: () => void;
}) {
  const t = strings.value.contribute.chosen;
  const { chosen, layout, isArchive, wanted, leftOut, findings } = inspection;
  const begun = begunBefore(wanted);
  const arrived = begun.reduce((total, { sent }) => total + sent, 0);
  const [name, setName] = useState((begun.length > 0 && contribution.value?.name) || suggestedName(chosen.name));
  const title = layout ? t.title(layout.title) : isArchive ? t.archive : t.unknown;
  const submit = (event: Event) => {
    event.preventDefault();
    if (isName(name) && findings.length === 0) begin(name, wanted);
  };
  return (
    <Card title={title} aside={<Button kind="quiet" onClick={onAgain}>{t.again}</Button>}>
      <Findings findings={findings} onRename={onRename} />
      {layout && <LayoutFiles layout={layout} inspection={inspection} />}
      {isArchive && <p>{wanted.map(({ path }) => <code key={path}>{path}</code>)}</p>}
      <p class="small muted">
        {wanted.length > 0 && t.willSend(bytes(totalBytes(wanted)))} {arrived > 0 && t.arrived(bytes(arrived))} {isArchive && t.archiveNote}{" "}
        {leftOut.length > 0 && layout && t.leftOut(namesOf(leftOut.map(({ path }) => path)))}
      </p>
      {wanted.length > 0 && (
        <form class="send-form" onSubmit={submit}>
          <NameField name={name} onName={setName} />
          <Button kind="primary" type="submit" disabled={findings.length > 0 || !isName(name)}>
            {findings.length > 0 ? t.mend(findings.length) : begun.length > 0 ? t.goOn : t.send}
          </Button>
        </form>
      )}
    </Card>
  );
}

function namesOf(paths: readonly string[]): string {
  const more = paths.length - MAX_NAMED;
  return [...paths.slice(0, MAX_NAMED), ...(more > 0 ? [strings.value.contribute.chosen.more(more)] : [])].join(", ");
}
