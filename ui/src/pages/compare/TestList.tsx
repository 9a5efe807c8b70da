import { useEffect, useState } from "preact/hooks";

import { Button } from "../../components/Button";
import { Dialog } from "../../components/Dialog";
import { Empty } from "../../components/Empty";
import { ErrorNote } from "../../components/ErrorNote";
import { Progress } from "../../components/Progress";
import { StatusTag } from "../../components/StatusTag";
import { Title } from "../../components/Title";
import { changeStatus, deleteTest, isInTheMaking, listTests, type Test } from "../../listening";
import { strings } from "../../strings";
import { useFetched } from "../../useFetched";

const POLL_MS = 1500;

export function TestList() {
  const t = strings.value.compare;
  const { answer: tests, error, again } = useFetched(listTests, []);
  useEffect(() => {
    if (!tests?.some(isInTheMaking)) return;
    const timer = setTimeout(again, POLL_MS);
    return () => clearTimeout(timer);
  }, [tests]);
  return (
    <div class="stack">
      <div class="row apart">
        <Title lead={t.lead}>{t.title}</Title>
        <a class="button primary" href="/compare/new">
          {t.create}
        </a>
      </div>
      <ErrorNote error={error} onRetry={again} />
      {tests?.length === 0 && (
        <Empty
          action={
            <a class="button primary" href="/compare/new">
              {t.create}
            </a>
          }
        >
          {t.none}
        </Empty>
      )}
      <ul class="tests">
        {tests?.map((test) => (
          <TestRow key={test.id} test={test} onChange={again} />
        ))}
      </ul>
    </div>
  );
}

function TestRow({ test, onChange }: { test: Test; onChange: () => void }) {
  const t = strings.value.compare;
  const [error, setError] = useState<unknown>(null);
  const [isAsked, setAsked] = useState(false);
  const change = (changing: Promise<unknown>) => changing.then(onChange, setError);
  return (
    <li class="card test-row" aria-label={test.title}>
      <div class="stack tight">
        <div class="row">
          <h2>{test.title}</h2>
          <StatusTag test={test} />
        </div>
        <p class="muted small figures">
          {t.kinds[test.kind].name} · {t.size(test.systems.length, test.definition.texts.length)} · {t.counts(test.raters, test.votes)}
        </p>
      </div>
      {isInTheMaking(test) && (
        <Progress label={t.making} done={test.clips_done} total={test.clips_total}>
          {test.clips_done} / {test.clips_total}
        </Progress>
      )}
      {test.error && <p class="note wrong">{test.error}</p>}
      <ErrorNote error={error} />
      <div class="row apart">
        <div class="row">
          {test.status === "open" && (
            <a class="button primary" href={`/compare/${test.id}`}>
              {t.takePart}
            </a>
          )}
          {(test.status === "open" || test.status === "closed") && (
            <a class="button secondary" href={`/rank/${test.id}`}>
              {t.toResults}
            </a>
          )}
        </div>
        <div class="row">
          {test.status === "open" && (
            <Button kind="quiet" onClick={() => change(changeStatus(test.id, "closed"))}>
              {t.close}
            </Button>
          )}
          {test.status === "closed" && (
            <Button kind="quiet" onClick={() => change(changeStatus(test.id, "open"))}>
              {t.reopen}
            </Button>
          )}
          <Button kind="quiet" onClick={() => setAsked(true)}>
            {t.delete}
          </Button>
        </div>
      </div>
      {isAsked && (
        <Dialog title={t.deleteTitle(test.title)} onClose={() => setAsked(false)}>
          <p>{t.deleteText(test.votes)}</p>
          <div class="row end">
            <Button kind="quiet" onClick={() => setAsked(false)}>
              {strings.value.common.cancel}
            </Button>
            <Button
              kind="danger"
              onClick={() => {
                setAsked(false);
                void change(deleteTest(test.id));
              }}
            >
              {t.delete}
            </Button>
          </div>
        </Dialog>
      )}
    </li>
  );
}
