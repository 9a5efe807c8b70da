import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { hasPage } from "../../routes";
import { strings } from "../../strings";
import { chooseAgain, type Intake } from "./contribution";
import { ProblemList } from "./ProblemList";
import { shown } from "./Refused";
import { Sample } from "./Sample";

/** It is in the store: hear it, and see what it is. */
export function Published({ intake, onAnother }: { intake: Intake; onAnother: () => void }) {
  const t = strings.value.contribute.published;
  const report = intake.report!;
  const facts = [
    [t.family, report.family],
    [t.variant, report.variant],
    [t.languages, report.languages.map(languageName).join(", ")],
    ...Object.entries(report.facts),
  ] as const;
  const another = () => {
    onAnother();
    chooseAgain();
  };
  return (
    <>
      <Card title={t.title(intake.name)}>
        <p>{intake.is_new === false ? t.known : t.text}</p>
        <Sample model={intake.name} languages={report.languages} />
        <div class="row">
          {hasPage("/playground") && (
            <a class="button secondary" href={`/playground?model=${encodeURIComponent(intake.name)}`}>
              {t.playground}
            </a>
          )}
          <Button onClick={another}>{t.another}</Button>
        </div>
      </Card>
      <Card title={t.facts}>
        <dl class="facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </Card>
      {report.warnings.length > 0 && (
        <Card title={t.warnings}>
          <ProblemList problems={report.warnings.map(shown)} kind="warn" />
        </Card>
      )}
    </>
  );
}

function languageName(tag: string): string {
  return new Intl.DisplayNames(document.documentElement.lang, { type: "language" }).of(tag) ?? tag;
}
