import { Button } from "../../components/Button";
import { Card } from "../../components/Card";
import { hasPage } from "../../routes";
import { strings } from "../../strings";
import { chooseAgain, type Intake } from "./contribution";
import { LAYOUTS } from "./layouts";
import { ProblemList } from "./ProblemList";
import { shown } from "./Refused";
import { Sample } from "./Sample";

/** It is in the store: hear it, and see what it is. */
export function Published({ intake, onAnother }: { intake: Intake; onAnother: () => void }) {
  const t = strings.value.contribute.published;
  const report = intake.report!;
  const layout = LAYOUTS.find(({ family }) => family === report.family);
  const facts = [
    [t.family, layout?.title ?? report.family],
    [t.variant, report.variant],
    ...Object.entries(report.facts).map(([name, value]) => [(t.named as Record<string, string>)[name] ?? name, value] as const),
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
          <div class="wide">
            <dt>{t.languages}</dt>
            <dd>{report.languages.map(languageName).join(", ")}</dd>
          </div>
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
